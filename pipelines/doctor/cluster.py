"""Questions to the API server that KUBECONFIG points at; every answer is a value, and so is every refusal.

>>> cluster = Cluster()
>>> cluster.get("/api/v1/namespaces/team-a").status
200
>>> cluster.get("/apis/apps/v1/deployments").why
'the API server does not let you (403): deployments.apps is forbidden: User "jo" cannot list resource "deployments"'

The real `kubernetes` client carries the questions, since it knows every way of logging in (certificates, tokens,
exec plugins, in-cluster). Its retries are off: one slow API server must not hold the doctor for minutes.
"""

import json
import os
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from components.recsys.errors import InputError, StoreError
from pipelines.doctor.findings import Unanswered

Json = dict[str, Any]
TRIES = 3  # of a question that was answered with 429 or 5xx
LONGEST_WAIT = 5.0  # seconds that a Retry-After may ask for; longer ones end the question
PAGE = 250


class Unreachable(StoreError):
    """The cluster cannot be asked at all: no kubeconfig, no connection, no login. Exit code 3."""


@dataclass(frozen=True)
class Answer:
    status: int  # of HTTP; 0 when none came
    body: Json
    why: str = ""  # what to say of an answer that is none
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def missing(self) -> bool:
        return self.status == 404

    def must(self) -> Json:
        """The body. Raises Unanswered where there is none."""
        if not self.ok:
            raise Unanswered(self.why)
        return self.body


