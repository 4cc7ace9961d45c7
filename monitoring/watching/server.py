"""The monitor's process: `everloop monitor`.

>>> main(Home(".everloop"), Settings(), told=print)

A look every `drift.interval_seconds`, metrics on drift.host and drift.port in between. SIGTERM: the look under way ends,
what it counted is written, exit 0.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from prometheus_client import make_wsgi_app

from components.recsys.errors import InputError
from components.recsys.home import Home
from components.recsys.pulse import Pulse, answering
from components.recsys.settings import Settings
from components.recsys.statuses import Statuses
from monitoring.watching.exporting import Measures
from monitoring.watching.judging import guarded
from monitoring.watching.watch import Json, Watch

Told = Callable[[str], None]
BEAT_SECONDS = 10.0
LOOK_SECONDS = 1800.0  # a look that takes longer hangs: the first one reads weeks of logs


def main(home: Home, settings: Settings, told: Told = print, ready: Told = lambda url: None) -> int:
    """Look until SIGTERM or SIGINT; returns the exit code. Raises InputError when the port is taken.

    ready: called once with the URL of the metrics, before the first look.
    """
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    measures, pulse = Measures(), Pulse(LOOK_SECONDS)
    watch = Watch(home, settings, measures)
    with exported(measures, pulse, settings) as url, contextlib.closing(watch.reports):
        ready(url)
        told(f"metrics at {url}/metrics; a look every {settings.drift.interval_seconds:g} s")
        said = ""
        while not ended.is_set():
            pulse.beat()
            facts = watch.look()
            news = "; ".join([facts["drift_sentence"], *facts["faults"]])
            if news != said:
                told(news)
                said = news

            def beat(facts: Json = facts) -> None:
                pulse.beat()
                Statuses(home.store).write("monitor", facts)

            wait(ended, settings.drift.interval_seconds, beat)
    told("stopped; counts are kept, the next start goes on from them")
    return 0


def wait(ended: threading.Event, seconds: float, beat: Callable[[], None]) -> None:
    """Until the next look, saying now and then that we are alive: readers call a part silent after half a minute."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not ended.wait(min(left, BEAT_SECONDS)):
        if until - time.monotonic() > 0:
            guarded(beat)


@contextlib.contextmanager
def exported(measures: Measures, pulse: Pulse, settings: Settings) -> Iterator[str]:
    """The metrics over HTTP in a thread, so that a slow look does not delay a scrape. Raises InputError when the port is taken."""
    drift = settings.drift
    with contextlib.ExitStack() as ends:
        try:
            url = ends.enter_context(answering(make_wsgi_app(measures.registry), pulse, drift.host, drift.port))
        except OSError as error:
            raise InputError(
                f"{drift.host}:{drift.port} cannot be listened on ({error.strerror}); choose another with --set drift.port=PORT"
            ) from None
        yield url
