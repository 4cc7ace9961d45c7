"""Cron expressions as people write them (five fields), and as Kubeflow reads them (six, seconds first).

>>> in_six("30 3 * * MON-FRI")
'0 30 3 * * MON-FRI'

Kubeflow takes five fields too, and takes the first for seconds: `30 3 * * *` would run every hour, three minutes past. So five
fields always get a zero before them. Fields are those of crontab(5), with names, lists, ranges and steps; `@daily` and
its like, and `@every 90m`, are passed on. Raises InputError for what Kubeflow would refuse.
"""

import re
from dataclasses import dataclass

from components.recsys.errors import InputError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
EVERY = re.compile(r"@every (\d+h)?(\d+m)?(\d+s)?")
PART = re.compile(r"(?P<first>\*|\?|\w+)(-(?P<last>\w+))?(/(?P<step>\d+))?")


@dataclass(frozen=True)
class Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int | None:
        """What a number or a name stands for; None for neither, or out of range."""
        if text.upper() in self.names:
            return self.low + self.names.index(text.upper())
        return int(text) if text.isdecimal() and self.low <= int(text) <= self.high else None


FIELDS = (
    Field("second", 0, 59),
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of week", 0, 6, DAYS),
)


def in_six(text: str) -> str:
    """The expression with its seconds, or a descriptor as it is."""
    text = " ".join(text.split())
    if text.startswith("@"):
        every = EVERY.fullmatch(text)
        if text not in DESCRIPTORS and not (every and any(every.groups())):
            raise InputError(f"cron '{text}': known are {', '.join(DESCRIPTORS)} and such as '@every 90m'")
        return text
    fields = text.split(" ")
    if len(fields) == len(FIELDS) - 1:
        fields = ["0", *fields]
    if len(fields) != len(FIELDS):
        raise InputError(
            f"cron '{text}' has {len(fields)} fields; write minute, hour, day of month, month, day of week, as in '0 3 * * *'"
        )
    for field, written in zip(FIELDS, fields, strict=True):
        _check(text, field, written)
    return " ".join(fields)


def _check(text: str, field: Field, written: str) -> None:
    for part in written.split(","):
        found = PART.fullmatch(part)
        ends = [end for end in (found["first"], found["last"]) if end is not None] if found else []
        numbers = [field.number(end) for end in ends if end not in "*?"]
        if not found or None in numbers or numbers != sorted(numbers) or found["step"] == "0":  # type: ignore[type-var]
            raise InputError(
                f"cron '{text}': '{written}' is no {field.name}; it goes from {field.low} to {field.high}, with * - / and commas"
            )
