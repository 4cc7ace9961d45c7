"""The controller's process: `everloop controller run`.

>>> main(Home(".everloop"), Settings(), launcher)

The webhook answers in the event loop; a thread takes a turn every second, and at once when something was stored. SIGTERM:
requests in flight finish, exit 0; runs go on by themselves and are found again at the next start.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import FrameType

import uvicorn

from components.recsys import clock
from components.recsys.errors import EverloopError, InputError
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.pulse import Pulse
from components.recsys.release import SHORT
from components.recsys.settings import Settings
from components.recsys.statuses import Statuses
from monitoring.controller.app import Webhook, make_app
from monitoring.controller.database import Database, open_database
from monitoring.controller.engine import Controller
from monitoring.controller.facts import facts
from monitoring.controller.launcher import Launcher
from monitoring.controller.measures import Measures
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import Triggers

Told = Callable[[str], None]
TURN_SECONDS = 1.0
REST_SECONDS = 0.05  # between two turns, so that a storm is decided in few of them
STATUS_SECONDS = 5.0  # between two words to the status file when nothing changed
GRACE_SECONDS = 10
HANGS_SECONDS = 300.0  # a turn that takes longer: the slowest waits for Kubeflow a few times, 30 s each


def main(
    home: Home,
    settings: Settings,
    launcher: Launcher,
    told: Told = print,
    ready: Told = lambda url: None,
) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code. Raises InputError or StoreError at the start.

    ready: called once with the server's URL, when connections are taken.
    """
    with prepared(home, settings, launcher, told) as (server, listener, url, worker):
        worker.start()
        ready(url)
        told(f"alerts go to {url}/v1/alerts")
        server.run(sockets=[listener])
    told("stopped; runs under way go on and are found again")
    return 0


def database_of(home: Home, settings: Settings) -> Database:
    """PostgreSQL by URL, or a file in the home. Raises InputError for a home without a folder and no URL."""
    if settings.retrain.database:
        return open_database(settings.retrain.database)
    if home.local is None:
        raise InputError(
            f"{home.url} is object storage, which holds no SQLite file: name a database with "
            "--set retrain.database=postgresql://..., or ask where the controller runs: "
            "kubectl exec deploy/everloop-controller -- everloop controller status"
        )
    return open_database(f"sqlite://{home.local.absolute()}/controller/controller.sqlite")


class Worker(threading.Thread):
    """Turns, one after the other, and the status that others read."""

    def __init__(self, controller: Controller, home: Home, settings: Settings, url: str, told: Told) -> None:
        super().__init__(name="controller", daemon=True)
        self.controller, self.settings, self.url, self.told = controller, settings, url, told
        self.statuses = Statuses(home.store)
        self.wake, self.ending, self.pulse = threading.Event(), False, Pulse(HANGS_SECONDS)
        self.trouble = "the first turn is yet to come"
        self.said: tuple[float, object] = (float("-inf"), None)

    def run(self) -> None:
        while not self.ending:
            self.wake.clear()
            self.pulse.beat()
            trouble = self._turn()
            if trouble and trouble != self.trouble:
                self.told(trouble)
            self.trouble = trouble
            self.wake.wait(TURN_SECONDS)
            time.sleep(REST_SECONDS)

    def stop(self) -> None:
        self.ending = True
        self.wake.set()
        self.join(GRACE_SECONDS)

    def _turn(self) -> str:
        """What is wrong, in a sentence, or ""."""
        try:
            if self.controller.turn():
                self._say()
        except EverloopError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the turns; the metric of the last turn tells
            return f"a turn failed by our mistake: {type(error).__name__}: {error}"
        return ""

    def _say(self) -> None:
        retrain = self.settings.retrain
        value = {"url": self.url, "trouble": self.controller.trouble}
        value |= facts(self.controller.triggers, self.controller.switches, retrain)
        if value != self.said[1] or time.monotonic() - self.said[0] > STATUS_SECONDS:
            self.statuses.write("controller", value)
            self.said = (time.monotonic(), value)


class Server(uvicorn.Server):
    """Takes a signal as a wish to stop, not as a death."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit  # asked twice: now
        self.should_exit = True


@contextlib.contextmanager
def running(home: Home, settings: Settings, launcher: Launcher, told: Told = lambda text: None) -> Iterator[str]:
    """The controller in threads of this process, for as long as the block lasts; gives its URL."""
    with prepared(home, settings, launcher, told) as (server, listener, url, worker):
        worker.start()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="controller server")
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


def answer_of(ledger: Ledger, most_seconds: float) -> str:
    """The release on its way to people, in a sentence. One that nobody released in the longest time of a rollout is none."""
    entry = ledger.on_its_way()
    if entry is None or (clock.now() - datetime.fromisoformat(entry.time)).total_seconds() > most_seconds:
        return ""
    return f"release {entry.release[:SHORT]} passed the gate at {entry.time[:16]} and is on its way to people"


@contextlib.contextmanager
def prepared(
    home: Home, settings: Settings, launcher: Launcher, told: Told
) -> Iterator[tuple[Server, socket.socket, str, Worker]]:
    """A controller that is loaded and listens, but does not act yet."""
    retrain, measures = settings.retrain, Measures()
    if retrain.token_file and not Path(retrain.token_file).is_file():
        raise InputError(f"retrain.token_file {retrain.token_file} does not exist")
    listener = listen(retrain.host, retrain.port)
    try:
        database = database_of(home, settings)
        try:
            triggers, switches = Triggers(database, retrain.cooldown_seconds), Switches(database)
            controller = Controller(
                *(triggers, switches, launcher, retrain, measures, told),
                on_its_way=lambda: answer_of(Ledger(home), settings.rollout.max_seconds),
            )
            host, port = listener.getsockname()[:2]
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            worker = Worker(controller, home, settings, url, told)
            webhook = Webhook(
                *(triggers, switches, retrain),
                measures=measures,
                ready=lambda: worker.trouble,
                hangs=lambda: worker.pulse.trouble(),
                heard=worker.wake.set,
            )
            logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
            config = uvicorn.Config(
                make_app(webhook),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
            try:
                yield Server(config), listener, url, worker
            finally:
                if worker.is_alive():
                    worker.stop()
        finally:
            database.close()
    finally:
        listener.close()


def listen(host: str, port: int) -> socket.socket:
    """Raises InputError with what to do when the address is taken or not ours."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --set retrain.port=N, 0 takes a free one"
        ) from None
    return listener
