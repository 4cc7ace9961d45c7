"""The predictor's process: `everloop serve`.

>>> main(".everloop", Settings())                            # the champion of a home, and every champion after it
>>> main("", Settings(), model_dir="/mnt/models")            # one release, as KServe's storage initializer gives it
>>> main("", Settings(), model_dir="s3://everloop/home/releases/9f2c...", expect="9f2c...")      # this one or none

SIGTERM: not ready at once, requests in flight finish, exit 0.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator

from components.recsys.errors import InputError, StoreError
from components.recsys.home import Home
from components.recsys.release import SHORT, load_at
from components.recsys.settings import Settings
from serving.app import App
from serving.champion import Follower, warm
from serving.history import History, open_history
from serving.logs import log
from serving.measures import Measures
from serving.predictor import Predictor
from serving.process import Server, configured, in_thread, listening, run
from serving.service import Service

Told = Callable[[str], None]


def main(
    home: str,
    settings: Settings,
    model_dir: str | None = None,
    told: Told = print,
    ready: Told = lambda url: None,
    expect: str = "",
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises InputError, NotFound or Refused at the start.

    ready: called once with the server's URL, when connections are taken. expect: the digest that model_dir must hold.
    """
    with prepared(home, settings, model_dir, told, expect) as (server, listener, url):
        ready(url)
        told(f"answering at {url}/v1/models/{settings.serving.name}:predict")
        run(server, listener)
    told("stopped; all requests were answered")
    return 0


@contextlib.contextmanager
def running(
    home: str,
    settings: Settings,
    model_dir: str | None = None,
    told: Told = lambda text: None,
    expect: str = "",
) -> Iterator[str]:
    """The server in a thread of this process, for as long as the block lasts; gives its URL."""
    with prepared(home, settings, model_dir, told, expect) as (server, listener, url), in_thread(server, listener):
        yield url


@contextlib.contextmanager
def prepared(
    home: str, settings: Settings, model_dir: str | None, told: Told, expect: str = ""
) -> Iterator[tuple[Server, socket.socket, str]]:
    """A server that is loaded and listens, but does not answer yet."""
    if expect and not model_dir:
        raise InputError("--expect names the release that --model-dir must hold; give both")
    serving, measures = settings.serving, Measures()
    with listening(serving.host, serving.port) as (listener, url):
        history = opened_history(home, settings, model_dir, told)
        service = Service(serving, history, measures)
        follower = None
        if model_dir:
            release = load_at(model_dir, expect)
            service.take(warm(Predictor(release)))
        else:
            follower = Follower(Home(home), serving, history, measures, service.take)
            follower.look()
        told(serving_sentence(service, home))
        config = configured(App(service), serving, measures)
        if follower:
            follower.start()
        try:
            yield Server(config, service, serving.drain_seconds), listener, url
        finally:
            if follower:
                follower.stop()
            service.close()


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
