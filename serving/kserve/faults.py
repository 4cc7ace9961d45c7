"""What Kubernetes' API answers when it does not do what was asked, each as a sentence to act on.

>>> raise told(403, b'{"kind": "Status", ...}', Asked("create", INFERENCE_SERVICES, "prod"))
Forbidden: create on inferenceservices.serving.kserve.io in namespace prod is not allowed (system:serviceaccount:prod:...); grant ...

Status codes: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md
"""

import json
import re
from typing import Any, NamedTuple

from components.recsys.errors import EverloopError, NotFound, Refused, StoreError

BUSY = (429, 500, 502, 503, 504)  # worth another try
WORDS = 400  # characters of somebody else's sentence that are passed on
USER = re.compile(r'User "([^"]+)" cannot')


class Kind(NamedTuple):
    """A kind of object, as the API's addresses name it."""

    group: str
    version: str
    plural: str

    @property
    def name(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class Asked(NamedTuple):
    verb: str
    kind: Kind
    namespace: str
    name: str = ""


class Forbidden(Refused):
    """The account has not the right; the sentence says which."""


class KindMissing(StoreError):
    """The cluster does not know the kind at all."""


class Conflict(StoreError):
    """Somebody else wrote in between, or was there first."""


class Gone(StoreError):
    """The version from which was to be read on is no longer kept: list anew."""


class Unavailable(StoreError):
    """The API server cannot just now. wait: seconds it asked for, if it did."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


def told(code: int, body: bytes, asked: Asked, wait: float = 0.0) -> EverloopError:
    """The exception for an answer that is no success."""
    status = _status(body)
    message = " ".join(str(status.get("message") or body[:WORDS].decode(errors="replace")).split())[:WORDS]
    where = f"{asked.verb} on {asked.kind.name} in namespace {asked.namespace}"
    if code in (403, 401) and "cannot" in message and "admission webhook" not in message:
        return _forbidden(asked, message, where)
    if code == 401:
        return Refused(f"Kubernetes does not know who asks ({where}): the token is missing or has expired")
    if code == 404:
        details = status.get("details") or {}
        if details.get("kind") == "namespaces":
            return NotFound(f"namespace {asked.namespace} does not exist: make it first")
        if status.get("reason") == "NotFound" and details.get("name"):
            return NotFound(f"{asked.kind.name} {asked.name} is not in namespace {asked.namespace}")
        return _missing(asked)
    if code == 409:
        return Conflict(f"{where}: {message}")
    if code == 410 or status.get("reason") == "Expired":
        return Gone(f"{where}: {message}")
    if code in BUSY:
        if "admission webhook" in message or "failed calling webhook" in message:
            return Unavailable(f"{where}: {message}", wait)  # whose own server is down; its words say which
        return Unavailable(f"Kubernetes' API answers {code} to {where}: {message or 'without a word'}", wait)
    if code in (400, 403, 422) or "admission webhook" in message:
        return Refused(f"Kubernetes refuses {where}: {message}")
    return StoreError(f"Kubernetes' API answers {code} to {where}: {message}")


def _forbidden(asked: Asked, message: str, where: str) -> Forbidden:
    found = USER.search(message)
    who = f" to {found[1]}" if found else ""
    return Forbidden(
        f"{where} is not allowed{who}: grant it with a Role, verbs [{asked.verb}], resources [{asked.kind.plural}], "
        f"apiGroups ['{asked.kind.group}'], or install the chart with its roles (docs/kubernetes/access.md)"
    )


def _missing(asked: Asked) -> KindMissing:
    what = "KServe is not installed" if asked.kind.group == "serving.kserve.io" else "what serves it is not installed"
    return KindMissing(
        f"this cluster knows no {asked.kind.name} of {asked.kind.api_version}: {what}; `everloop doctor` says what is there"
    )


def _status(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) and value.get("kind") == "Status" else {}
