"""Reads what a part exposes, as Prometheus would, into the series in memory.

>>> scraper = Scraper(store)
>>> scraper.scrape({"gateway": "http://127.0.0.1:8000/metrics"}, now=time.time())
{"gateway": ""}

Every series gets the labels `job` (the target's name) and `instance` (host:port), and every target a series `up`.
A target that does not answer, or a series that it no longer exposes, ends at once.
"""

import http.client
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from monitoring.promql.series import NAME, Labels, SeriesStore, Vector, labels_of

TIMEOUT_SECONDS = 2.0
MOST_BYTES = 20_000_000  # far more than any of our parts exposes; a wrong URL must not fill memory


def parsed(text: str, extra: dict[str, str]) -> Vector:
    """The samples of a text exposition. Raises ValueError where it is none."""
    samples: Vector = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[labels_of({**sample.labels, **extra, NAME: sample.name})] = float(sample.value)
    return samples


class Scraper:
    def __init__(self, store: SeriesStore) -> None:
        self.store = store
        self.before: dict[str, set[Labels]] = {}  # what each target exposed at the last scrape

    def scrape(self, targets: dict[str, str], now: float) -> dict[str, str]:
        """One look at every target, all at once; for each the fault in words, empty when it answered."""
        with ThreadPoolExecutor(max_workers=max(len(targets), 1)) as pool:
            answers = dict(zip(targets, pool.map(_fetched, targets.values()), strict=True))
        return {job: self._take(job, targets[job], *answers[job], round(now * 1000)) for job in targets}

    def _take(self, job: str, url: str, text: str, fault: str, now_ms: int) -> str:
        own = {"job": job, "instance": urlsplit(url).netloc}
        samples: Vector = {}
        if not fault:
            try:
                samples = parsed(text, own)
            except ValueError as error:
                fault = f"{url} is no exposition of metrics: {error}"
        for labels, value in samples.items():
            self.store.add(labels, now_ms, value)
        for labels in self.before.get(job, set()) - samples.keys():
            self.store.add(labels, now_ms, None)
        self.before[job] = set(samples)
        self.store.add(labels_of({**own, NAME: "up"}), now_ms, float(not fault))
        return fault


def _fetched(url: str) -> tuple[str, str]:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            return answer.read(MOST_BYTES).decode(), ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        return "", f"{url} does not answer: {getattr(error, 'reason', None) or error}"
