"""Kubeflow Pipelines' API (v2beta1): as little of it as runs need.

>>> kubeflow = Kubeflow("http://localhost:8888")
>>> [run["state"] for run in kubeflow.runs_named("everloop-training-1f2e3d4c5b6a", kubeflow.experiment("everloop"))]
['SUCCEEDED']

The SDK's client prints to stdout, waits without a limit and answers an unreachable host with a traceback.
"""

import contextlib
import json
import os
import urllib.parse
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.recsys.errors import InputError, NotFound, StoreError
from pipelines.endpoint import Conflict, Endpoint, Json

API = "/apis/v2beta1"
ENDED_BADLY = ("FAILED", "CANCELED", "CANCELING")  # such a run does not stand in the way of another try
ENDED = ("SUCCEEDED", "SKIPPED", *ENDED_BADLY)
TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"  # a projected token for the audience pipelines.kubeflow.org


class Kubeflow:
    """One endpoint: the API server itself, a port-forward of it, or Kubeflow's gateway with its path (https://HOST/pipeline).

    token: a bearer token, where the endpoint wants one; when empty, that of the pod's own service account, where the pod has
    one for Kubeflow. namespace: the profile, where Kubeflow serves several users.
    Every method raises StoreError when the endpoint cannot be reached or fails, InputError when it refuses.
    """

    def __init__(self, endpoint: str, token: str = "", namespace: str = "", timeout_seconds: float = 30) -> None:
        self.server = Endpoint(endpoint, token or token_of_pod(), timeout_seconds)
        self.endpoint = self.server.url
        about = self.server.call("GET", f"{API}/healthz")
        multi_user = bool(about.get("multi_user"))
        if multi_user and not namespace:
            raise InputError(f"Kubeflow at {self.endpoint} serves several users: name your profile's --namespace")
        self.namespace = namespace if multi_user else ""  # a single-user Kubeflow refuses one
        self.version = str(about.get("tag_name", ""))

    def experiment(self, name: str) -> str:
        """Id of the experiment with this name, made when missing."""

        def find() -> Json | None:
            return next(iter(self._all("experiments", filter=named(name), **self._owner())), None)

        def make() -> Json:
            body = {"display_name": name, **self._owner()}
            return self.server.call("POST", f"{API}/experiments", body=body)

        return str(found_or_made(find, make)["experiment_id"])

    def pipeline(self, name: str) -> str:
        """Id of the pipeline with this name, made when missing."""

        def find() -> Json | None:
            try:
                return self.server.call("GET", f"{API}/pipelines/names/{urllib.parse.quote(name)}", self._owner())
            except NotFound:
                return None

        def make() -> Json:
            body = {"name": name, "display_name": name, **self._owner()}
            return self.server.call("POST", f"{API}/pipelines", body=body)

        return str(found_or_made(find, make)["pipeline_id"])

    def versions(self, pipeline_id: str) -> list[Json]:
        """All versions of a pipeline, their specs included."""
        return self._all(f"pipelines/{pipeline_id}/versions", key="pipeline_versions")

    def upload_version(self, pipeline_id: str, name: str, display_name: str, package: bytes) -> Json:
        """A new version, made from a compiled package (YAML). Raises Conflict where the name is taken."""
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="uploadfile"; filename="{name}.yaml"\r\n'
        form = head.encode() + b"Content-Type: application/yaml\r\n\r\n" + package + f"\r\n--{boundary}--\r\n".encode()
        asked = {"pipelineid": pipeline_id, "name": name, "display_name": display_name}
        return self.server.call(
            "POST", f"{API}/pipelines/upload_version", asked, form, f"multipart/form-data; boundary={boundary}"
        )

    def runs_named(self, name: str, experiment_id: str) -> list[Json]:
        """Runs with exactly this name, oldest first."""
        found = self._all("runs", filter=named(name), experiment_id=experiment_id, **self._owner())
        return sorted(found, key=lambda run: (run["created_at"], run["run_id"]))

    def create_run(
        self,
        name: str,
        experiment_id: str,
        pipeline_id: str,
        version_id: str,
        parameters: Json,
        description: str = "",
        service_account: str = "",
    ) -> Json:
        """Start a run. Not idempotent: two calls make two runs. service_account: of its pods; empty: Kubeflow's own choice."""
        body = {
            "display_name": name,
            "description": description,
            "experiment_id": experiment_id,
            "pipeline_version_reference": {"pipeline_id": pipeline_id, "pipeline_version_id": version_id},
            "runtime_config": {"parameters": parameters},
            "service_account": service_account,
        }
        return self.server.call("POST", f"{API}/runs", body=body)

    def run(self, run_id: str) -> Json:
        """A run with its state and its tasks."""
        return self.server.call("GET", f"{API}/runs/{run_id}")

    def terminate(self, run_id: str) -> None:
        self.server.call("POST", f"{API}/runs/{run_id}:terminate")

    def log(self, run_id: str, pod: str) -> str:
        """What a pod of a run printed, from the pod or from the archive; empty when neither has it."""
        try:
            return self.server.send("GET", f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log").decode(errors="replace")
        except (NotFound, StoreError, InputError):
            return ""

    def schedules(self) -> list[Json]:
        """Every recurring run of the namespace."""
        return self._all("recurringruns", key="recurringRuns", **self._owner())

    def create_schedule(self, body: Json) -> Json:
        """A recurring run. Not idempotent: two calls make two."""
        return self.server.call("POST", f"{API}/recurringruns", body={**body, **self._owner()})

    def switch_schedule(self, schedule_id: str, on: bool) -> None:
        """Let a recurring run start runs, or not. Its runs in flight go on."""
        self.server.call("POST", f"{API}/recurringruns/{schedule_id}:{'enable' if on else 'disable'}", again=True)

    def delete_schedule(self, schedule_id: str) -> None:
        """Remove a recurring run; nothing happens where it is gone.

        Its runs belong to it in the cluster, so that deleting it deletes them, in flight or not. ORPHAN leaves them alone;
        Kubeflow before 2.16 does not know that word and ignores it.
        """
        asked = {"propagation_policy": "ORPHAN"}
        try:
            self.server.call("DELETE", f"{API}/recurringruns/{schedule_id}", asked, again=True)
        except NotFound:
            return

    def runs_of_schedule(self, schedule_id: str) -> list[Json]:
        """The latest runs that a recurring run has started, at most a hundred, the newest first."""
        asked = {"page_size": "100", "sort_by": "created_at desc", "filter": _equals("recurring_run_id", schedule_id)}
        return list(self.server.call("GET", f"{API}/runs", {**asked, **self._owner()}).get("runs", []))

    def _owner(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}

    def _all(self, path: str, key: str = "", **query: str) -> list[Json]:
        """Every page of a list."""
        found: list[Json] = []
        token = ""
        while True:
            page = self.server.call("GET", f"{API}/{path}", {"page_size": "100", "page_token": token, **query})
            found += page.get(key or path, [])
            token = page.get("next_page_token", "")
            if not token:
                return found


def token_of_pod() -> str:
    """The token that the cluster gives this pod for Kubeflow and renews every hour, so read anew each time; else empty."""
    with contextlib.suppress(OSError):
        return Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", TOKEN_FILE)).read_text().strip()
    return ""


def found_or_made(find: Callable[[], Json | None], make: Callable[[], Json]) -> Json:
    """What `find` finds, made when missing; looked for again when somebody else made it, or the answer was lost."""
    found = find()
    if found is not None:
        return found
    try:
        return make()
    except (StoreError, Conflict):
        found = find()
        if found is None:
            raise
        return found


def named(name: str) -> str:
    return _equals("name", name)


def _equals(key: str, value: Any) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "string_value": value}]})
