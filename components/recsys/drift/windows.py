"""Which days are compared with which: whole windows before an anchor, and the last complete one.

>>> windows(today=20_600, anchor=20_590, first=20_500, days=7, count=4)
Windows(last=20593, baseline=(20583, 20576, 20569, 20562), days=7)

Days are numbers since 1970, UTC. The anchor is the day after the last one that the champion was trained on, so that drift is
measured against what it knows. Until a whole window has passed since, the last window and the baseline share days: what is
new shows in proportion from the first day on, and at the moment of a release there is nothing new to judge yet.
"""

from dataclasses import dataclass

YEAR = 364  # days: 52 whole weeks, so that weekdays meet weekdays


@dataclass(frozen=True)
class Windows:
    """First days of windows: the last complete one, and the baseline's, newest first."""

    last: int
    baseline: tuple[int, ...]
    days: int

    @property
    def settled(self) -> bool:
        """Whether the last window holds a day that the baseline does not: a window tells nothing of itself."""
        return self.last > self.baseline[0]

    def shared(self) -> range:
        """The days that the last window and the newest one of the baseline have in common."""
        return range(max(self.last, self.baseline[0]), min(self.last, self.baseline[0]) + self.days)


def a_year_before(chosen: Windows) -> tuple[int, int]:
    """First days of the last window and of the baseline's newest one, a year ago. A season that begins on a date is one or two
    days further in that year's window than in this one's, never behind it."""
    return chosen.last - YEAR, chosen.baseline[0] - YEAR


def windows(today: int, anchor: int, first: int, days: int, count: int, least: int = 1) -> Windows | None:
    """None while fewer than `least` whole windows lie between `first`, the first day with rows, and the anchor.

    today: not complete yet, so never in a window.
    """
    end = min(anchor, today)
    starts = tuple(end - days * (number + 1) for number in range(count) if end - days * (number + 1) >= first)
    return Windows(today - days, starts, days) if len(starts) >= least else None


def anchor_of_reactions(trained_until: int, promoted: int, days: int) -> int:
    """The anchor for what people do with lists, which changes with the release that makes them.

    A new champion shows other items, so people click on others without having changed: its first window counts as
    baseline too. Never more than two windows after the data it was trained on, so that an old release put in
    place again is measured against what it knows.
    """
    return max(trained_until, min(promoted + days, trained_until + 2 * days))
