"""Propensities are what they say: probabilities of what was shown."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from serving.gateway.exploration import explore


def ranked(count):
    return [{"id": str(rank), "score": 1.0 - rank / 100, "propensity": 1.0, "reason": ""} for rank in range(count)]


def every_outcome(count, k, share):
    """(probability, list) of everything that may come: the draws are enumerated, not sampled."""
    shown, pool = min(k, count), max(count - k, 0)
    if not share or not pool:
        return [(1.0, explore(ranked(count), k, share, lambda: 1.0 - 1e-12)[0])]
    outcomes = [(1 - share, explore(ranked(count), k, share, lambda: 1.0 - 1e-12)[0])] if share < 1 else []
    for place in range(shown):
        for rank in range(pool):
            draws = iter([0.0, (place + 0.5) / shown, (rank + 0.5) / pool])
            items, explored = explore(ranked(count), k, share, lambda draws=draws: next(draws))
            assert explored
            outcomes.append((share / (shown * pool), items))
    return outcomes


@given(st.integers(1, 8), st.integers(0, 12), st.sampled_from([0.0, 0.01, 0.05, 0.5, 1.0]))
def test_an_items_propensity_is_the_sum_over_the_lists_that_show_it_there(k, count, share):
    shown = Counter()
    outcomes = every_outcome(count, k, share)
    assert math.isclose(sum(probability for probability, _ in outcomes), 1.0)
    for probability, items in outcomes:
        for place, item in enumerate(items):
            shown[place, item["id"]] += probability
    for _, items in outcomes:
        assert len(items) == min(k, count)
        assert len({item["id"] for item in items}) == len(items)
        for place, item in enumerate(items):
            assert math.isclose(item["propensity"], shown[place, item["id"]])
    for place in range(min(k, count)):
        assert math.isclose(sum(p for (where, _), p in shown.items() if where == place), 1.0)


def test_how_often_items_are_shown_is_what_their_propensity_says():
    share, k, count, draws = 0.3, 4, 10, 30_000
    draw = random.Random(7).random
    seen, told = Counter(), {}
    for _ in range(draws):
        items, _ = explore(ranked(count), k, share, draw)
        for place, item in enumerate(items):
            seen[place, item["id"]] += 1
            told[place, item["id"]] = item["propensity"]
    for place in range(k):
        cells = sorted(cell for cell in told if cell[0] == place)
        assert len(cells) == 1 + count - k
        assert chisquare([seen[cell] for cell in cells], [draws * told[cell] for cell in cells]).pvalue > 0.001


@pytest.mark.parametrize(("share", "count"), [(0.0, 20), (0.5, 5), (0.5, 0)])
def test_without_a_share_or_a_pool_the_list_is_certain(share, count):
    items, explored = explore(ranked(count), 5, share, lambda: 0.0)
    assert not explored
    assert [item["id"] for item in items] == [str(rank) for rank in range(min(count, 5))]
    assert {item["propensity"] for item in items} <= {1.0}


def test_through_the_gateway_a_share_of_lists_is_explored_and_the_log_knows_the_candidates(predictor, gateway, logged):
    with gateway(predictor(), explore=0.5, explore_pool=4) as gate:
        answers = gate.predict(*[{"user_id": "u2", "k": 3}] * 200)
    explored = [answer for answer in answers if answer.get("explored")]
    assert 60 < len(explored) < 140  # within 5.6 standard deviations of 100
    for answer in answers:
        own, foreign = 1 - 0.5 / 3, 0.5 / (3 * 4)
        assert [item["propensity"] for item in answer["items"]].count(own) == (2 if answer.get("explored") else 3)
        assert {item["propensity"] for item in answer["items"]} <= {own, foreign}
    records = {record.request_id: record for record in logged(200)}
    assert len({record.candidates for record in records.values()}) == 1
    [best] = {tuple(item["id"] for item in answer["items"]) for answer in answers if not answer.get("explored")}
    for answer in answers:
        record = records[answer["request_id"]]
        assert record.explored == bool(answer.get("explored"))
        assert len(record.candidates) == 7
        assert [shown.item for shown in record.items] == [item["id"] for item in answer["items"]]
        assert [shown.propensity for shown in record.items] == [item["propensity"] for item in answer["items"]]
        assert record.candidates[:3] == best


def test_lists_from_popularity_are_not_explored(predictor, gateway):
    with gateway(predictor(), explore=1.0) as gate:
        answer = gate.one(user_id="nobody knows me", k=3)
        assert answer["fallback"] == "unknown_user"
        assert "explored" not in answer
        assert [item["propensity"] for item in answer["items"]] == [1.0] * 3
        assert gate.one(user_id="u2", k=3)["explored"] is True


def test_the_pool_ends_at_the_longest_list_that_predictors_give(predictor, gateway):
    with gateway(predictor(), explore=1.0, serving={"max_k": 5}) as gate:
        assert "explored" not in gate.one(user_id="u2", k=5)
        assert gate.one(user_id="u2", k=4)["explored"] is True