class Cluster:
    """One context of the kubeconfig.

    timeout_seconds: for one answer. patience_seconds: for all questions that got none in time, after which the rest is
    not asked. Raises Unreachable, or InputError for a --context that the kubeconfig does not know.
    """

    def __init__(self, context: str = "", timeout_seconds: float = 10, patience_seconds: float = 30) -> None:
        self.client, self.context, self.namespace = _client(context)
        self.server = str(self.client.configuration.host)
        self.timeout_seconds, self._patience = timeout_seconds, patience_seconds
        self._known: dict[str, Answer] = {}
        self._lock = threading.Lock()
        self.version = self._hello()

    def get(self, path: str, **query: str) -> Answer:
        """A GET; the same question is asked once."""
        url = path + (f"?{urlencode(query)}" if query else "")
        if url not in self._known:
            self._known[url] = self._ask("GET", url)
        return self._known[url]

    def create(self, path: str, body: Json, dry_run: bool = True) -> Answer:
        """A POST. dry_run: admission decides, nothing is stored. Reviews (who may do what) are never stored."""
        return self._ask("POST", path + ("?dryRun=All" if dry_run else ""), body)

    def items(self, path: str, **query: str) -> list[Json]:
        """Every page of a list. Raises Unanswered; a kind that is not there (404) is an empty list."""
        return list(self._pages(path, query))

    def close(self) -> None:
        self.client.close()

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[Json]:
        token = ""
        while True:
            page = self.get(path, **query, limit=str(PAGE), **({"continue": token} if token else {}))
            if page.missing:
                return
            if page.status == 410 and token:  # the list's snapshot is gone, too slowly read: once more without pages
                yield from self.get(path, **query).must().get("items") or ()
                return
            yield from page.must().get("items") or ()
            token = str(page.body.get("metadata", {}).get("continue") or "")
            if not token:
                return

    def _hello(self) -> Json:
        """The server's version; {} where it is not told to strangers."""
        answer = self.get("/version")
        if answer.status == 0:
            raise Unreachable(f"the cluster at {self.server} cannot be reached: {answer.why}; try: kubectl version")
        if answer.status == 401:
            raise Unreachable(
                f"the cluster at {self.server} refuses your login (401): the token or certificate is wrong or has "
                "expired; log in again, then try: kubectl auth whoami"
            )
        if answer.ok and not answer.body.get("gitVersion"):
            raise Unreachable(f"{self.server} answers, but not as Kubernetes does; check the kubeconfig's server")
        if answer.status >= 500:
            raise Unreachable(f"the cluster at {self.server} answers only with errors: {answer.why}")
        return answer.body if answer.ok else {}

    def _ask(self, method: str, url: str, body: Json | None = None) -> Answer:
        answer = Answer(0, {}, "not asked, since the API server has been too slow")
        for attempt in range(TRIES):
            if self._patience <= 0:
                return answer
            began = time.monotonic()
            answer = self._once(method, url, body)
            if answer.status == 0:
                with self._lock:
                    self._patience -= time.monotonic() - began
                return answer
            if answer.status != 429 and answer.status < 500:
                return answer
            wait = _seconds(answer.headers.get("Retry-After", ""), 0.2 * 2**attempt)
            if wait > LONGEST_WAIT:
                return answer
            if attempt + 1 < TRIES:
                time.sleep(wait)
                with self._lock:
                    self._patience -= wait
        return answer

    def _once(self, method: str, url: str, body: Json | None) -> Answer:
        import urllib3
        from kubernetes.client import ApiException

        try:
            raw = self.client.call_api(
                url,
                method,
                header_params={"Accept": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=(min(5.0, self.timeout_seconds), self.timeout_seconds),
            )
            return Answer(raw.status, _read(raw.data), headers=raw.headers)
        except ApiException as error:
            if not error.status:
                return Answer(0, {}, _first_line(error.reason))
            told = _read(error.body)
            return Answer(error.status, told, _refusal(error.status, told), error.headers or {})
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # in some versions a kind of timeout
            if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
                return Answer(0, {}, f"no answer within {self.timeout_seconds:g} s")
            return Answer(0, {}, _first_line(error).rpartition(": ")[2])


def _client(context: str) -> tuple[Any, str, str]:
    """(client, name of the context, its namespace)."""
    import yaml
    from kubernetes import client, config
    from kubernetes.config import ConfigException

    settings: Any = client.Configuration()
    try:
        if not context and not os.environ.get("KUBECONFIG") and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=settings)
            name, namespace = "in-cluster", _own_namespace()
        else:
            files = (
                os.environ.get("KUBECONFIG") or "~/.kube/config"
            )  # the client reads the variable once, at its import
            contexts, current = config.list_kube_config_contexts(files)
            known = [each["name"] for each in contexts]
            if context and context not in known:
                raise InputError(f"--context {context}: the kubeconfig knows only {', '.join(known)}")
            config.load_kube_config(files, context=context or None, client_configuration=settings)
            chosen = next((each for each in contexts if each["name"] == context), current)
            name, namespace = chosen["name"], chosen["context"].get("namespace") or "default"
    except ConfigException as error:
        raise Unreachable(
            f"no cluster to ask ({_first_line(error)}); set KUBECONFIG, or see: kubectl config get-contexts"
        ) from None
    except (yaml.YAMLError, OSError, TypeError, KeyError, AttributeError, ValueError) as error:  # a broken file
        why = _first_line(error) or type(error).__name__
        raise Unreachable(f"the kubeconfig cannot be read ({why}); see: kubectl config view") from None
    settings.retries = False
    host = urlsplit(settings.host)
    proxy = urllib.request.getproxies().get(host.scheme)
    if proxy and settings.proxy is None and not urllib.request.proxy_bypass(host.hostname or ""):
        settings.proxy = proxy  # as kubectl does
    return client.ApiClient(settings), name, namespace


def _own_namespace() -> str:
    try:
        with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return "default"


def _refusal(status: int, body: Json) -> str:
    said = _first_line(body.get("message") or "")
    said = f": {said}" if said else ""
    if status == 401:
        return f"the API server refuses your login (401){said}"
    if status == 403:
        return f"the API server does not let you (403){said}"
    if status == 404:
        return f"not there (404){said}"
    if status == 429:
        return f"the API server has too much to do (429){said}"
    if status >= 500:
        return f"the API server failed ({status}){said}"
    return f"the API server refuses ({status}){said}"


def _read(data: Any) -> Json:
    try:
        value = json.loads(data or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _first_line(text: object) -> str:
    lines = [line.strip() for line in str(text).strip().splitlines() if line.strip()]
    return lines[-1 if lines and lines[0].endswith("Error") else 0][:300] if lines else ""


def _seconds(text: str, otherwise: float) -> float:
    return float(text) if text.isdigit() else otherwise
