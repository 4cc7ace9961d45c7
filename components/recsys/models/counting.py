"""How many people took each item lately: the score of the popularity model, and of everybody without history.

>>> count_people(interactions)(90.0)   # (n_items,) float32
"""

from collections.abc import Callable

import numpy as np

from components.recsys.frames import Floats, Interactions

DAY = 86_400


def count_people(interactions: Interactions) -> Callable[[float | None], Floats]:
    """A function from a half-life in days (None: no decay) to log1p of the people that each item has.

    Who comes back to an item counts once, by the newest event: people, not clicks.
    """
    histories = interactions.histories
    people = np.repeat(np.arange(len(histories)), histories.lengths)
    _, last = np.unique((people * histories.n_items + histories.indices)[::-1], return_index=True)
    last = np.sort(len(people) - 1 - last)
    items, says = histories.indices[last], histories.weights[last].astype(np.float64)
    days = (interactions.seconds.max(initial=0) - interactions.seconds[last]) / DAY

    def count(half_life: float | None) -> Floats:
        weights = says if half_life is None else says * np.exp2(-days / half_life)
        return np.log1p(np.bincount(items, weights=weights, minlength=histories.n_items)).astype(np.float32)

    return count
