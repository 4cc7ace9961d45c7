from dataclasses import replace

import numpy as np
import pytest

from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models import validation
from components.recsys.models.base import Training
from components.recsys.models.content import Content
from components.recsys.models.ease import EASE
from components.recsys.models.validation import Judge

ITEMS = np.array(list("abcde"), dtype=object)


def interactions(rows):
    """From {user: items}."""
    histories = Histories.from_rows(list(rows.values()), len(ITEMS))
    return Interactions(
        np.array(list(rows), dtype=object), ITEMS, histories, np.zeros(len(histories.indices), np.int64)
    )


def training(before, after):
    return Training(interactions(before), Catalogue.empty(ITEMS), interactions(after) if after is not None else None)


def test_quality_is_ndcg_of_what_was_not_seen_before():
    judge = Judge.of(training({"u": [0, 1], "v": [2], "w": [3]}, {"u": [2, 2, 4], "w": [0]}))
    scores = np.array([[9, 8, 3, 2, 1], [5, 4, 3, 9, 1]], np.float32)
    of_u = (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3))  # c first and e third of the three that are left
    assert judge.ndcg(scores) == pytest.approx((of_u + 1) / 2)


def test_people_without_training_are_not_judged():
    judge = Judge.of(training({"u": [0]}, {"new": [1], "u": [2]}))
    assert len(judge.histories) == 1
    assert judge.truth.indices.tolist() == [2]


@pytest.mark.parametrize("after", [None, {"new": [1]}])
def test_with_nobody_to_judge_there_is_no_judge(after):
    assert Judge.of(training({"u": [0]}, after)) is None


def test_of_too_many_people_a_seeded_sample_is_judged(monkeypatch):
    monkeypatch.setattr(validation, "MOST_USERS", 3)
    before = {f"u{user}": [user % 5] for user in range(9)}
    whole = training(before, {f"u{user}": [(user + 1) % 5] for user in range(9)})
    first, second = Judge.of(whole), Judge.of(whole)
    assert len(first.histories) == 3
    np.testing.assert_array_equal(first.histories.indices, second.histories.indices)
    other = Judge.of(replace(whole, seed=5))
    assert other.histories.indices.tolist() != first.histories.indices.tolist()


def test_a_gain_within_the_noise_leaves_the_default():
    whole = training({"u": [0, 1], "v": [0, 1]}, {"u": [2], "v": [2]})
    model = EASE(EASE.Config()).fit(whole)
    assert model.learnt() == {"half_life": 8.0}


def test_without_attributes_nothing_is_better_than_the_default():
    model = Content(Content.Config()).fit(training({"u": [0, 1]}, {"u": [2]}))
    assert model.learnt() == {"half_life": 8.0}
