"""`helm test`: asks the gateway for its health, then for a list. Standard library only; it runs in the serving image."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

GATEWAY, NAME, USER = os.environ["GATEWAY"], os.environ["MODEL"], os.environ["FOR_USER"]
DEADLINE = time.monotonic() + float(os.environ.get("WAIT_SECONDS", "60"))


def ask(path: str, body: object = None) -> tuple[int, dict]:
    """Status and JSON of an answer. Raises OSError when there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(GATEWAY + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def health() -> None:
    while True:
        try:
            status, answer = ask("/accepting")
        except OSError as error:
            status, answer = 0, {"error": str(error)}
        if status == 200:
            print(f"the gateway at {GATEWAY} takes requests and events")
            return
        if time.monotonic() > DEADLINE:
            sys.exit(f"FAILED: the gateway at {GATEWAY} is not well: {answer.get('error', answer)}")
        time.sleep(1)


def recommendation() -> None:
    status, answer = ask(f"/v1/models/{NAME}:predict", {"instances": [{"user_id": USER, "k": 5}]})
    if status == 503 and os.environ["NEEDS_RELEASE"] != "true":
        print(f"no release serves yet ({answer['error']}); the first is promoted by a training run: everloop submit")
        return
    if status != 200:
        sys.exit(f"FAILED: no list, status {status}: {answer.get('error', answer)}")
    [given] = answer["predictions"]
    items = ", ".join(item["id"] for item in given["items"])
    if not items:
        sys.exit(f"FAILED: an empty list from release {given['release']}")
    fallback = f", by the gateway itself ({given['fallback']})" if "fallback" in given else ""
    print(f"release {given['release'][:12]} ({given['variant']}){fallback} recommends {items}")


health()
recommendation()
