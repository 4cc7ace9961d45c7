"""One HTTP endpoint that speaks JSON, and its refusals as sentences.

>>> Endpoint("http://localhost:8888").call("GET", "/apis/v2beta1/healthz")
{'multi_user': False}

A request that may be made twice (GET, and what the caller says so of) is made again after 429, a 5xx or a broken connection:
a few times, a little later each time, or when the answer says. Anything else is made once, and is refused with 429 only before
it was acted on, so that it may be made again too (RFC 6585, section 4).
"""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from components.recsys.errors import InputError, NotFound, StoreError

Json = dict[str, Any]
PAUSES = (0.2, 0.6, 1.8)  # seconds before each other try
LONGEST = 10.0  # seconds that an answer's Retry-After may hold us
PASSING = (429, 500, 502, 503, 504)


class Conflict(InputError):
    """What was to be made is there already."""

    status = 409


class Endpoint:
    """url: `http://` is added where no scheme is given. token: sent as a bearer token."""

    def __init__(self, url: str, token: str = "", timeout_seconds: float = 30) -> None:
        self.url = url.rstrip("/") if "://" in url else f"http://{url}".rstrip("/")
        self.token, self.timeout_seconds = token, timeout_seconds

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | bytes | None = None,
        content_type: str = "application/json",
        again: bool = False,
    ) -> Json:
        """The answer as an object. again: the request changes nothing when it is made twice."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        answer = self.send(method, path, query, data, content_type, again)
        try:
            value = json.loads(answer or b"{}")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            hint = "" if self.token else ", or a login page stands before it: set KUBEFLOW_TOKEN"
            raise InputError(f"{self.url} answers, but not as Kubeflow Pipelines does: check the address{hint}")
        return value

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        data: bytes | None = None,
        content_type: str = "application/json",
        again: bool = False,
    ) -> bytes:
        asked = urllib.parse.urlencode({name: value for name, value in (query or {}).items() if value})
        url = f"{self.url}{path}" + (f"?{asked}" if asked else "")
        headers = {"Content-Type": content_type}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        may_repeat = again or method == "GET"
        for pause in (*PAUSES, None):
            try:
                request = urllib.request.Request(url, data, headers, method=method)
                with urllib.request.urlopen(request, timeout=self.timeout_seconds) as answer:
                    return bytes(answer.read())
            except (ValueError, http.client.InvalidURL):
                raise InputError(f"{self.url} is no address; write it as http://HOST:PORT") from None
            except urllib.error.HTTPError as error:
                passing = error.code in PASSING and (may_repeat or error.code == 429)
                if pause is None or not passing:
                    raise self._refusal(error.code, error.read()) from None
                time.sleep(_told_pause(error, pause))
            except (OSError, http.client.HTTPException) as error:  # a timeout is an OSError
                reason = getattr(error, "reason", None) or error
                broken = isinstance(reason, ConnectionResetError | http.client.HTTPException)
                if pause is None or not broken or not may_repeat:
                    raise StoreError(f"Kubeflow at {self.url} cannot be reached ({reason}); check --endpoint") from None
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _refusal(self, code: int, body: bytes) -> InputError | StoreError:
        if code in (401, 403):
            cause = (
                "set KUBEFLOW_TOKEN" if not self.token else "KUBEFLOW_TOKEN is wrong, has expired, or may not do this"
            )
            return InputError(f"Kubeflow at {self.url} refuses access ({code}): {cause}")
        try:
            said = str(json.loads(body).get("message", ""))
        except (ValueError, AttributeError):
            said = ""
        said = said.rsplit("Error: ", 1)[-1].splitlines()[0][:300] if said else f"HTTP {code}"
        if code == 404:
            return NotFound(f"Kubeflow at {self.url}: {said}")
        if code in (400, 409, 422):
            return (Conflict if code == 409 else InputError)(f"Kubeflow at {self.url} refuses: {said}")
        if code == 429:
            return StoreError(f"Kubeflow at {self.url} is asked too often ({said}); try again in a minute")
        return StoreError(f"Kubeflow at {self.url} failed: {said}")


def _told_pause(error: urllib.error.HTTPError, otherwise: float) -> float:
    """Retry-After in seconds, within reason."""
    told = error.headers.get("Retry-After", "")
    return min(float(told), LONGEST) if told.isdigit() else otherwise
