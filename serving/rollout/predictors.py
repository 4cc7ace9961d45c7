"""A predictor process for each release that is routed to, started, watched, adopted and ended.

>>> predictors = LocalPredictors(home, settings)
>>> predictors.ensure(digest)         # None while it starts, then 'http://127.0.0.1:41234'
>>> predictors.release(in_use={digest})   # those that nobody needs any more get SIGTERM after a while

Each process is written down under HOME/online/predictors, so an engine that was killed finds its predictors answering
and takes them over. Their logs lie under HOME/online/logs.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from components.recsys.errors import InputError
from components.recsys.home import Home
from components.recsys.neighbours import NO_PROXY
from components.recsys.release import SHORT
from components.recsys.settings import Settings
from serving.logs import log
from serving.rollout.processes import alive, birth_of, launch, send, writer_of

Condition = Literal["starting", "ready", "crashed", "gone"]

START_SECONDS = 60.0  # a predictor that does not answer by then hangs: a release of 100,000 items loads in five
HUNG_SECONDS = 15.0  # one that answered before, and is silent for this long, hangs
ASK_SECONDS = 1.0  # a neighbour that takes longer to say its name hangs
ASK_EVERY = 0.5  # so that several looks in one turn cost one question, and a hanging one holds a turn up once
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds before a process that ended is started again, doubled each time
STEADY_SECONDS = 60.0  # who ran this long is no longer held to have just crashed
GRACE_SECONDS = 15.0  # for requests under way when a release that never led is not routed to any more


@dataclass(frozen=True)
class Running:
    """One predictor as written down. Times: Unix, of the machine, since processes live in real time.

    birth: see processes.py; empty once it ended. url: empty until it answers. crashes: ends that nobody asked for.
    idle_since: since when no route names it; 0 while one does.
    """

    digest: str
    pid: int = 0
    birth: str = ""
    url: str = ""
    started: float = 0.0
    answered: float = 0.0
    crashes: int = 0
    crashes_lately: int = 0
    again: float = 0.0
    idle_since: float = 0.0


class Predictors(Protocol):
    """Where releases answer. restarts: processes that were started again, since this engine began."""

    restarts: int

    def ensure(self, digest: str) -> str | None:
        """The base URL at which a release answers; None until it does. Never waits for long."""

    def condition(self, digest: str) -> Condition: ...

    def crashes(self, digest: str) -> int:
        """How often its process ended without being asked to."""

    def last_words(self, digest: str) -> str:
        """Why it does not answer, as far as it said."""

    def release(self, in_use: set[str], warm: set[str]) -> None:
        """End those not needed: at once or after a while those in neither set, after `keep_seconds` those in `warm` only."""

    def facts(self) -> list[dict[str, object]]: ...

    def stop_all(self) -> None: ...


class LocalPredictors:
    """Processes on this machine."""

    def __init__(self, home: Home, settings: Settings, command: tuple[str, ...] = ()) -> None:
        if home.local is None:
            raise InputError(
                f"{home.url} is no folder, so predictors cannot be started from it: run them elsewhere and give "
                "--set rollout.predictors=urls --set rollout.predictor_url=http://HOST/{short}"
            )
        self.root, self.settings = home.local, settings
        self.command = command or (sys.executable, "-m", "pipelines.cli")
        self.folder, self.logs = self.root / "online" / "predictors", self.root / "online" / "logs"
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        self.known = {one.digest: one for one in [*self._unwritten(), *self._written()]}
        self.asked: dict[int, float] = {}  # pid -> monotonic seconds of the last question
        self.restarts = 0

    def ensure(self, digest: str) -> str | None:
        one = self.known.get(digest) or Running(digest)
        now = time.time()
        self._reap()
        if one.birth and not alive(one.pid, one.birth):
            one = self._ended(one, now, "it ended")
        if one.birth:
            one = self._asked(one, now)
        if not one.birth and now >= one.again:
            one = self._started(one, now)
        self._keep(replace(one, idle_since=0.0))
        return one.url if one.birth and one.url and one.answered >= one.started else None

    def condition(self, digest: str) -> Condition:
        one = self.known.get(digest)
        if one is None:
            return "gone"
        if not one.birth:
            return "crashed" if one.crashes_lately else "gone"
        return "ready" if one.url and one.answered >= one.started else "starting"

    def crashes(self, digest: str) -> int:
        return self.known[digest].crashes if digest in self.known else 0

    def last_words(self, digest: str) -> str:
        """The end of a predictor's log, for whoever must say why it does not start."""
        try:
            lines = (self.logs / f"predictor-{digest[:SHORT]}.log").read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")

    def release(self, in_use: set[str], warm: set[str]) -> None:
        now = time.time()
        for one in list(self.known.values()):
            if one.digest in in_use:
                continue
            since = one.idle_since or now
            limit = self.settings.rollout.keep_seconds if one.digest in warm else GRACE_SECONDS
            if not one.birth or now - since >= limit:
                self.retire(one.digest)
            elif not one.idle_since:
                self._keep(replace(one, idle_since=now))

    def retire(self, digest: str) -> None:
        """SIGTERM, after which it answers what it has begun; forgotten at once."""
        one = self.known.pop(digest, None)
        if one is not None:
            send(one.pid, one.birth, signal.SIGTERM)
            self._path(digest).unlink(missing_ok=True)
            self._path(digest, "out").unlink(missing_ok=True)
            log("predictor retired", release=digest[:SHORT])

    def facts(self) -> list[dict[str, object]]:
        return [
            {
                "release": one.digest[:SHORT],
                "state": self.condition(one.digest),
                "url": one.url,
                "pid": one.pid,
                "crashes": one.crashes,
            }
            for one in self.known.values()
        ]

    def stop_all(self) -> None:
        """End all of them and wait until they have."""
        running = [one for one in self.known.values() if one.birth]
        for one in running:
            send(one.pid, one.birth, signal.SIGTERM)
        deadline = time.monotonic() + self.settings.serving.grace_seconds + 5
        while any(alive(one.pid, one.birth) for one in running) and time.monotonic() < deadline:
            time.sleep(0.05)
            self._reap()
        for one in running:
            send(one.pid, one.birth, signal.SIGKILL)
            self._path(one.digest).unlink(missing_ok=True)
            self._path(one.digest, "out").unlink(missing_ok=True)
        for child in self.children.values():
            child.wait()
        self.known.clear()

    def _started(self, one: Running, now: float) -> Running:
        options = ["--port", "0", "--json", "--set", "serving.history=memory://"]
        options += ["--set", f"serving.name={self.settings.serving.name}"]
        folder = self.root / "releases" / one.digest
        child = launch(
            [*self.command, "serve", "--model-dir", str(folder), *options],
            self._path(one.digest, "out"),
            self.logs / f"predictor-{one.digest[:SHORT]}.log",
        )
        self.children[child.pid] = child
        if one.crashes:
            self.restarts += 1
        log("predictor started", release=one.digest[:SHORT], pid=child.pid, crashes=one.crashes)
        return replace(one, pid=child.pid, birth=birth_of(child.pid) or "gone", url="", started=now, answered=0.0)

    def _ended(self, one: Running, now: float, why: str) -> Running:
        lately = 1 if one.answered - one.started > STEADY_SECONDS else one.crashes_lately + 1
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (lately - 1))
        log("predictor crashed", release=one.digest[:SHORT], why=why, again_in_seconds=wait)
        return replace(one, birth="", crashes=one.crashes + 1, crashes_lately=lately, again=now + wait)

    def _asked(self, one: Running, now: float) -> Running:
        """Look whether it answers, with this release; end one that hangs."""
        if time.monotonic() - self.asked.get(one.pid, -ASK_EVERY) < ASK_EVERY:
            return one
        url = one.url or self._told(one)
        if url:
            self.asked[one.pid] = time.monotonic()
        if url and answers(url, self.settings.serving.name, one.digest):
            return replace(one, url=url, answered=now)
        limit = HUNG_SECONDS if one.answered else START_SECONDS
        if now - max(one.started, one.answered) > limit:
            send(one.pid, one.birth, signal.SIGKILL)
            return self._ended(one, now, f"it did not answer for {limit:.0f} s")
        return one

    def _told(self, one: Running) -> str:
        try:
            return str(json.loads(self._path(one.digest, "out").read_text())["url"])
        except (OSError, ValueError, KeyError):
            return ""

    def _reap(self) -> None:
        """Without this an ended child would stay a zombie for as long as we live."""
        self.children = {pid: child for pid, child in self.children.items() if child.poll() is None}

    def _path(self, digest: str, kind: str = "json") -> Path:
        return self.folder / f"{digest[:SHORT]}.{kind}"

    def _keep(self, one: Running) -> None:
        if self.known.get(one.digest) != one:
            self.known[one.digest] = one
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self._path(one.digest, "tmp")
            temporary.write_text(json.dumps(asdict(one)))
            temporary.replace(self._path(one.digest))

    def _written(self) -> list[Running]:
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                found.append(Running(**json.loads(path.read_text())))
            except (OSError, ValueError, TypeError):
                log("a predictor's record is unreadable and left alone", path=path.name)
        return found

    def _unwritten(self) -> list[Running]:
        """Those started by an engine that was killed before it could write them down."""
        found = []
        for out in sorted(self.folder.glob("*.out")):
            pid = writer_of(out)
            digest = next((path.name for path in (self.root / "releases").glob(f"{out.stem}*")), "")
            if pid and digest and not self._path(digest).exists():
                found.append(Running(digest, pid, birth_of(pid), started=time.time()))
        return found


