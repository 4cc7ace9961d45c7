"""Whether a candidate shows as much of the catalogue as the champion does to as many people.

>>> compared(first_lists, seed=7)
Coverage(lists=40, items=31, expected=118.4, p=0.0002)

More lists show more items, so the champion's are cut to as many (rarefaction: Hurlbert, Ecology 1971), and to the first
list of each user, since the same person's lists repeat themselves. Groups are a random split of people: had both models
been alike, any other split would have been as likely, which gives an exact permutation test. It is taken only when the
candidate has had 10, 40, 160 or 640 users at this step, so the looks can be counted.
"""

from dataclasses import dataclass

import numpy as np

CHECKPOINTS = (10, 40, 160, 640)
SPLITS = 4000  # the least p-value is then 1 in 4001, below any that is asked for at an alpha of 0.05
MOST_POOL = 2_000  # users that splits are drawn from; 0.1 s


@dataclass(frozen=True)
class Coverage:
    """lists: of the candidate. items: different ones on them. expected: in as many lists of all. p: of so few, by chance."""

    lists: int
    items: int
    expected: float
    p: float


def compared(first_lists: list[tuple[bool, tuple[str, ...]]], seed: int) -> Coverage | None:
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
    others = [index for index, (candidate, _) in enumerate(pool) if not candidate][-max(MOST_POOL - size, size) :]
    kept = [pool[index] for index in others] + [one for one in pool if one[0]]
    if not others:
        return None
    numbers = {item: number for number, item in enumerate(sorted({item for _, items in kept for item in items}))}
    shown = np.zeros((len(kept), len(numbers)), dtype=bool)
    for row, (_, items) in enumerate(kept):
        shown[row, [numbers[item] for item in items]] = True
    own = int(shown[len(others) :].any(axis=0).sum())
    rng = np.random.default_rng(seed)
    drawn = np.array([shown[rng.choice(len(kept), size, replace=False)].any(axis=0).sum() for _ in range(SPLITS)])
    return Coverage(size, own, float(drawn.mean()), float((1 + (drawn <= own).sum()) / (1 + SPLITS)))
