"""Scraped samples, the newest few hours of them, in memory.

>>> store = SeriesStore(keep_ms=3_600_000)
>>> store.add(labels_of({"__name__": "up", "job": "gateway"}), time_ms=1000, value=1.0)
>>> store.newest(Selector("up"), at_ms=2000)
{(('__name__', 'up'), ('job', 'gateway')): 1.0}

Bounded: samples older than `keep_ms` are dropped, as are series of which nothing is left. A series that is no longer
exposed gets a mark (Prometheus's staleness marker), so that it ends at once and not a lookback later.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from monitoring.promql.syntax import Matcher, Selector

Labels = tuple[tuple[str, str], ...]
Vector = dict[Labels, float]
Samples = list[tuple[int, float]]

NAME = "__name__"
LOOKBACK_MS = 300_000


def labels_of(pairs: dict[str, str]) -> Labels:
    """Sorted, without empty ones: an empty label is none."""
    return tuple(sorted((name, value) for name, value in pairs.items() if value))


class Series:
    """Times rise; a value of None says that the series ended there."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.values: list[float | None] = []

    def add(self, time_ms: int, value: float | None) -> None:
        """A sample that is not newer than the last is refused, as Prometheus refuses it (a clock that stepped back)."""
        if not self.times or time_ms > self.times[-1]:
            self.times.append(time_ms)
            self.values.append(value)

    def drop_before(self, time_ms: int) -> None:
        count = bisect_left(self.times, time_ms)
        # Moving the rest costs as much as it saves, so it waits until a quarter has gone by.
        if count * 4 > len(self.times) or count == len(self.times):
            del self.times[:count], self.values[:count]

    def newest(self, at_ms: int, lookback_ms: int) -> tuple[int, float] | None:
        index = bisect_right(self.times, at_ms) - 1
        if index < 0 or self.times[index] < at_ms - lookback_ms:
            return None
        value = self.values[index]
        return None if value is None else (self.times[index], value)

    def between(self, first_ms: int, last_ms: int) -> Samples:
        """Both ends belong to it, as in Prometheus 2."""
        low, high = bisect_left(self.times, first_ms), bisect_right(self.times, last_ms)
        return [
            (time, value)
            for time, value in zip(self.times[low:high], self.values[low:high], strict=True)
            if value is not None
        ]


class SeriesStore:
    """All series, by name. keep_ms: how far back the longest range and offset of the rules reach."""

    def __init__(self, keep_ms: int = 3_600_000, lookback_ms: int = LOOKBACK_MS) -> None:
        self.keep_ms, self.lookback_ms = max(keep_ms, lookback_ms), lookback_ms
        self.names: dict[str, dict[Labels, Series]] = {}

    def add(self, labels: Labels, time_ms: int, value: float | None) -> None:
        name = next((text for label, text in labels if label == NAME), "")
        self.names.setdefault(name, {}).setdefault(labels, Series()).add(time_ms, value)

    def forget(self, now_ms: int) -> None:
        """Drop what no rule reaches any more."""
        for name, found in list(self.names.items()):
            for labels, series in list(found.items()):
                series.drop_before(now_ms - self.keep_ms)
                if not series.times:
                    del found[labels]
            if not found:
                del self.names[name]

    def newest(self, selector: Selector, at_ms: int) -> Vector:
        return {labels: value for labels, (_, value) in self._newest(selector, at_ms)}

    def newest_times(self, selector: Selector, at_ms: int) -> dict[Labels, int]:
        """When each series that `newest` gives was scraped."""
        return {labels: time for labels, (time, _) in self._newest(selector, at_ms)}

    def _newest(self, selector: Selector, at_ms: int) -> Iterator[tuple[Labels, tuple[int, float]]]:
        for labels, series in self._select(selector):
            found = series.newest(at_ms - selector.offset_ms, self.lookback_ms)
            if found is not None:
                yield labels, found

    def ranges(self, selector: Selector, at_ms: int) -> dict[Labels, Samples]:
        end = at_ms - selector.offset_ms
        found = ((labels, series.between(end - selector.range_ms, end)) for labels, series in self._select(selector))
        return {labels: samples for labels, samples in found if samples}

    def _select(self, selector: Selector) -> Iterator[tuple[Labels, Series]]:
        groups = [self.names.get(selector.name, {})] if selector.name else list(self.names.values())
        for group in groups:
            for labels, series in group.items():
                if _accepted(labels, selector.matchers):
                    yield labels, series

    def __len__(self) -> int:
        return sum(len(series.times) for found in self.names.values() for series in found.values())


def _accepted(labels: Labels, matchers: tuple[Matcher, ...]) -> bool:
    if not matchers:
        return True
    values = dict(labels)
    return all(matcher.accepts(values.get(matcher.name, "")) for matcher in matchers)
