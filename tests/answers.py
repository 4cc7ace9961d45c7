"""What a command of ours said, for every test that calls one."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """code: the exit status. out, err: what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out))

    @property
    def sentence(self) -> str:
        """Of a refusal."""
        return self.err.removeprefix("error: ").strip()
