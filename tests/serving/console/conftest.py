"""A real Chromium, driven over its DevTools pipe, before a real gateway and predictor.

Two file descriptors and JSON (`--remote-debugging-pipe`): no driver, no package, no port.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.routes import Routes, Target
from components.recsys.settings import GatewaySettings, LogSettings, ServingSettings, Settings
from serving.gateway.server import running
from serving.server import running as running_release

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ANSWER_SECONDS = 30.0  # for one command; a loaded machine takes seconds to paint
FLAGS = (
    *("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--mute-audio", "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-GB"),
)
# Chromium reads descriptor 3 and writes descriptor 4: ours go there first, by way of numbers that are surely free.
START = """
import fcntl, os, sys
a, b = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3])
os.dup2(a, 3), os.dup2(b, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """Commands of the DevTools protocol, one at a time."""

    def __init__(self, program: str, profile: Path) -> None:
        commands, self.writing = os.pipe()
        self.reading, answers = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(commands), str(answers), program, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        self.number, self.left, self.told = 0, b"", list[dict[str, Any]]()

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self.told.append(answer)

    def _next(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self.left:
            ready, _, _ = select.select([self.reading], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"Chromium did not answer {method} within {ANSWER_SECONDS:.0f} s"
            piece = os.read(self.reading, 1 << 20)
            assert piece, "Chromium ended"
            self.left += piece
        line, _, self.left = self.left.partition(b"\0")
        return dict(json.loads(line))

    def close(self) -> None:
        os.close(self.writing)  # Chromium ends with its pipe
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.reading)


@dataclass
class Tab:
    """One page in a context of its own: no cookies, no storage of other tests."""

    browser: Browser
    session: str

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **params)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str, seconds: float = 15.0) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while not self.js(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"{expression} did not come true; the page says:\n{self.text()}"
            time.sleep(0.05)

    def text(self, selector: str = "body") -> str:
        return str(self.js(f"document.querySelector({json.dumps(selector)}).innerText"))

    def texts(self, selector: str) -> list[str]:
        return list(self.js(f"[...document.querySelectorAll({json.dumps(selector)})].map(node => node.innerText)"))

    def click(self, selector: str, index: int = 0) -> None:
        """A click of the mouse in the middle of an element."""
        found = f"document.querySelectorAll({json.dumps(selector)})[{index}]"
        box = self.js(
            f"(() => {{ {found}.scrollIntoView({{block: 'center'}}); const b = {found}.getBoundingClientRect(); "
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def write(self, selector: str, text: str) -> None:
        """Put the focus there and type; a newline is the Enter key."""
        self.js(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text.rstrip("\n"))
        if text.endswith("\n"):
            self.press("Enter", 13, "\r")

    def press(self, key: str, code: int, text: str = "") -> None:
        more = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def size(self, width: int, height: int = 900, mobile: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def dark(self) -> None:
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def complaints(self) -> list[str]:
        """What the console of the browser got: errors of scripts, things that the policy refused."""
        self.js("0")
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [
            json.dumps(each["params"])
            for each in self.browser.told
            if each.get("method") in kinds and each.get("sessionId") == self.session
        ]

    def picture(self, file: Path, whole: bool = True) -> None:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        why = "the console's tests need a browser: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(why)  # there it must be
        pytest.skip(why)
    made = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    context = browser.call("Target.createBrowserContext")["browserContextId"]
    target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    made = Tab(browser, session)
    for domain in ("Page", "Runtime", "Log"):
        made.call(f"{domain}.enable")
    made.size(1280)
    yield made
    browser.call("Target.disposeBrowserContext", browserContextId=context)
    browser.told.clear()


@contextmanager
def gateway_over(home: Path, digest: str, port: int = 0) -> Iterator[str]:
    """A real gateway before a real predictor of the release, which is routed unless routes are there; the gateway's URL."""
    serving = ServingSettings(port=0, history="memory://")
    settings = Settings(
        serving=ServingSettings(poll_seconds=0.05),
        gateway=GatewaySettings(port=port, poll_seconds=0.05, explore=0.0),
        log=LogSettings(flush_seconds=0.02, segment_seconds=0.1),
    )
    with running_release("", Settings(serving=serving), str(home / "releases" / digest)) as url:
        routes = Routes.read(Home(home).store) or Routes(1, Target(digest, ()))
        champion, candidate = (
            target and Target(target.release, (url,)) for target in (routes.champion, routes.candidate)
        )
        replace(routes, champion=champion, candidate=candidate).write(Home(home).store)
        with running(str(home), settings) as gateway:
            yield gateway


@pytest.fixture(scope="session")
def gateway() -> Callable[..., Any]:
    return gateway_over
