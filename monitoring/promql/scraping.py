"""Reads what a part exposes, as Prometheus would, into the series in memory.

>>> scraper = Scraper(store)
>>> scraper.scrape({"gateway": "http://127.0.0.1:8000/metrics"}, now=time.time())
{"gateway": ""}

Every series gets the labels `job` (the target's name) and `instance` (host:port), and every target a series `up`. A label
that a series has already becomes `exported_...`, as Prometheus has it. A target that does not answer, one that is no longer
asked for, or a series that is no longer exposed, ends at once; of one no longer asked for `up` ends too.
"""

import http.client
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from components.recsys.neighbours import NO_PROXY
from monitoring.promql.discovery import JOB, Target
from monitoring.promql.series import NAME, Labels, SeriesStore, Vector, labels_of

TIMEOUT_SECONDS = 2.0
MOST_BYTES = 20_000_000  # far more than any of our parts exposes; a wrong URL must not fill memory


def parsed(text: str, extra: dict[str, str]) -> Vector:
    """The samples of a text exposition. Raises ValueError where it is none."""
    samples: Vector = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            own = {f"exported_{name}" if name in extra else name: value for name, value in sample.labels.items()}
            samples[labels_of({**own, **extra, NAME: sample.name})] = float(sample.value)
    return samples


class Scraper:
    def __init__(self, store: SeriesStore) -> None:
        self.store = store
        self.before: dict[Target, set[Labels]] = {}  # what each target exposed at the last scrape, `up` included

    def scrape(self, targets: dict[str, str], now: float, found: Iterable[Target] = ()) -> dict[str, str]:
        """One look at every target, all at once; for each the fault in words, empty when it answered.

        targets: job to URL. found: more of them, by URL in the answer.
        """
        wanted = {Target(url, labels_of({JOB: job})): job for job, url in targets.items()}
        wanted |= {target: target.url for target in found}
        now_ms = round(now * 1000)
        for target in self.before.keys() - wanted.keys():
            self._end(self.before.pop(target), now_ms)
        with ThreadPoolExecutor(max_workers=max(len(wanted), 1)) as pool:
            answers = list(pool.map(_fetched, (target.url for target in wanted)))
        return {
            name: self._take(target, *answer, now_ms)
            for (target, name), answer in zip(wanted.items(), answers, strict=True)
        }

    def _take(self, target: Target, text: str, fault: str, now_ms: int) -> str:
        own = {**dict(target.labels), "instance": urlsplit(target.url).netloc}
        samples: Vector = {}
        if not fault:
            try:
                samples = parsed(text, own)
            except ValueError as error:
                fault = f"{target.url} is no exposition of metrics: {error}"
        samples[labels_of({**own, NAME: "up"})] = float(not fault)
        for labels, value in samples.items():
            self.store.add(labels, now_ms, value)
        self._end(self.before.get(target, set()) - samples.keys(), now_ms)
        self.before[target] = set(samples)
        return fault

    def _end(self, series: set[Labels], now_ms: int) -> None:
        for labels in series:
            self.store.add(labels, now_ms, None)


def _fetched(url: str) -> tuple[str, str]:
    try:
        with NO_PROXY.open(url, timeout=TIMEOUT_SECONDS) as answer:
            return answer.read(MOST_BYTES).decode(), ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        return "", f"{url} does not answer: {getattr(error, 'reason', None) or error}"
