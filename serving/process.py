"""How a server of ours runs: it listens before it answers, drains first when it is told to stop, and sweeps connections.

>>> with listening("127.0.0.1", 0) as (listener, url):
...     run(Server(configured(app, settings, measures), service, settings.drain_seconds), listener)

SIGTERM: not ready at once, requests in flight finish. Asked twice: now.
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
from collections.abc import Iterator
from types import FrameType
from typing import Any

import uvicorn
from threadpoolctl import threadpool_limits

from components.recsys.errors import InputError
from components.recsys.settings import ServingSettings
from serving.connection import CutOffs, guarded, sweep
from serving.endpoints import Draining
from serving.logs import log

BACKLOG = 2048
# Longer than the idle time of proxies (60 s is usual), so that the proxy closes first and loses no request.
KEEP_ALIVE_SECONDS = 75


class Server(uvicorn.Server):
    """uvicorn's server that drains first, sweeps its connections, and takes a signal as a wish, not as a death."""

    def __init__(self, config: uvicorn.Config, served: Draining, drain_seconds: float) -> None:
        super().__init__(config)
        self.served, self.drain_seconds = served, drain_seconds
        self.exit_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.exit_at is not None:
            self.force_exit = self.should_exit = True  # asked twice: now
            return
        self.served.drain()
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
        self.served.leave()


def configured(app: Any, settings: ServingSettings, measures: CutOffs) -> uvicorn.Config:
    quieten_uvicorn()
    return uvicorn.Config(
        app,
        interface="asgi3",
        loop="uvloop",
        http=guarded(settings, measures),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nobody here asks who the client is
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.grace_seconds),
    )


def run(server: Server, listener: socket.socket) -> None:
    """Until SIGTERM or SIGINT."""
    # BLAS threads would only fight: requests already keep the core busy.
    with threadpool_limits(1):
        gc.collect()
        gc.freeze()  # what is loaded now stays; the collector need not walk it again
        server.run(sockets=[listener])


@contextlib.contextmanager
def in_thread(server: Server, listener: socket.socket) -> Iterator[None]:
    """The server in a thread of this process, for as long as the block lasts."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """A socket that takes connections, and its URL. Raises InputError as `listen` does."""
    listener = listen(host, port)
    try:
        host, port = listener.getsockname()[:2]
        yield listener, f"http://{f'[{host}]' if ':' in host else host}:{port}"
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
