"""Who answers now: the one small object that the rollout engine writes and every gateway reads.

>>> Routes.read(home.store)
Routes(epoch=7, champion=Target('9f2c...', ('http://127.0.0.1:41234',)), candidate=Target(...), share=0.05, salt='r-3', ...)

It holds no credentials and can be read at any time; a reader never sees half of one.
"""

import json
from dataclasses import asdict, dataclass
from typing import Self

from components.recsys.errors import NotFound, StoreError
from components.recsys.release import canonical
from components.recsys.store import Store

KEY = "routes.json"


@dataclass(frozen=True)
class Target:
    """A release and the predictors that hold it (base URLs, such as http://127.0.0.1:41234)."""

    release: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Routes:
    """share: of users whose lists come from the candidate. mirror: copy the champion's requests to the candidate, unanswered.

    salt: of the sticky buckets, one a rollout. epoch: grows with every change. since: ISO time of the change.
    """

    epoch: int
    champion: Target | None = None
    candidate: Target | None = None
    share: float = 0.0
    mirror: bool = False
    salt: str = ""
    rollout: str = ""
    since: str = ""

    @classmethod
    def read(cls, store: Store) -> Self | None:
        """None when nothing was ever routed. Raises StoreError when it is unreadable."""
        try:
            raw = json.loads(store.read(KEY))
            targets = {
                name: Target(raw[name]["release"], tuple(raw[name]["urls"])) if raw[name] else None
                for name in ("champion", "candidate")
            }
            return cls(**{**raw, **targets})
        except NotFound:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{store.url}/{KEY} is not what was written ({error})") from None

    def write(self, store: Store) -> None:
        store.write(KEY, canonical(asdict(self)))
