"""Numbers as Grafana spells them in a unit.

>>> spelled(0.0035, "s")
'3.5 ms'
"""

import math

SCALES = {
    "s": ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    "reqps": ((1000, "K req/s"), (1, "req/s")),
    "short": ((1e9, "B"), (1e6, "M"), (1e3, "K"), (1, "")),
}


def spelled(value: float, unit: str) -> str:
    if math.isnan(value):
        return "no value"
    if unit == "percentunit":
        return f"{_digits(value * 100)} %"
    if value == 0:
        return "0"
    for scale, name in SCALES[unit]:
        if abs(value) >= scale * 0.9999:
            return f"{_digits(value / scale)} {name}".strip()
    smallest, name = SCALES[unit][-1]
    return f"{value / smallest:.2g} {name}".strip()


def _digits(value: float) -> str:
    text = f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
