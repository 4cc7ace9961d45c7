import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from components.recsys.errors import NotFound
from components.recsys.evaluation import (
    METRICS,
    PER_USER,
    Evaluation,
    candidates_markdown,
    evaluate_model,
    popular_unseen,
)
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models.base import Training
from components.recsys.models.ease import EASE
from components.recsys.models.popularity import Popularity
from components.recsys.settings import EvaluateSettings, PrepareSettings
from components.recsys.slices import group_users
from components.recsys.splits import Split, split

START = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = EvaluateSettings(k=2, bootstrap=100)


def events(rows):
    """From (user, item), an hour apart."""
    return pl.DataFrame(
        {
            "user_id": [user for user, _ in rows],
            "item_id": [item for _, item in rows],
            "timestamp": [START + timedelta(hours=hour) for hour in range(len(rows))],
        },
        schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us", "UTC")},
    )


def world(n_users=60, n_items=30, seed=0):
    """Two tastes, each with its half of the items."""
    rng = np.random.default_rng(seed)
    half = n_items // 2
    return events(
        [
            (f"u{user:03}", f"i{(user % 2) * half + item:02}")
            for user in range(n_users)
            for item in rng.choice(half, 8, replace=False)
        ]
    )


def popular(train):
    training = Training(Interactions.from_frame(train), Catalogue.empty(np.array([], object)))
    return Popularity(Popularity.Config(half_life_days=1e9)).fit(training)


