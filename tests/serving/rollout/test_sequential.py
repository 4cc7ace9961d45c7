"""Tests that are looked at all the time: how often they are wrong, how soon they see."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.rollout.sequential import (
    Groups,
    boundary,
    click_loss,
    differs,
    exceeds,
    fallback_gain,
    loss_bounds,
    more_often,
    quantile_ranks,
)

ROLLOUTS = 400
SHARES = (0.05, 0.25)


def slack(rate, n):
    """What a true rate of `rate` stays below in n tries, with 99.9 % probability."""
    return rate + 3.1 * math.sqrt(rate * (1 - rate) / n)


def looks(rng, loss=0.0, gain=0.0, users=400, batches=12, lists=100, rate=0.25, season=(1.0, 1.8)):
    """Groups after every batch of a rollout in two steps. People differ in how much they click and how often they come;
    at the second step everybody clicks more. Some never click, whatever they see."""
    where = rng.random(users)
    likes = rng.beta(1.0, 1.0 / rate - 1.0, users)
    comes = rng.pareto(2.0, users) + 0.2
    comes /= comes.sum()
    size = 4 * users  # rows: user, step, group
    n, hits = np.zeros(size), np.zeros(size)
    for batch in range(2 * batches):
        step = batch // batches
        who = rng.choice(users, lists, p=comes)
        candidate = where[who] < SHARES[step]
        chance = np.clip(likes[who] * season[step], 0, 1) * np.where(candidate, 1 - loss, 1.0)
        chance = chance + np.where(candidate, gain, 0.0)
        row = who * 4 + step * 2 + candidate
        np.add.at(n, row, 1)
        np.add.at(hits, row, rng.random(lists) < np.clip(chance, 0, 1))
        seen = np.flatnonzero(n)
        yield Groups(seen // 4, seen // 2 % 2, (seen % 2).astype(float), n[seen], hits[seen])


def test_an_equal_candidate_is_aborted_no_more_often_than_alpha_with_a_look_after_every_batch():
    """Nothing is accepted here (accepted=0), which is the hardest for an equal candidate."""
    alpha = 0.05
    aborted = 0
    for seed in range(ROLLOUTS):
        aborted += any(click_loss(groups).proven(alpha) for groups in looks(np.random.default_rng(seed)))
    assert aborted / ROLLOUTS <= slack(alpha, ROLLOUTS)


def test_a_candidate_that_loses_just_what_is_accepted_is_aborted_no_more_often_than_alpha():
    alpha = 0.05
    aborted = 0
    for seed in range(ROLLOUTS // 2):
        rng = np.random.default_rng([1, seed])
        aborted += any(click_loss(groups, 0.3).proven(alpha) for groups in looks(rng, loss=0.3))
    assert aborted / (ROLLOUTS // 2) <= slack(alpha, ROLLOUTS // 2)


def test_more_fallbacks_than_accepted_are_not_seen_where_there_are_none():
    """A user who is not known gets a fallback every time: 5 % of people here."""
    alpha = 0.05
    aborted = 0
    for seed in range(ROLLOUTS // 2):
        rng = np.random.default_rng([2, seed])
        aborted += any(fallback_gain(groups).proven(alpha) for groups in looks(rng, rate=0.05, season=(1, 1)))
    assert aborted / (ROLLOUTS // 2) <= slack(alpha, ROLLOUTS // 2)


def test_an_inverted_candidate_is_seen_at_5_percent_within_200_of_its_lists():
    """Clicks fall to a fifth, as with scores turned around. 10 % loss is accepted."""
    needed = []
    for seed in range(100):
        rng = np.random.default_rng([3, seed])
        for groups in looks(rng, loss=0.8, users=2000, batches=60):
            if click_loss(groups, 0.1).proven(0.025):
                assert groups.steps.max() == 0  # before the share grew
                needed.append(float(groups.lists @ groups.candidate))
                break
    assert len(needed) == 100
    assert np.median(needed) <= 120
    assert np.quantile(needed, 0.9) <= 220


def test_the_bounds_of_the_loss_hold_the_truth_at_all_looks_together():
    wrong = 0
    for seed in range(200):
        rng = np.random.default_rng([4, seed])
        # The truth lies within the bounds as long as neither side's test rejects it.
        for groups in looks(rng, loss=0.25, batches=8):
            harm = click_loss(groups, 0.25)
            if (
                harm.information
                and abs(harm.difference * harm.information) >= boundary(harm.information, 0.05, harm.tuned)
                and min(harm.candidate_users, harm.champion_users) >= 10
            ):
                wrong += 1
                break
    assert wrong / 200 <= slack(0.10, 200)


def test_bounds_narrow_and_agree_with_the_test():
    rng = np.random.default_rng(5)
    widths = []
    for number, groups in enumerate(looks(rng, loss=0.8, users=2000, batches=40)):
        if number % 4 != 3:
            continue
        low, high = loss_bounds(groups, 0.05)
        assert (low > 0.1) == click_loss(groups, 0.1).proven(0.025)
        widths.append(high - low)
    assert widths[-1] < 0.5 < widths[1]
    assert low < 0.8 < high


def test_a_rate_that_grew_with_the_share_is_no_difference():
    """Simpson: most of the candidate's lists are of the second step, where everybody clicks twice as often."""
    rows = [(user, step, user % 20 == 0 if step == 0 else user % 2 == 0) for step in (0, 1) for user in range(1000)]
    users, steps, candidate = (np.array(column) for column in zip(*rows, strict=True))
    lists = np.full(len(rows), 10.0)
    groups = Groups(users, steps, candidate.astype(float), lists, np.where(steps == 1, 4.0, 2.0))
    harm = click_loss(groups)
    assert harm.candidate_rate > harm.champion_rate  # pooled, the candidate looks better
    assert harm.difference == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "groups",
    [
        Groups(*(np.array([], dtype=kind) for kind in (int, int, float, float, float))),
        Groups(np.arange(50), np.zeros(50, int), np.zeros(50), np.ones(50), np.ones(50)),
        Groups(np.arange(50), np.zeros(50, int), (np.arange(50) % 2).astype(float), np.ones(50), np.zeros(50)),
        Groups(
            np.arange(18),
            np.zeros(18, int),
            (np.arange(18) % 2).astype(float),
            np.full(18, 99.0),
            np.arange(18) % 2 * 99.0,
        ),
    ],
    ids=["nobody", "one group", "no click", "nine users a group"],
)
def test_nothing_is_said_where_nothing_can_be_known(groups):
    assert not click_loss(groups).proven(0.4)
    assert not fallback_gain(groups, 0.05).proven(0.4)
    low, high = loss_bounds(groups, 0.05)
    assert low == -10.0 or high == 1.0


