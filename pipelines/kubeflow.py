"""Kubeflow Pipelines' API (v2beta1): as little of it as submitting and following a run needs.

>>> kubeflow = Kubeflow("http://localhost:8888")
>>> [run["state"] for run in kubeflow.runs_named("everloop-training-1f2e3d4c5b6a", kubeflow.experiment("everloop"))]
['SUCCEEDED']

Plain HTTP and JSON: the SDK's client prints to stdout, waits without a limit and answers an unreachable host with a
traceback.
"""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any

from components.recsys.errors import InputError, NotFound, StoreError

Json = dict[str, Any]
API = "/apis/v2beta1"
ENDED_BADLY = ("FAILED", "CANCELED", "CANCELING")  # such a run does not stand in the way of another try
ENDED = ("SUCCEEDED", "SKIPPED", *ENDED_BADLY)


class Kubeflow:
    """One endpoint: the API server itself, a port-forward of it, or Kubeflow's gateway with its path (https://HOST/pipeline).

    token: a bearer token, where the endpoint wants one. namespace: the profile, where Kubeflow serves several users.
    Every method raises StoreError when the endpoint cannot be reached or fails, InputError when it refuses.
    """

    def __init__(self, endpoint: str, token: str = "", namespace: str = "", timeout_seconds: float = 30) -> None:
        self.endpoint = endpoint.rstrip("/") if "://" in endpoint else f"http://{endpoint}".rstrip("/")
        self.token, self.timeout_seconds = token, timeout_seconds
        multi_user = bool(self._call("GET", f"{API}/healthz").get("multi_user"))
        if multi_user and not namespace:
            raise InputError(f"Kubeflow at {self.endpoint} serves several users: name your profile's --namespace")
        self.namespace = namespace if multi_user else ""  # a single-user Kubeflow refuses one

    def experiment(self, name: str) -> str:
        """Id of the experiment with this name, made when missing."""
        found = self._all("experiments", filter=_named(name), **self._owner())
        if not found:
            found = [self._call("POST", f"{API}/experiments", body={"display_name": name, **self._owner()})]
        return str(found[0]["experiment_id"])

    def pipeline(self, name: str) -> str:
        """Id of the pipeline with this name, made when missing."""
        try:
            found = self._call("GET", f"{API}/pipelines/names/{urllib.parse.quote(name)}", self._owner())
        except NotFound:
            found = self._call("POST", f"{API}/pipelines", body={"name": name, "display_name": name, **self._owner()})
        return str(found["pipeline_id"])

    def versions(self, pipeline_id: str) -> list[Json]:
        """All versions of a pipeline, their specs included."""
        return self._all(f"pipelines/{pipeline_id}/versions", key="pipeline_versions")

    def upload_version(self, pipeline_id: str, name: str, display_name: str, package: bytes) -> str:
        """Id of a new version, made from a compiled package (YAML)."""
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="uploadfile"; filename="{name}.yaml"\r\n'
        form = head.encode() + b"Content-Type: application/yaml\r\n\r\n" + package + f"\r\n--{boundary}--\r\n".encode()
        asked = {"pipelineid": pipeline_id, "name": name, "display_name": display_name}
        path = f"{API}/pipelines/upload_version"
        answer = self._read(self._send("POST", path, asked, form, f"multipart/form-data; boundary={boundary}"))
        return str(answer["pipeline_version_id"])

    def runs_named(self, name: str, experiment_id: str) -> list[Json]:
        """Runs with exactly this name, oldest first."""
        found = self._all("runs", filter=_named(name), experiment_id=experiment_id, **self._owner())
        return sorted(found, key=lambda run: (run["created_at"], run["run_id"]))

    def create_run(
        self, name: str, experiment_id: str, pipeline_id: str, version_id: str, parameters: Json, description: str = ""
    ) -> Json:
        """Start a run. Not idempotent: two calls make two runs."""
        body = {
            "display_name": name,
            "description": description,
            "experiment_id": experiment_id,
            "pipeline_version_reference": {"pipeline_id": pipeline_id, "pipeline_version_id": version_id},
            "runtime_config": {"parameters": parameters},
        }
        return self._call("POST", f"{API}/runs", body=body)

    def run(self, run_id: str) -> Json:
        """A run with its state and its tasks."""
        return self._call("GET", f"{API}/runs/{run_id}")

    def terminate(self, run_id: str) -> None:
        self._call("POST", f"{API}/runs/{run_id}:terminate")

    def log(self, run_id: str, pod: str) -> str:
        """What a pod of a run printed, from the pod or from the archive; empty when neither has it."""
        try:
            return self._send("GET", f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log").decode(errors="replace")
        except (NotFound, StoreError, InputError):
            return ""

    def _owner(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}

    def _all(self, path: str, key: str = "", **query: str) -> list[Json]:
        """Every page of a list."""
        found: list[Json] = []
        token = ""
        while True:
            page = self._call("GET", f"{API}/{path}", {"page_size": "100", "page_token": token, **query})
            found += page.get(key or path, [])
            token = page.get("next_page_token", "")
            if not token:
                return found

    def _call(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Json | None = None) -> Json:
        return self._read(self._send(method, path, query, None if body is None else json.dumps(body).encode()))

    def _read(self, answer: bytes) -> Json:
        try:
            value = json.loads(answer or b"{}")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            hint = "" if self.token else ", or a login page stands before it: set KUBEFLOW_TOKEN"
            raise InputError(f"{self.endpoint} answers, but not as Kubeflow Pipelines does: check the address{hint}")
        return value

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        data: bytes | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        asked = urllib.parse.urlencode({name: value for name, value in (query or {}).items() if value})
        url = f"{self.endpoint}{path}" + (f"?{asked}" if asked else "")
        headers = {"Content-Type": content_type}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            request = urllib.request.Request(url, data, headers, method=method)
            with urllib.request.urlopen(request, timeout=self.timeout_seconds) as answer:
                return bytes(answer.read())
        except (ValueError, http.client.InvalidURL):
            raise InputError(f"{self.endpoint} is no address; write it as http://HOST:PORT") from None
        except urllib.error.HTTPError as error:
            raise self._refusal(error.code, error.read()) from None
        except (OSError, http.client.HTTPException) as error:  # a timeout is an OSError
            reason = getattr(error, "reason", None) or error
            raise StoreError(f"Kubeflow at {self.endpoint} cannot be reached ({reason}); check --endpoint") from None

    def _refusal(self, code: int, body: bytes) -> InputError | StoreError:
        if code in (401, 403):
            cause = (
                "set KUBEFLOW_TOKEN" if not self.token else "KUBEFLOW_TOKEN is wrong, has expired, or may not do this"
            )
            return InputError(f"Kubeflow at {self.endpoint} refuses access ({code}): {cause}")
        try:
            said = str(json.loads(body).get("message", ""))
        except (ValueError, AttributeError):
            said = ""
        said = said.rsplit("Error: ", 1)[-1].splitlines()[0][:300] if said else f"HTTP {code}"
        if code == 404:
            return NotFound(f"Kubeflow at {self.endpoint}: {said}")
        if code in (400, 409, 422):
            return InputError(f"Kubeflow at {self.endpoint} refuses: {said}")
        return StoreError(f"Kubeflow at {self.endpoint} failed: {said}")


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "name", "string_value": name}]})
