"""Whether a candidate shows as much of the catalogue as the champion does to as many people.

>>> compared(first_lists, least_ratio=0.5, seed=7)
Coverage(lists=40, items=31, expected=118.4, p=0.0002)

More lists show more items, so the champion's are cut to as many (rarefaction: Hurlbert, Ecology 1971), and to the first
list of each user, since the same person's lists repeat themselves. Groups are a random split of people: had both models
been alike, any other split would have been as likely, which gives an exact permutation test. It is taken only when the
candidate has had 10, 40, 160 or 640 users at this step, so the looks can be counted.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

CHECKPOINTS = (10, 40, 160, 640)
SPLITS = 4000  # the least p-value is then 1 in 4001, below any that is asked for at an alpha of 0.05
MOST_POOL = 2_000  # users that splits are drawn from; 0.1 s


@dataclass(frozen=True)
class Coverage:
    """lists: of the candidate. items: different ones on them. expected: in as many lists of all. p: of so few, by chance;
    1 where there are enough and nobody need ask."""

    lists: int
    items: int
    expected: float
    p: float


def compared(first_lists: list[tuple[bool, tuple[str, ...]]], least_ratio: float, seed: int) -> Coverage | None:
    """At the last checkpoint that was reached; None before the first. first_lists: (whether the candidate's, its items)
    of each user of a step, in the order of their coming."""
    mine = sum(candidate for candidate, _ in first_lists)
    reached = [checkpoint for checkpoint in CHECKPOINTS if checkpoint <= mine]
    if not reached:
        return None
    size, pool, had = reached[-1], list[tuple[bool, tuple[str, ...]]](), 0
    for candidate, items in first_lists:  # everybody who came until the candidate had `size` users
        pool.append((candidate, items))
        had += candidate
        if had == size:
            break
    others = [items for candidate, items in pool if not candidate][-max(MOST_POOL - size, size) :]
    if not others:
        return None
    kept = [*others, *(items for candidate, items in pool if candidate)]
    numbers = {item: number for number, item in enumerate(sorted({item for items in kept for item in items}))}
    shown = np.zeros((len(kept), len(numbers)), dtype=bool)
    for row, items in enumerate(kept):
        shown[row, [numbers[item] for item in items]] = True
    own = int(shown[len(others) :].any(axis=0).sum())
    expected = rarefied(shown.sum(axis=0), len(kept), size)
    if own >= least_ratio * expected:
        return Coverage(size, own, expected, 1.0)
    rng = np.random.default_rng(seed)
    drawn = np.array([shown[rng.choice(len(kept), size, replace=False)].any(axis=0).sum() for _ in range(SPLITS)])
    return Coverage(size, own, expected, float((1 + (drawn <= own).sum()) / (1 + SPLITS)))


def rarefied(times: npt.NDArray[np.int64], lists: int, size: int) -> float:
    """How many different items `size` of `lists` lists hold on average. times: on how many lists each item is."""
    possible = times <= lists - size  # the others are on any `size` of them
    without = gammaln(lists - times + 1) - gammaln(np.where(possible, lists - times - size, 0) + 1)
    all_ways = gammaln(lists + 1) - gammaln(lists - size + 1)
    return float(len(times) - np.exp(without[possible] - all_ways).sum())