def test_boundary_is_crossed_by_a_brownian_motion_no_more_often_than_alpha():
    rng = np.random.default_rng(6)
    path = np.cumsum(rng.normal(0, math.sqrt(2.0), (2000, 1500)), axis=1)
    limit = np.array([boundary(2.0 * (index + 1), 0.05, 1 / 3) for index in range(1500)])
    crossed = (path >= limit).any(axis=1).mean()
    assert 0.01 < crossed <= slack(0.05, 2000)  # neither wrong nor asleep


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.floats(0.005, 0.5), st.floats(0.0, 1.0))
def test_the_expected_e_value_of_failures_is_at_most_one_under_the_hypothesis(lists, limit, part):
    """Exact, by summing over all outcomes: what Ville's inequality needs."""
    p = limit * part
    total = 0.0
    for failures in range(lists + 1):
        chance = math.comb(lists, failures) * p**failures * (1 - p) ** (lists - failures)
        total += chance * math.exp(exceeds(failures, lists, limit))
    assert total <= 1 + 1e-6


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.floats(0.02, 0.98))
def test_the_expected_e_value_of_a_split_is_one_when_it_is_as_asked(users, share):
    total = sum(
        math.comb(users, k) * share**k * (1 - share) ** (users - k) * math.exp(differs(k, users, share))
        for k in range(users + 1)
    )
    assert total == pytest.approx(1, abs=1e-6)


def test_failures_of_both_alike_are_nobodys_fault():
    assert more_often([(50, 950, 0.05)]) < 0
    assert more_often([(5, 0, 0.05)]) > math.log(1000)
    assert more_often([(5, 0, 1.0)]) == pytest.approx(0)  # alone there is nothing to compare with


def test_three_failures_of_the_first_lists_are_enough():
    assert exceeds(3, 3, 0.01) > math.log(1000)
    assert exceeds(2, 200, 0.01) < 0
    assert exceeds(0, 10_000, 0.01) < 0


def test_quantile_bounds_hold_at_all_sizes_together():
    rng = np.random.default_rng(7)
    sizes = [20, 40, 80, 160, 320, 640, 1280]
    ranks = [quantile_ranks(n, 0.95, 0.025) for n in sizes]
    truth = -math.log(0.05)
    wrong = 0
    for _ in range(ROLLOUTS):
        values = rng.exponential(size=sizes[-1])
        for n, (low, high) in zip(sizes, ranks, strict=True):
            ordered = np.sort(values[:n])
            below = ordered[low - 1] if low else 0.0
            above = ordered[high - 1] if high <= n else math.inf
            if not below <= truth <= above:
                wrong += 1
                break
    assert wrong / ROLLOUTS <= slack(0.05, ROLLOUTS)
    assert ranks[-1][0] > 1150
    assert ranks[-1][1] <= 1250


def test_many_lists_rule_out_that_most_clicks_are_lost():
    """The bound from above narrows too: it is what lets everybody have a release."""
    rng, users = np.random.default_rng(0), 400
    mine = (np.arange(users) < 100).astype(np.float64)
    groups = Groups(
        np.arange(users),
        np.zeros(users, np.int64),
        mine,
        np.full(users, 15.0),
        rng.binomial(15, 0.3, users).astype(float),
    )
    low, high = loss_bounds(groups, 0.05)
    assert low < 0 < high < 0.5
