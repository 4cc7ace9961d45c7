"""The part of Prometheus's templates that our annotations use.

>>> filled("{{ $labels.feature }} at {{ $value | humanizePercentage }}", {"feature": "month"}, 0.123)
'month at 12.3%'

Functions: humanize, humanizeDuration, humanizePercentage. Anything else raises QueryError when the rules are read.
"""

import math
import re

from monitoring.promql.syntax import QueryError

PLACE = re.compile(r"\{\{\s*(?:\$labels\.(?P<label>\w+)|\$value(?:\s*\|\s*(?P<function>\w+))?)\s*\}\}")


def check(template: str) -> None:
    if "{{" in PLACE.sub("", template):
        raise QueryError(f"{template!r}: only {{{{ $labels.name }}}} and {{{{ $value | function }}}} are known here")
    for place in PLACE.finditer(template):
        if place["function"] and place["function"] not in FUNCTIONS:
            raise QueryError(f"{template!r}: the function {place['function']} is not known here")


def filled(template: str, labels: dict[str, str], value: float) -> str:
    def replaced(place: re.Match[str]) -> str:
        if place["label"]:
            return labels.get(place["label"], "")
        return FUNCTIONS[place["function"]](value) if place["function"] else _plain(value)

    return PLACE.sub(replaced, template)


def _plain(value: float) -> str:
    """As Go prints %v."""
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return f"{value:.17g}" if float(f"{value:.15g}") != value else f"{value:.15g}"


def _humanize(value: float) -> str:
    """Four digits with a metric prefix."""
    if value == 0 or math.isnan(value) or math.isinf(value):
        return _go(value)
    prefix = ""
    if abs(value) >= 1:
        for step in ("k", "M", "G", "T", "P", "E", "Z", "Y"):
            if abs(value) < 1000:
                break
            prefix, value = step, value / 1000
    else:
        for step in ("m", "u", "n", "p", "f", "a", "z", "y"):
            if abs(value) >= 1:
                break
            prefix, value = step, value * 1000
    return _go(value) + prefix


def _go(value: float) -> str:
    return _plain(value) if math.isnan(value) or math.isinf(value) else f"{value:.4g}"


def _percentage(value: float) -> str:
    return f"{_go(value * 100)}%"


def _duration(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        return _go(value)
    if abs(value) < 1:
        return _humanize(value) + "s" if value else "0s"
    sign, whole = ("-" if value < 0 else ""), int(abs(value))
    if whole < 60:
        return f"{_go(value)}s"
    seconds, minutes, hours, days = whole % 60, whole // 60 % 60, whole // 3600 % 24, whole // 86_400
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    return f"{sign}{hours}h {minutes}m {seconds}s" if hours else f"{sign}{minutes}m {seconds}s"


FUNCTIONS = {"humanize": _humanize, "humanizePercentage": _percentage, "humanizeDuration": _duration}
