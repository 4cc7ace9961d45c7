"""What a scene leaves behind.

>>> Scene("storm", "an alert storm", ok=True, figures={"alerts": 1000, "runs": 1}, evidence=["controller run ..."])
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Scene:
    """ok: everything that must happen did. problems: what did not, a sentence each. figures: numbers and short texts."""

    name: str
    title: str
    figures: dict[str, Any] = field(default_factory=dict)
    evidence: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.problems

    def must(self, so: bool, else_: str) -> bool:
        """Note a problem unless it is so."""
        if not so:
            self.problems.append(else_)
        return so

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "ok": self.ok,
            "figures": self.figures,
            "evidence": [*self.evidence, *(f"NOT SO: {problem}" for problem in self.problems)],
            "seconds": round(self.seconds, 1),
        }
