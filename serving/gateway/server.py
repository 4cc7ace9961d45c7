"""The gateway's process: `everloop gateway`.

>>> main(".everloop", Settings())

SIGTERM: not ready at once, requests in flight finish, the log goes to disk and as far as it can to its sink, exit 0.
"""

import contextlib
import hashlib
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from components.recsys.buckets import secret_of
from components.recsys.datasets import cache_folder
from components.recsys.home import Home
from components.recsys.release import SHORT
from components.recsys.settings import LogSettings, Settings
from components.recsys.statuses import Statuses
from serving.gateway.app import GatewayApp
from serving.gateway.heartbeat import Heartbeat
from serving.gateway.measures import Measures
from serving.gateway.routing import Routing
from serving.gateway.service import Gateway
from serving.predictions.export import EventExport
from serving.predictions.log import PredictionLog
from serving.process import Server, configured, in_thread, listening, run
from serving.server import opened_history

Told = Callable[[str], None]


def main(home: str, settings: Settings, told: Told = print, ready: Told = lambda url: None) -> int:
    """Answer until SIGTERM or SIGINT; returns the exit code. Raises InputError or StoreError at the start.

    ready: called once with the gateway's URL, when connections are taken.
    """
    with prepared(home, settings, told) as (server, listener, url):
        ready(url)
        told(f"answering at {url}/v1/models/{settings.serving.name}:predict")
        run(server, listener)
    told("stopped; all requests were answered")
    return 0


@contextlib.contextmanager
def running(home: str, settings: Settings, told: Told = lambda text: None) -> Iterator[str]:
    """The gateway in a thread of this process, for as long as the block lasts; gives its URL."""
    with prepared(home, settings, told) as (server, listener, url), in_thread(server, listener):
        yield url


@contextlib.contextmanager
def prepared(url: str, settings: Settings, told: Told) -> Iterator[tuple[Server, socket.socket, str]]:
    """A gateway that knows its routes and listens, but does not answer yet."""
    home, measures, name = Home(url), Measures(), f"gateway-{secrets.token_hex(4)}"
    with (
        listening(settings.gateway.host, settings.gateway.port) as (listener, address),
        contextlib.ExitStack() as ends,  # in reverse: no more requests, then records and events to the store, then it
    ):
        secret = secret_of(home.store)
        history = opened_history(url, settings, None, told)
        ends.callback(history.close)
        log = PredictionLog(settings.log, home.store, spool_of(home, settings.log), name, measures.registry)
        ends.callback(log.close)
        export = EventExport(history, home.store, name, settings.log.segment_seconds, measures.registry)
        ends.callback(export.close)
        routing = Routing(home, settings.gateway, history, measures)
        gateway = Gateway(settings, history, secret, routing, measures, log)
        ends.callback(gateway.close)
        routing.look()
        routing.prepare()
        ends.callback(routing.stop)
        told(sentence(routing, url))
        config = configured(GatewayApp(gateway, home), settings.serving, measures)
        facts = {"name": name, "url": address}
        heart = Heartbeat(Statuses(home.store), lambda: {**facts, **gateway.facts(), "log": log.facts()})
        ends.callback(heart.stop)
        for part in (routing, export, heart):
            part.start()
        yield Server(config, gateway, settings.serving.drain_seconds), listener, address


def spool_of(home: Home, settings: LogSettings) -> Path:
    """The folder where records wait: in the home, or for one in object storage in the user's own cache."""
    if settings.spool:
        return Path(settings.spool)
    return (home.local or cache_folder() / hashlib.sha256(home.url.encode()).hexdigest()[:12]) / "spool"


def sentence(routing: Routing, home: str) -> str:
    routes = routing.routes
    if routes is None or routes.champion is None:
        return f"nobody has said yet who answers in {home}; waiting for the routes (`everloop rollout run` writes them)"
    share = f", {routes.share:.0%} from {routes.candidate.release[:SHORT]}" if routes.candidate else ""
    return f"lists come from {routes.champion.release[:SHORT]}{share}"
