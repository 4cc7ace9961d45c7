"""How one person of the synthetic world reads a list and chooses from it.

>>> clicked, booked = choose(utility, luck)

A list is read from the top (position-based examination, Craswell et al., WSDM 2008). Among what was examined and an
option 'none' people choose by utility (conditional logit, McFadden 1974; several clicks: its exploded form), then
book at most one of what they clicked.
"""

from dataclasses import dataclass

import numpy as np

from components.recsys.frames import Floats, Ints, Longs
from components.recsys.simulator.numbers import Bools, Doubles

MAX_CLICKS = 5
EXAMINE = 0.6  # exponent of 1 / position: the tenth place is examined a quarter of the times
NONE = 3.2  # utility of clicking nothing (more): about two clicks on an organic page
NO_BOOKING = 5.5  # utility of booking nothing: about one click in twelve is booked


@dataclass(frozen=True)
class Luck:
    """What is left to chance. examine: (rows, places) uniform. click, book: (rows, places + 1) Gumbel, 'none' last.

    opened: (rows,) second of the day at which people look.
    """

    examine: Floats
    click: Floats
    book: Floats
    opened: Longs

    def of(self, users: Ints | Longs, shown: Ints) -> "Luck":
        """The luck of some people with the offers that each was shown."""
        rows = users[:, None]
        with_none = np.concatenate([shown, np.full((len(shown), 1), -1, shown.dtype)], axis=1)
        return Luck(
            self.examine[rows, shown], self.click[rows, with_none], self.book[rows, with_none], self.opened[users]
        )


def choose(utility: Doubles, luck: Luck) -> tuple[Ints, Bools]:
    """For lists (rows, places): the order of clicking (-1: not clicked), and what was booked (at most one in a row)."""
    if not utility.size:
        return np.full(utility.shape, -1, np.int32), np.zeros(utility.shape, bool)
    examined = luck.examine < (1 + np.arange(utility.shape[1])) ** -EXAMINE
    wish = np.where(examined, utility + luck.click[:, :-1], -np.inf)
    order = np.argsort(np.argsort(-wish, axis=1, kind="stable"), axis=1, kind="stable")
    clicked = np.where((wish > NONE + luck.click[:, -1:]) & (order < MAX_CLICKS), order, -1).astype(np.int32)
    want = np.where(clicked >= 0, utility + luck.book[:, :-1], -np.inf)
    rows, best = np.arange(len(utility)), want.argmax(axis=1)
    booked = np.zeros(utility.shape, bool)
    booked[rows, best] = want[rows, best] > NO_BOOKING + luck.book[:, -1]
    return clicked, booked


def gumbel(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Standard Gumbel numbers: minus the log of exponential ones, in half the time of rng.gumbel."""
    return -np.log(np.maximum(rng.standard_exponential(shape, np.float32), 1e-30))
