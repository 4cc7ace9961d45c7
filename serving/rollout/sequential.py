"""Tests that may be looked at after every list and stopped at any time.

>>> harm = click_loss(groups, accepted=0.1)       # of the candidate's users against the champion's, at the same time
>>> harm.difference, harm.proven(alpha=0.025)
(0.61, True)
>>> exceeds(failures=3, lists=40, limit=0.01) > math.log(1 / 0.00625)
True

Rates of clicks and fallbacks: the unit is the user, since one user's lists are alike and a user who is never known
gets a fallback every time. The difference is taken within each step and summed (Mantel-Haenszel weights), so a rate that
moves with the hour or the season cannot pass for a difference when the share grows (Simpson). The sum, in units of
information, is watched with the one-sided normal mixture boundary of Howard, Ramdas, McAuliffe and Sekhon (Annals of
Statistics 2021, eq. 14), which the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
(Annals of Statistics 2024) allows for estimated variances. The variance is taken at the edge of the hypothesis (a score
test), with Kish's design effect, so a candidate without any click has one too.

Counts of failures and of users in a group: mixtures of likelihood ratios, exact for every sample size (Robbins 1970;
for observed splits: Lindon and Malek, NeurIPS 2022). All e-values are logarithms.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincc, betaln

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Fewer users than this in either group, and the sum is not near enough to a normal one: nothing is said.
LEAST_USERS = 10
# The boundary is tightest where these differences are about three standard errors: a third of the clicks lost, ten
# points more fallbacks. Elsewhere it costs at most a few per cent more lists.
TUNED_LOSS, TUNED_GAIN = 1 / 3, 0.1


@dataclass(frozen=True)
class Groups:
    """One row a user, step and group. All (rows,). users, steps: numbers from 0. candidate: 1.0 or 0.0. lists: of the
    user in this step. hits: of them with a click, or a fallback."""

    users: Ints
    steps: Ints
    candidate: Doubles
    lists: Doubles
    hits: Doubles


@dataclass(frozen=True)
class Harm:
    """How much worse the candidate is than what is accepted. difference: above 0 is worse; relative for clicks, points
    for fallbacks. information: one over its variance. rates: hits a list, of all steps where both groups had lists."""

    difference: float
    information: float
    candidate_rate: float
    champion_rate: float
    candidate_users: int
    champion_users: int
    tuned: float

    def proven(self, alpha: float) -> bool:
        """Whether there is harm; wrong at most `alpha` of the time, over all looks together."""
        if min(self.candidate_users, self.champion_users) < LEAST_USERS or self.information <= 0:
            return False
        return self.difference * self.information >= boundary(self.information, alpha, self.tuned)


NOTHING = Harm(0.0, 0.0, math.nan, math.nan, 0, 0, 1.0)


def boundary(information: float, alpha: float, tuned: float) -> float:
    """What a Brownian motion at time `information` exceeds, ever, with probability at most `alpha`."""
    wanted = (3 / tuned) ** 2
    enough = -2 * math.log(2 * alpha) if alpha < 0.3 else 1.0
    prior = wanted / (enough + math.log1p(enough))  # Howard et al., section 3.5
    total = information + prior
    return math.sqrt(2 * total * math.log1p(math.sqrt(total / prior) / (2 * alpha)))


def click_loss(groups: Groups, accepted: float = 0.0) -> Harm:
    """Tests that the candidate's click rate is at least (1 - accepted) of the champion's; harm is what is lost beyond."""
    return _harm(groups, sign=-1.0, factor=1.0 - accepted, margin=0.0, tuned=TUNED_LOSS)


def fallback_gain(groups: Groups, accepted: float = 0.0) -> Harm:
    """Tests that the candidate's rate is at most the champion's plus `accepted` points; harm is what is beyond."""
    return _harm(groups, sign=1.0, factor=1.0, margin=accepted, tuned=TUNED_GAIN)


def _harm(groups: Groups, sign: float, factor: float, margin: float, tuned: float) -> Harm:
    steps, mine = int(groups.steps.max()) + 1 if len(groups.steps) else 0, groups.candidate > 0

    def summed(values: Doubles) -> tuple[Doubles, Doubles]:
        """(steps,) of the candidate, and of the champion."""
        one = np.bincount(groups.steps, values * mine, steps).astype(np.float64)
        return one, np.bincount(groups.steps, values * ~mine, steps).astype(np.float64)

    lists_1, lists_0 = summed(groups.lists)
    hits_1, hits_0 = summed(groups.hits)
    both = (lists_1 > 0) & (lists_0 > 0)  # a step with one group alone compares nothing
    if not both.any():
        return NOTHING
    counted = both[groups.steps] & (groups.lists > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = _correlation(
            groups, np.where(mine, (hits_1 / lists_1)[groups.steps], (hits_0 / lists_0)[groups.steps]), counted
        )
        # A user's hundredth list says little that is new, so it counts little: the weights that waste least.
        many = np.bincount(groups.users, np.where(counted, groups.lists, 0.0))[groups.users]
        worth = np.where(counted, 1 / (1 + np.maximum(many - 1, 0) * alike), 0.0)
        mass_1, mass_0 = summed(worth * groups.lists)
        good_1, good_0 = summed(worth * groups.hits)
        # The rates if the candidate were just as good as it must be.
        edge_0 = np.clip((good_1 - margin * mass_1 + good_0) / (factor * mass_1 + mass_0), 0, 1)
        edge_1 = np.clip(factor * edge_0 + margin, 0, 1)
        weight = np.where(both, mass_1 * mass_0 / (mass_1 + mass_0), 0.0)
        off = np.where(both, good_1 / mass_1 - factor * good_0 / mass_0 - margin, 0.0)
        a_list = np.where(mine, (weight / mass_1)[groups.steps], -factor * (weight / mass_0)[groups.steps])
    scale = float(np.where(both, edge_0, 0.0) @ weight) if sign < 0 else float(weight.sum())
    spread = np.sqrt(np.where(mine, (edge_1 * (1 - edge_1))[groups.steps], (edge_0 * (1 - edge_0))[groups.steps]))
    share = np.where(counted, a_list * worth * spread, 0.0)  # of one list in the sum's standard deviation
    by_user = np.bincount(groups.users, share * groups.lists)
    variance = (1 - alike) * float(share**2 @ groups.lists) + alike * float(by_user @ by_user)
    if variance <= 0 or scale <= 0:
        return NOTHING
    return Harm(
        sign * float(off @ weight) / scale,
        scale**2 / variance,
        float(hits_1[both].sum() / lists_1[both].sum()),
        float(hits_0[both].sum() / lists_0[both].sum()),
        len(np.unique(groups.users[counted & mine])),
        len(np.unique(groups.users[counted & ~mine])),
        tuned,
    )


def _correlation(groups: Groups, rates: Doubles, counted: npt.NDArray[np.bool_]) -> float:
    """How alike the lists of one user are, 0 to 1: the intraclass correlation, by moments."""
    spread = rates * (1 - rates)
    usable = counted & (spread > 0)
    lists = np.where(usable, groups.lists, 0.0)
    off = np.where(usable, groups.hits - rates * groups.lists, 0.0) / np.sqrt(np.where(usable, spread, 1.0))
    a_user, many = np.bincount(groups.users, off), np.bincount(groups.users, lists)
    pairs = float((many**2 - many).sum())
    return min(1.0, max(0.0, float((a_user**2 - many).sum()) / pairs)) if pairs > 0 else 0.0


def loss_bounds(groups: Groups, alpha: float) -> tuple[float, float]:
    """A confidence sequence of the relative loss of clicks (negative: a gain): it holds the truth at all looks together
    with probability at least 1 - alpha. Every loss that neither test rejects at alpha / 2."""

    def too_small(loss: float) -> bool:
        return click_loss(groups, loss).proven(alpha / 2)

    def too_large(loss: float) -> bool:
        harm = click_loss(groups, loss)
        ready = min(harm.candidate_users, harm.champion_users) >= LEAST_USERS and harm.information > 0
        return ready and -harm.difference * harm.information >= boundary(harm.information, alpha / 2, harm.tuned)

    low, high = -10.0, 0.999  # a loss of everything has no variance, so no test
    return _edge(too_small, high, low), _edge(too_large, low, high) if too_large(high) else 1.0


def _edge(rejected: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where a test begins to reject, between a value it keeps and one beyond."""
    if not rejected(outside):
        return outside
    if rejected(inside):
        return inside
    for _ in range(24):
        middle = (inside + outside) / 2
        if rejected(middle):
            outside = middle
        else:
            inside = middle
    return outside


