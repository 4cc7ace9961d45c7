"""What the doctor says of one thing: what was looked at, what was found, the verdict, and what to do.

>>> exit_code([Finding("KServe", "version", OK, "0.20.0"), Finding("namespace", "label", WARNING, "none", "kubectl label ...")])
0

`ok` works. `warning` works, but people should know something. `no`: cannot work here; whether anybody asked for it is
`asked`, and only then is it a refusal. `unknown`: could not be found out (no permission, no answer, not visible from
here), and why.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "warning", "no", "unknown"]
OK: Verdict = "ok"
WARNING: Verdict = "warning"
NO: Verdict = "no"
UNKNOWN: Verdict = "unknown"


@dataclass(frozen=True)
class Finding:
    area: str  # the part of the cluster, as people name it: KServe
    looked_at: str  # version
    verdict: Verdict
    found: str  # a sentence or less
    do: str = ""  # a command, or where none helps a sentence
    asked: bool = True  # by settings, values or manifests; or without it nothing of Everloop works

    @property
    def refused(self) -> bool:
        return self.verdict == NO and self.asked

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Unanswered(Exception):
    """A question that got no usable answer; the sentence says why."""


def exit_code(findings: Iterable[Finding]) -> int:
    """0: all that is asked can work, as far as could be seen. 1: something that is asked cannot."""
    return int(any(finding.refused for finding in findings))
