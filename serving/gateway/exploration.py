"""Exploration with exact propensities: now and then one place shows an item from further down.

>>> explore(items, k=10, share=0.05, draw=random.random)
([{'id': '302', 'propensity': 0.995, ...}, ...], False)

With probability `share` one of the n places, each equally likely, shows one of the m items after them, each equally likely.
So the item ranked i stands in its own place with probability 1 - share / n, and an item of the pool in any one place with
probability share / (n m); over what a place may show these sum to 1. They are what inverse propensity weighting divides by
(Bottou et al., Counterfactual Reasoning and Learning Systems, JMLR 14, 2013).
"""

from collections.abc import Callable, Sequence
from typing import Any

Json = dict[str, Any]
CERTAIN = 1.0


def explore(items: Sequence[Json], k: int, share: float, draw: Callable[[], float]) -> tuple[list[Json], bool]:
    """The list to show, each item with its propensity, and whether a place was explored.

    items: the best first; those after the first `k` are the pool. draw: uniform numbers in [0, 1).
    """
    shown, pool = list(items[:k]), items[k:]
    if not share or not pool:
        for item in shown:
            item["propensity"] = CERTAIN
        return shown, False
    own = CERTAIN - share / len(shown)
    for item in shown:
        item["propensity"] = own
    if draw() >= share:
        return shown, False
    place = int(draw() * len(shown))
    found = pool[int(draw() * len(pool))]
    found["propensity"] = share / (len(shown) * len(pool))
    shown[place] = found
    return shown, True