def exceeds(failures: int, lists: int, limit: float) -> float:
    """Against: each list fails with probability at most `limit`, given all before it. Uniform mixture over (limit, 1]."""
    if not 0 < limit < 1 or lists == 0:
        return 0.0
    above = float(betaincc(failures + 1, lists - failures + 1, limit))
    if above <= 0:
        return -math.inf
    mixed = float(betaln(failures + 1, lists - failures + 1)) + math.log(above) - math.log1p(-limit)
    return mixed - failures * math.log(limit) - (lists - failures) * math.log1p(-limit)


def differs(hits: int, tries: int, p: float) -> float:
    """Against: each try hits with probability p. Uniform mixture over [0, 1]."""
    if p <= 0 or p >= 1:
        return math.inf if hits != round(p) * tries else 0.0
    mixed = float(betaln(hits + 1, tries - hits + 1))
    return mixed - hits * math.log(p) - (tries - hits) * math.log1p(-p)


def more_often(counts: list[tuple[int, int, float]]) -> float:
    """Against: failures fall on the two groups as lists do. counts: (failures of the candidate, of the champion, the
    candidate's share of lists) of each step. Mixture over how many times as often the candidate fails."""
    ways = []
    for times in (2.0, 8.0, 64.0):
        way = 0.0
        for mine, theirs, share in counts:
            mixed = 1 - share + times * share
            way += mine * math.log(times / mixed) - theirs * math.log(mixed)
        ways.append(way)
    return float(np.logaddexp.reduce(ways)) - math.log(len(ways))


def quantile_ranks(n: int, level: float, alpha: float) -> tuple[int, int]:
    """(low, high): the quantile lies between the low-th and the high-th smallest of n, at all n together, each side wrong
    at most `alpha` of the time (Howard and Ramdas, Bernoulli 2022). low 0: no bound yet; high n + 1: none.

    How many of n lie at or below the quantile is binomial whatever the distribution: a test of that count gives the ranks.
    """
    enough = math.log(1 / alpha)
    low, high = 0, round(n * level)
    while low < high:  # the fewest at or below it that are not too few
        middle = (low + high) // 2
        low, high = (low, middle) if exceeds(n - middle, n, 1 - level) < enough else (middle + 1, high)
    first = low
    low, high = round(n * level), n
    while low < high:  # the most below it that are not too many
        middle = (low + high + 1) // 2
        low, high = (middle, high) if exceeds(middle, n, level) < enough else (low, middle - 1)
    return first, low + 1