def small():
    """a is had by three, b by two, c by one. Eve comes back to a, d is unknown, zoe has no history."""
    train = events([("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "b"), ("eve", "a"), ("eve", "c")])
    test = events([("ann", "c"), ("bob", "d"), ("bob", "c"), ("eve", "a"), ("zoe", "b")])
    return Split(train, train.clear(), test, "user_time")


def test_a_hand_worked_evaluation():
    found = evaluate_model("popularity", popular(small().train), small(), None, None, QUICK)
    shown = dict(found.lists.iter_rows())
    assert shown == {"ann": ["c"], "bob": ["c"], "zoe": ["a", "b"]}
    figures = found.per_user.select("user_id", "history", "relevant", "recall", "mrr").rows()
    assert figures == [("ann", 2, 1, 1.0, 1.0), ("bob", 2, 2, 0.5, 1.0), ("zoe", 0, 1, 1.0, 0.5)]
    assert found.metrics["recall"]["value"] == pytest.approx(2.5 / 3, abs=1e-6)
    # 3 of 3 known items are shown.
    assert found.metrics["coverage"]["value"] == 1.0
    # Nothing that a popularity list shows surprises.
    assert found.metrics["serendipity"]["value"] == 0.0
    assert found.counts == {
        "users_asked": 4,
        "users_nothing_new": 1,
        "users_few_events": 0,
        "users_no_history": 1,
        "items_unknown": 1,
        "events_unknown": 1,
        "catalogue": 3,
    }
    assert any("1 held-out events are on items unknown to the model" in note for note in found.notes)


def test_popularity_lift_compares_lists_with_what_people_had():
    found = evaluate_model("popularity", popular(small().train), small(), None, None, QUICK)
    # Lists: c is had by 1, c by 1, a and b by 3 and 2. Histories: a and b, twice; zoe has none, so her b.
    assert found.metrics["popularity_lift"]["value"] == pytest.approx((1 + 1 + 2.5) / (2.5 + 2.5 + 2) - 1, abs=1e-6)


def test_items_of_the_items_file_count_as_catalogue():
    items = pl.DataFrame({"item_id": ["a", "b", "c", "x", "y", "z"]})
    found = evaluate_model("popularity", popular(small().train), small(), items, None, QUICK)
    assert found.metrics["coverage"]["value"] == 0.5


def test_items_had_in_training_or_validation_are_never_shown_again():
    parts = split(world(), PrepareSettings(), seed=0)
    before = pl.concat([parts.train, parts.validation])
    found = evaluate_model("popularity", popular(before), parts, None, None, QUICK)
    shown = found.lists.explode("items").rename({"items": "item_id"})
    assert shown.height == 2 * 60
    assert shown.join(before, on=["user_id", "item_id"]).height == 0


def test_validation_users_are_judged_from_their_training_part_alone():
    parts = split(world(), PrepareSettings(), seed=0)
    found = evaluate_model("popularity", popular(parts.train), parts, None, None, QUICK, part="validation")
    assert found.part == "validation"
    history = dict(parts.train.group_by("user_id").len().iter_rows())
    assert dict(found.per_user.select("user_id", "history").iter_rows()) == history


def test_a_model_that_knows_tastes_beats_popularity_and_has_other_figures():
    parts = split(world(), PrepareSettings(), seed=0)
    before = Interactions.from_frame(pl.concat([parts.train, parts.validation]))
    ease = EASE(EASE.Config(l2=10, half_life=None)).fit(Training(before, Catalogue.empty(before.items)))
    simple = popular(pl.concat([parts.train, parts.validation]))
    good, plain = (evaluate_model("m", model, parts, None, None, QUICK) for model in (ease, simple))
    assert good.metrics["ndcg"]["low"] > plain.metrics["ndcg"]["value"]
    assert good.metrics["serendipity"]["value"] > plain.metrics["serendipity"]["value"]


def test_evaluating_twice_gives_the_same_and_rows_may_come_in_any_order():
    parts = split(world(), PrepareSettings(), seed=0)
    mixed = (part.sample(fraction=1, shuffle=True, seed=3) for part in (parts.train, parts.validation, parts.test))
    shuffled = Split(*mixed, parts.kind)
    model = popular(pl.concat([parts.train, parts.validation]))
    one, other = (evaluate_model("m", model, each, None, None, QUICK) for each in (parts, shuffled))
    assert one.to_dict() == other.to_dict()
    assert_frame_equal(one.per_user, other.per_user)
    assert_frame_equal(one.lists, other.lists)


def test_saved_and_loaded_it_is_the_same_and_plain_json(tmp_path):
    users = pl.DataFrame({"user_id": ["ann", "bob", "zoe"], "sex": ["f", "m", "f"]})
    found = evaluate_model("popularity", popular(small().train), small(), None, users, QUICK)
    found.save(tmp_path / "one")
    found.save(tmp_path / "two")
    loaded = Evaluation.load(tmp_path / "one")
    assert loaded.to_dict() == found.to_dict()
    assert_frame_equal(loaded.per_user, found.per_user)
    assert_frame_equal(loaded.lists, found.lists)
    json.dumps(found.to_dict(), allow_nan=False)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two


def test_a_missing_evaluation_is_named(tmp_path):
    with pytest.raises(NotFound, match="no whole evaluation"):
        Evaluation.load(tmp_path)


def test_nobody_to_judge_is_told_and_not_a_crash(tmp_path):
    parts = small()
    empty = Split(parts.train, parts.validation, parts.test.clear(), "user_time")
    found = evaluate_model("popularity", popular(parts.train), empty, None, None, QUICK)
    assert found.users == 0
    assert found.headline().startswith("nobody could be judged")
    assert found.metrics["ndcg"] == {"value": None, "low": None, "high": None}
    found.save(tmp_path)
    assert Evaluation.load(tmp_path).users == 0
    assert "unknown" in candidates_markdown({"popularity": found})


def test_users_with_few_events_are_not_judged_but_teach():
    parts = split(
        events([("few", "a"), ("few", "b"), *[("many", item) for item in "abcd"]]),
        PrepareSettings(min_events_per_user=3, validation_share=0),
        seed=0,
    )
    found = evaluate_model("popularity", popular(parts.train), parts, None, None, QUICK)
    assert found.per_user["user_id"].to_list() == ["many"]
    assert found.counts["users_few_events"] == 1


def test_every_metric_and_slice_has_its_interval():
    parts = split(world(), PrepareSettings(), seed=0)
    users = pl.DataFrame({"user_id": [f"u{user:03}" for user in range(60)], "taste": ["odd", "even"] * 30})
    found = evaluate_model("m", popular(pl.concat([parts.train, parts.validation])), parts, None, users, QUICK)
    assert tuple(found.metrics) == METRICS
    for figures in (found.metrics, *(part["metrics"] for part in found.slices)):
        for name, figure in figures.items():
            assert figure["low"] <= figure["value"] <= figure["high"], name
    assert [(part["attribute"], part["group"], part["users"]) for part in found.slices] == [
        ("activity", "lukewarm", 60),
        ("taste", "even", 30),
        ("taste", "odd", 30),
    ]
    assert set(PER_USER) <= set(found.per_user.columns)


def test_the_table_of_candidates_puts_the_best_first_and_survives_odd_names():
    users = pl.DataFrame({"user_id": ["ann", "bob"], "kind": ["a|b", "<script>"]})
    found = evaluate_model("popularity", popular(small().train), small(), None, users, QUICK)
    table = candidates_markdown({"popularity": found})
    assert "nDCG@2" in table
    assert "a\\|b" in table
    assert "<script>" not in table


def judged(history):
    return pl.DataFrame({"user_id": [f"u{row}" for row in range(len(history))], "history": history})


def test_activity_groups_follow_the_settings():
    groups, _ = group_users(judged([0, 1, 4, 5, 19, 20]), None, EvaluateSettings())
    assert groups["activity"].to_list() == ["no history", "cold", "cold", "lukewarm", "lukewarm", "warm"]


def attribute(values, **changes):
    people = judged([1] * len(values))
    users = people.select("user_id").with_columns(pl.Series("trait", values, strict=False))
    groups, notes = group_users(people, users, EvaluateSettings(**changes))
    return (groups["trait"].to_list() if "trait" in groups.columns else None), notes


def test_few_values_are_groups_and_missing_ones_are_unknown():
    assert attribute(["m", "f", None]) == (["m", "f", "unknown"], [])
    assert attribute([True, False, None])[0] == ["true", "false", "unknown"]


def test_numbers_are_cut_into_quarters_also_when_they_come_as_text():
    ages = [*range(20, 60), None]
    groups, notes = attribute(ages)
    assert sorted(set(groups)) == ["20 to 29", "30 to 39", "40 to 49", "50 to 59", "unknown"]
    assert notes == ["user attribute 'trait' was cut into quarters of the users"]
    assert attribute([str(age) for age in ages[:-1]] * 3)[0] == [*groups[:-1]] * 3


def test_codes_are_no_numbers_and_the_largest_groups_are_shown():
    codes = [f"0{code}" for code in range(6) for _ in range(code + 3)]
    groups, notes = attribute(codes, max_slices=2)
    assert set(groups) == {"05", "04", "other"}
    assert notes == ["user attribute 'trait': the 2 largest groups of 6 are shown"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([f"name {row}" for row in range(30)], "nearly unique"),
        (["same"] * 5, "one value for all"),
        ([None] * 5, "one value for all"),
        ([["a"], ["b"], ["a", "b"]], "no single category"),
        ([datetime(2026, 1, day + 1, tzinfo=UTC) for day in range(5)], "no single category"),
    ],
)
def test_attributes_that_make_no_groups_are_left_out_with_a_reason(values, reason):
    groups, notes = attribute(values)
    assert groups is None
    assert len(notes) == 1
    assert reason in notes[0]


def test_infinite_numbers_are_unknown():
    groups, _ = attribute([*range(20), float("inf"), float("nan")], max_slices=4)
    assert groups[-2:] == ["unknown", "unknown"]


def test_what_is_expected_is_the_most_popular_that_somebody_has_not_had():
    lists = popular_unseen(np.array([5, 9, 7, 9]), Histories.from_rows([[], [1], [0, 1, 2], [0, 1, 2, 3]], 4), k=2)
    assert lists.tolist() == [[1, 3], [3, 2], [3, -1], [-1, -1]]


def test_without_attributes_items_are_alike_when_the_same_people_had_them():
    train = events([("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "z")])
    parts = Split(train, train.clear(), events([("new", "x")]), "user_time")
    found = evaluate_model("m", popular(train), parts, None, None, QUICK)
    assert found.lists["items"].to_list() == [["x", "y"]]
    assert found.metrics["diversity"]["value"] == pytest.approx(0)


def test_projected_item_vectors_give_nearly_the_same_diversity(monkeypatch):
    parts = split(world(n_users=400), PrepareSettings(), seed=0)
    model = popular(pl.concat([parts.train, parts.validation]))
    exact = evaluate_model("m", model, parts, None, None, QUICK)
    monkeypatch.setattr("components.recsys.heldout.EXACT_USERS", 200)
    projected = evaluate_model("m", model, parts, None, None, QUICK)
    assert projected.metrics["diversity"]["value"] == pytest.approx(exact.metrics["diversity"]["value"], abs=0.05)
