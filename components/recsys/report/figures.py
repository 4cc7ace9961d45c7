"""Numbers as people read them, and counts in whatever shape they come.

>>> number(12345), share(0.0063)
('12,345', '0.63 %')
"""

import re
from collections.abc import Mapping
from typing import Any

Counts = list[tuple[str, float]]
NUMBER = re.compile(r"\d+(\.\d+)?")


def number(value: Any) -> str:
    """Thousands apart, floats to four significant digits, nothing for nothing."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or value.is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def share(value: float | None) -> str:
    """As a percentage; small ones keep their digits."""
    return "" if value is None else f"{100 * value:.3g} %"


def counts_of(value: Any) -> Counts:
    """A dict, pairs, dicts of one text and one number, or numbers, as (name, count) pairs; others are left out."""
    if isinstance(value, Mapping):
        return [(str(name), float(count)) for name, count in value.items() if _is_count(count)]
    found: Counts = []
    for place, each in enumerate(value if isinstance(value, list | tuple) else ()):
        if _is_count(each):
            found.append((str(place), float(each)))
            continue
        parts = (
            list(each.values()) if isinstance(each, Mapping) else list(each) if isinstance(each, list | tuple) else []
        )
        numbers = [part for part in parts if _is_count(part)]
        texts = [str(part) for part in parts if isinstance(part, str)]
        if numbers:
            # The last text is the most readable one (title after id), the last number is the count.
            found.append((texts[-1] if texts else str(numbers[0]), float(numbers[-1])))
    return found


def by_start(counts: Counts) -> Counts:
    """Ranges such as 2-3 by their first number; JSON with sorted keys has them by their letters."""
    return sorted(counts, key=lambda pair: (float(start.group()) if (start := NUMBER.match(pair[0])) else 0.0, pair[0]))


def by_count(counts: Counts) -> Counts:
    """Most first."""
    return sorted(counts, key=lambda pair: (-pair[1], pair[0]))


def seconds_of(value: Any) -> float | None:
    """Seconds given as a number or under `seconds`; None when not known."""
    if isinstance(value, Mapping):
        value = value.get("seconds")
    return float(value) if _is_count(value) else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
