"""The server process: `everloop serve`.

>>> main(".everloop", Settings())                            # the champion of a home, and every champion after it
>>> main("", Settings(), model_dir="/mnt/models")            # one release, as KServe's storage initializer gives it

SIGTERM: not ready at once, requests in flight finish, exit 0.
"""

import asyncio
import contextlib
import gc
import logging
import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits

from components.recsys.errors import InputError, StoreError
from components.recsys.home import Home
from components.recsys.release import SHORT, load_folder
from components.recsys.settings import Settings
from serving.app import App
from serving.champion import Follower, warm
from serving.connection import guarded, sweep
from serving.history import History, open_history
from serving.logs import log
from serving.measures import Measures
from serving.predictor import Predictor
from serving.service import Service

Told = Callable[[str], None]
BACKLOG = 2048
# Longer than the idle time of proxies (60 s is usual), so that the proxy closes first and loses no request.
KEEP_ALIVE_SECONDS = 75


class Server(uvicorn.Server):
    """uvicorn's server that drains first, sweeps its connections, and takes a signal as a wish, not as a death."""

    def __init__(self, config: uvicorn.Config, service: Service, drain_seconds: float) -> None:
        super().__init__(config)
        self.service, self.drain_seconds = service, drain_seconds
        self.exit_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.exit_at is not None:
            self.force_exit = self.should_exit = True  # asked twice: now
            return
        self.service.drain()
        self.exit_at = time.monotonic() + (self.drain_seconds if sig == signal.SIGTERM else 0.0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.sweeper = asyncio.create_task(sweep(self.server_state.connections))

    async def on_tick(self, counter: int) -> bool:
        if self.exit_at is not None and time.monotonic() >= self.exit_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self.sweeper.cancel()


def main(
    home: str,
    settings: Settings,
    model_dir: str | None = None,
    told: Told = print,
    ready: Told = lambda url: None,
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises InputError, NotFound or Refused at the start.

    ready: called once with the server's URL, when connections are taken.
    """
    with prepared(home, settings, model_dir, told) as (server, listener, url):
        ready(url)
        told(f"answering at {url}/v1/models/{settings.serving.name}:predict")
        # BLAS threads would only fight: requests already keep the core busy.
        with threadpool_limits(1):
            gc.collect()
            gc.freeze()  # what is loaded now stays; the collector need not walk it again
            server.run(sockets=[listener])
    told("stopped; all requests were answered")
    return 0


@contextlib.contextmanager
def running(
    home: str, settings: Settings, model_dir: str | None = None, told: Told = lambda text: None
) -> Iterator[str]:
    """The server in a thread of this process, for as long as the block lasts; gives its URL."""
    with prepared(home, settings, model_dir, told) as (server, listener, url):
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def prepared(
    home: str, settings: Settings, model_dir: str | None, told: Told
) -> Iterator[tuple[Server, socket.socket, str]]:
    """A server that is loaded and listens, but does not answer yet."""
    serving, measures = settings.serving, Measures()
    listener = listen(serving.host, serving.port)
    try:
        history = opened_history(home, settings, model_dir, told)
        service = Service(serving, history, measures)
        follower = None
        if model_dir:
            release = load_folder(Path(model_dir))
            service.take(warm(Predictor(release)))
        else:
            follower = Follower(Home(home), serving, history, measures, service.take)
            follower.look()
        told(serving_sentence(service, home))
        quieten_uvicorn()
        config = uvicorn.Config(
            App(service),
            interface="asgi3",
            loop="uvloop",
            http=guarded(serving, measures),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(serving.grace_seconds),
        )
        if follower:
            follower.start()
        host, port = listener.getsockname()[:2]
        try:
            yield (
                Server(config, service, serving.drain_seconds),
                listener,
                f"http://{f'[{host}]' if ':' in host else host}:{port}",
            )
        finally:
            if follower:
                follower.stop()
            service.close()
    finally:
        listener.close()


class OneLine(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log(record.getMessage().strip(), error=str(record.exc_info[1]) if record.exc_info else None)


def quieten_uvicorn() -> None:
    """Its faults in our log's form; its greetings and complaints about clients not at all."""
    logger = logging.getLogger("uvicorn.error")
    logger.handlers, logger.propagate = [OneLine()], False
    logger.setLevel(logging.ERROR)


def listen(host: str, port: int) -> socket.socket:
    """Raises InputError with what to do when the address is taken or not ours."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port, 0 takes a free one"
        ) from None
    return listener


def opened_history(home: str, settings: Settings, model_dir: str | None, told: Told) -> History:
    """The store that settings name; by default a file in the home, or memory where there is no folder to write to."""
    limit = settings.serving.max_history
    if settings.serving.history:
        return open_history(settings.serving.history, limit)
    folder = None if model_dir else Home(home).local
    if folder is None:
        told("online history in memory: it is lost at a restart; name a store with --set serving.history=URL")
        return open_history("memory://", limit)
    try:
        return open_history(f"sqlite://{folder}/online/history.sqlite", limit)
    except StoreError as error:
        log("the online history is in memory", why=str(error))
        told(f"online history in memory, lost at a restart: {error}")
        return open_history("memory://", limit)


def serving_sentence(service: Service, home: str) -> str:
    if not service.leading:
        return f"no champion in {home} that can be served yet; waiting for one (`everloop run` promotes the first)"
    predictor = service.current()
    return f"serving release {predictor.digest[:SHORT]} ({predictor.model.name}, {len(predictor.ids)} items)"
