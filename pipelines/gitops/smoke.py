"""The test after each sync: does the gateway give a list, from a release, where there is one to give it?

>>> smoke("http://everloop-gateway", stable=digest, wait_seconds=150)
Smoke(release='9f2c...', variant='champion', items=['i17'], sentence='release 9f2c4a1b0c3d (champion) recommends i17')

It waits, because after a sync predictors start and the rollout engine follows. The gateway's own list of what is popular is
no pass where a release should answer: it is what people get when every predictor is down. That a stranger gets what is popular
from a predictor (`unknown_user`) is as it should be.
"""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from components.recsys.errors import InputError, Refused, StoreError
from components.recsys.neighbours import NO_PROXY
from components.recsys.release import SHORT

USER = "smoke-test"  # nobody: gets what the model gives a stranger
NO_PREDICTOR = "no_predictor"  # serving.gateway.lastresort says so of its own lists
PAUSE_SECONDS = 1.0
ANSWER_SECONDS = 10.0  # for one answer


@dataclass(frozen=True)
class Smoke:
    """release: '' where nobody serves yet and nobody should."""

    sentence: str
    release: str = ""
    variant: str = ""
    items: list[str] = field(default_factory=list)


def smoke(gateway: str, stable: str = "", wait_seconds: float = 0.0, model: str = "everloop") -> Smoke:
    """Raises Refused when there is no list of a release although there is a champion, StoreError without a gateway.

    stable: the release that git names, '' for none; the gateway's console may know of a champion all the same.
    """
    if not gateway.startswith(("http://", "https://")):
        raise InputError(f"--gateway {gateway}: write it as http://HOST:PORT")
    gateway = gateway.rstrip("/")
    deadline = time.monotonic() + wait_seconds
    while True:
        status, answer = asked(f"{gateway}/v1/models/{model}:predict", {"instances": [{"user_id": USER, "k": 1}]})
        found = passed(status, answer)
        if found:
            return found
        expected = stable or champion(gateway)
        if status == 503 and not expected:
            return Smoke("no release serves yet, and there is none that should")
        if time.monotonic() >= deadline:
            break
        time.sleep(PAUSE_SECONDS)
    if not status:
        raise StoreError(f"the gateway at {gateway} does not answer: {answer.get('error')}")
    raise Refused(f"{why_not(status, answer)}, although {expected[:SHORT] or 'a release'} should serve")


def passed(status: int, answer: dict[str, Any]) -> Smoke | None:
    """The list, if it is one and comes from a release."""
    if status != 200:
        return None
    try:
        (given,) = answer["predictions"]
        items = [str(item["id"]) for item in given["items"]]
        release, variant = str(given["release"]), str(given["variant"])
    except (KeyError, TypeError, ValueError):
        return None
    if not items or not release or given.get("fallback") == NO_PREDICTOR:
        return None
    return Smoke(f"release {release[:SHORT]} ({variant}) recommends {', '.join(items)}", release, variant, items)


def why_not(status: int, answer: dict[str, Any]) -> str:
    if status != 200:
        return f"the gateway gives no list (status {status}: {answer.get('error', 'without a word')})"
    try:
        (given,) = answer["predictions"]
        if given.get("fallback") == NO_PREDICTOR:
            return "no predictor answers, the list is the gateway's own"
        return "the gateway gives an empty list"
    except (KeyError, TypeError, ValueError, AttributeError):
        return "what answers there is no gateway of Everloop"


def champion(gateway: str) -> str:
    """Who serves, as the console tells it; '' for nobody, or where there is no console."""
    status, answer = asked(f"{gateway}/v1/state")
    try:
        variants = answer["serving"]["variants"] if status == 200 else []
        return next((str(one["release"]) for one in variants if one["variant"] == "champion"), "")
    except (KeyError, TypeError):
        return ""


def asked(url: str, body: object = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an answer; status 0 with an error where there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with NO_PROXY.open(request, timeout=ANSWER_SECONDS) as reply:
            return reply.status, _json(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())
    except OSError as error:
        return 0, {"error": str(getattr(error, "reason", error))}


def _json(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"error": "no JSON object"}