class UrlPredictors:
    """Predictors that somebody else runs, such as KServe: asked, never started."""

    def __init__(self, settings: Settings) -> None:
        if not settings.rollout.predictor_url:
            raise InputError(
                "rollout.predictors is urls, so say where: --set rollout.predictor_url=http://everloop-{short}.prod/"
            )
        self.settings, self.ready = settings, dict[str, bool]()
        self.restarts = 0

    def url_of(self, digest: str) -> str:
        template = self.settings.rollout.predictor_url.rstrip("/")
        return template.replace("{digest}", digest).replace("{short}", digest[:SHORT])

    def ensure(self, digest: str) -> str | None:
        """None until it answers with this very release."""
        url = self.url_of(digest)
        self.ready[digest] = answers(url, self.settings.serving.name, digest)
        return url if self.ready[digest] else None

    def condition(self, digest: str) -> Condition:
        return "ready" if self.ready.get(digest) else "starting"

    def crashes(self, digest: str) -> int:
        return 0  # whoever runs them counts

    def last_words(self, digest: str) -> str:
        return f"{self.url_of(digest)} does not answer with this release"

    def release(self, in_use: set[str], warm: set[str]) -> None:
        self.ready = {digest: ready for digest, ready in self.ready.items() if digest in in_use | warm}

    def facts(self) -> list[dict[str, object]]:
        return [
            {"release": digest[:SHORT], "state": self.condition(digest), "url": self.url_of(digest)}
            for digest in self.ready
        ]

    def stop_all(self) -> None:
        """Nothing here to stop."""


def open_predictors(home: Home, settings: Settings) -> Predictors:
    if settings.rollout.predictors == "kserve":
        from serving.kserve.predictors import KServePredictors  # whoever runs no cluster needs none of it

        return KServePredictors(home, settings)
    return UrlPredictors(settings) if settings.rollout.predictors == "urls" else LocalPredictors(home, settings)


def answers(url: str, name: str, digest: str) -> bool:
    """Whether the predictor at a URL is ready and holds this release."""
    try:
        with NO_PROXY.open(f"{url}/v1/models/{name}", timeout=ASK_SECONDS) as answer:
            value = json.loads(answer.read(65_536))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and bool(value.get("ready")) and value.get("release") == digest
