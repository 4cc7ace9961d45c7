import json

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from components.recsys.errors import InputError
from components.recsys.evaluation import GROUP, Evaluation
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.gate import decide, verdict_markdown
from components.recsys.metrics import hits, ndcg
from components.recsys.models.base import Training
from components.recsys.models.ease import EASE
from components.recsys.ranking import rank, top_k
from components.recsys.settings import GateSettings

ALPHA = 0.05
SEEDS = 200
# More promotions than this among 200 would happen once in a thousand to a gate that keeps its promise.
LIMIT = binom.ppf(0.999, SEEDS, ALPHA)
QUICK = GateSettings(bootstrap=300, baselines=(), alpha=ALPHA)


def evaluation(values, groups=None, coverage=0.5, catalogue=100, k=10, users=None):
    """An evaluation with these nDCGs, and user groups by name."""
    values, groups = np.asarray(values, float), groups or {}
    users = users or [f"u{row:05}" for row in range(len(values))]
    columns = {GROUP + name: list(members) for name, members in groups.items()}
    slices = [
        {"attribute": name, "group": group, "users": members.count(group), "judged": members.count(group) >= 30}
        for name, members in ((name, list(members)) for name, members in groups.items())
        for group in sorted(set(members))
    ]
    return Evaluation(
        name="m",
        k=k,
        split="user_time",
        part="test",
        users=len(values),
        counts={"catalogue": catalogue},
        metrics={"coverage": {"value": coverage, "low": None, "high": None}},
        slices=slices,
        notes=[],
        per_user=pl.DataFrame({"user_id": users, "ndcg": values, **columns}, schema_overrides={"user_id": pl.String}),
        lists=pl.DataFrame(),
    )


def like_ndcg(rng, n, level=0.25):
    """Many zeros, some large."""
    return np.where(rng.random(n) < 0.6, rng.beta(2, 2 / level - 2, n), 0.0)


# A/A: nothing is better, so nothing should be promoted more often than alpha.


def test_an_equal_challenger_is_promoted_no_more_often_than_alpha():
    promoted = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        champion, challenger = (evaluation(like_ndcg(rng, 200)) for _ in range(2))
        promoted += decide({"a": challenger}, champion, QUICK).promote
    assert promoted <= LIMIT


def test_the_best_of_six_equal_candidates_is_promoted_no_more_often_than_alpha():
    promoted = naive = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        people = like_ndcg(rng, 200)
        clones = [np.clip(people + rng.normal(0, 0.1, 200), 0, 1) for _ in range(7)]
        candidates = {f"clone{index}": evaluation(values) for index, values in enumerate(clones[1:])}
        promoted += decide(candidates, evaluation(clones[0]), QUICK).promote
        best = max(clones[1:], key=np.mean)
        naive += decide({"best": evaluation(best)}, evaluation(clones[0]), QUICK).promote
    assert promoted <= LIMIT
    assert naive > LIMIT  # what choosing and judging on the same users would do without the correction


def test_six_equal_candidates_two_of_them_baselines_are_promoted_no_more_often_than_alpha():
    wanted = QUICK.model_copy(update={"baselines": ("clone0", "clone1")})
    promoted = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        people = like_ndcg(rng, 150)
        clones = [evaluation(np.clip(people + rng.normal(0, 0.1, 150), 0, 1)) for _ in range(7)]
        candidates = {f"clone{index}": each for index, each in enumerate(clones[1:])}
        promoted += decide(candidates, clones[0], wanted).promote
    assert promoted <= LIMIT


def test_differences_on_few_users_are_promoted_no_more_often_than_alpha():
    # Two models that differ for about 12 of 500 users: sums of a few coins, far from normal.
    promoted = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        people = like_ndcg(rng, 500)
        changed = people.copy()
        rows = rng.choice(500, rng.poisson(12), replace=False)
        changed[rows] = like_ndcg(rng, len(rows))
        promoted += decide({"a": evaluation(changed)}, evaluation(people), QUICK).promote
    assert promoted <= LIMIT


def tastes(seed, n_users, n_items=40, length=12):
    """Histories of people of four tastes, and the three things that each takes next."""
    chances = np.random.default_rng(0).dirichlet(np.full(n_items, 0.3), size=4)
    rng = np.random.default_rng(seed)
    likes = 0.9 * chances + 0.1 / n_items
    drawn = [rng.choice(n_items, length, replace=False, p=likes[user % 4]) for user in range(n_users)]
    return Histories.from_rows([row[:-3] for row in drawn], n_items), Histories.from_rows(
        [sorted(row[-3:]) for row in drawn], n_items
    )


def fitted(histories, rng):
    """EASE on a bootstrap resample of the users."""
    drawn = rng.integers(0, len(histories), len(histories))
    rows = [histories[index : index + 1].indices for index in drawn]
    items = np.array([f"i{index:02}" for index in range(histories.n_items)], dtype=object)
    resampled = Histories.from_rows(rows, histories.n_items)
    users = np.array([f"u{index:05}" for index in range(len(rows))], dtype=object)
    known = Interactions(users, items, resampled, np.zeros(len(resampled.indices), np.int64))
    return EASE(EASE.Config(l2=50, half_life=None)).fit(Training(known, Catalogue.empty(items)))


def test_one_recipe_fitted_on_two_resamples_of_users_is_promoted_no_more_often_than_alpha():
    # Enough learners that the luck of a fit, which is a real if small difference in quality, is lost among 150 judges.
    learners, _ = tastes(1, n_users=1600)
    fits = [fitted(learners, np.random.default_rng(seed)) for seed in range(40)]
    promoted = 0
    for seed in range(SEEDS):
        histories, truth = tastes(seed + 2, n_users=150)
        pair = np.random.default_rng(seed).choice(40, 2, replace=False)
        ranked = [rank(fits[index], histories, 10)[0] for index in pair]
        challenger, champion = (evaluation(ndcg(hits(lists, truth), truth.lengths)) for lists in ranked)
        promoted += decide({"ease": challenger}, champion, QUICK).promote
    assert promoted <= LIMIT


def test_one_model_with_two_seeds_of_noise_is_promoted_no_more_often_than_alpha():
    histories, truth = tastes(0, n_users=400)
    scores = fitted(histories, np.random.default_rng(0)).score(histories)
    promoted = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        judged = []
        for _ in range(4):
            noisy = (scores + rng.normal(0, 0.1, scores.shape)).astype(np.float32)
            judged.append(evaluation(ndcg(hits(top_k(noisy, 10)[0], truth), truth.lengths)))
        promoted += decide({"a": judged[0], "b": judged[1], "c": judged[2]}, judged[3], QUICK).promote
    assert promoted <= LIMIT


# Power: what is better gets through, what harms does not.


def test_a_real_improvement_is_promoted_in_nearly_all_seeds():
    promoted = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        people = like_ndcg(rng, 400)
        groups = {"sex": rng.choice(["f", "m"], 400), "job": rng.choice(list("abcdefgh"), 400)}
        champion = evaluation(np.clip(people + rng.normal(0, 0.1, 400), 0, 1), groups)
        better = evaluation(np.clip(people + 0.04 + rng.normal(0, 0.1, 400), 0, 1), groups)
        others = {f"clone{index}": evaluation(np.clip(people + rng.normal(0, 0.1, 400), 0, 1)) for index in range(5)}
        verdict = decide({"better": better, **others}, champion, QUICK)
        promoted += verdict.promote and verdict.chosen == "better"
    assert promoted >= 0.97 * SEEDS


def test_planted_harm_to_a_group_is_blocked_although_the_mean_is_better():
    blocked = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        people = like_ndcg(rng, 600)
        groups = {"sex": ["f"] * 120 + ["m"] * 480, "job": list(rng.choice(list("abcdefgh"), 600))}
        harmed = people + np.where(np.arange(600) < 120, -0.5 * people, 0.06) + rng.normal(0, 0.05, 600)
        verdict = decide({"a": evaluation(harmed, groups)}, evaluation(people, groups), QUICK)
        assert verdict.comparisons[-1]["passed"]
        blocked += not verdict.promote
        if not verdict.promote:
            assert verdict.reasons[0].startswith("Users with sex f lose: nDCG@10 ")
            assert {part["group"]: part["state"] for part in verdict.slices if part["attribute"] == "sex"}[
                "f"
            ] == "harmed"
    assert blocked >= 48


def test_noise_among_many_groups_seldom_blocks_an_improvement():
    blocked = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        people = like_ndcg(rng, 900)
        groups = {name: list(rng.choice(list("abcdefghijkl"), 900)) for name in ("job", "town", "age")}
        better = np.clip(people + 0.02 + rng.normal(0, 0.1, 900), 0, 1)
        champion = np.clip(people + rng.normal(0, 0.1, 900), 0, 1)
        verdict = decide({"a": evaluation(better, groups)}, evaluation(champion, groups), QUICK)
        blocked += any(part["state"] == "harmed" for part in verdict.slices)
    assert blocked <= 3


def test_a_loss_within_the_margin_is_no_harm():
    rng = np.random.default_rng(0)
    people = 0.3 + 0.4 * rng.random(600)
    groups = {"sex": ["f"] * 300 + ["m"] * 300}
    changed = people * np.where(np.arange(600) < 300, 0.95, 1.2) + rng.normal(0, 0.01, 600)
    verdict = decide({"a": evaluation(changed, groups)}, evaluation(people, groups), QUICK)
    assert verdict.promote
    assert {part["group"]: part["state"] for part in verdict.slices} == {"f": "safe", "m": "safe"}


def test_groups_that_are_too_small_are_not_judged():
    groups = {"sex": ["f"] * 10 + ["m"] * 90}
    rng = np.random.default_rng(0)
    people = 0.3 + 0.4 * rng.random(100)
    changed = people + np.where(np.arange(100) < 10, -0.3, 0.1)
    verdict = decide({"a": evaluation(changed, groups)}, evaluation(people, groups), QUICK)
    assert [part["group"] for part in verdict.slices] == ["m"]


# Baselines and first releases.


def ladder(n=300, seed=0, **means):
    rng = np.random.default_rng(seed)
    people = rng.normal(0, 0.05, n)
    return {name: evaluation(np.clip(people + mean + rng.normal(0, 0.05, n), 0, 1)) for name, mean in means.items()}


def test_a_first_release_must_beat_the_simple_baselines():
    verdict = decide(ladder(popularity=0.2, item_knn=0.3, ease=0.4), None, GateSettings(bootstrap=300))
    assert (verdict.outcome, verdict.chosen) == ("promoted", "ease")
    assert [found["against"] for found in verdict.comparisons] == ["popularity", "item_knn"]
    assert "There is no champion yet: this would be the first release." in verdict.reasons


def test_a_complex_model_that_has_not_proven_itself_gives_way_to_the_best_baseline():
    rng = np.random.default_rng(0)
    people, noise = 0.3 + rng.random(300) / 10, rng.normal(0, 0.05, 300)
    hardly = evaluation(people + noise - noise.mean() + 0.001)
    candidates = {"item_knn": evaluation(people), "popularity": evaluation(people - 0.1), "ease": hardly}
    verdict = decide(candidates, None, GateSettings(bootstrap=300))
    assert (verdict.outcome, verdict.chosen) == ("promoted", "item_knn")
    assert any("ease has not proven itself" in reason for reason in verdict.reasons)


def test_a_baseline_is_released_when_nothing_is_better():
    verdict = decide(ladder(popularity=0.2, item_knn=0.4, ease=0.3), None, GateSettings(bootstrap=300))
    assert (verdict.outcome, verdict.chosen) == ("promoted", "item_knn")


def test_a_baseline_may_replace_a_champion_that_it_beats():
    candidates = ladder(popularity=0.2, item_knn=0.4, ease=0.3, champion=0.3)
    verdict = decide(candidates, candidates.pop("champion"), GateSettings(bootstrap=300))
    assert (verdict.outcome, verdict.chosen) == ("promoted", "item_knn")


def test_a_first_release_on_a_handful_of_users_is_a_baseline():
    verdict = decide(ladder(n=12, popularity=0.2, item_knn=0.3, ease=0.6), None, GateSettings(bootstrap=300))
    assert (verdict.outcome, verdict.chosen) == ("promoted", "item_knn")
    assert any(reason.startswith("Only 12 users could be judged, and 30 are needed") for reason in verdict.reasons)


def test_without_baselines_among_the_candidates_the_best_is_released_and_it_is_said():
    verdict = decide(ladder(ease=0.3, ials=0.2), None, GateSettings(bootstrap=300))
    assert (verdict.outcome, verdict.chosen) == ("promoted", "ease")
    assert "No simple baseline was a candidate, so none had to be beaten." in verdict.reasons


# Coverage.


def test_too_narrow_lists_are_rejected_with_the_deciding_reason_first():
    verdict = decide({"ease": evaluation([0.5] * 100, coverage=0.01)}, None, GateSettings(bootstrap=300))
    assert (verdict.outcome, verdict.chosen) == ("rejected", "ease")
    assert verdict.reasons[0] == "The lists of ease show 0.010 of the catalogue, less than the floor of 0.050."


def test_a_candidate_with_wide_enough_lists_is_judged_before_a_better_one_without():
    rng = np.random.default_rng(0)
    candidates = {"narrow": evaluation(0.5 + rng.random(100) / 10, coverage=0.01), "wide": evaluation(rng.random(100))}
    verdict = decide(candidates, None, GateSettings(bootstrap=300))
    assert (verdict.outcome, verdict.chosen) == ("promoted", "wide")
    assert any("so wide is judged" in reason for reason in verdict.reasons)


def test_a_complex_model_without_a_baseline_wide_enough_to_stand_in_is_rejected():
    candidates = {"popularity": evaluation([0.5] * 100, coverage=0.01), "ease": evaluation([0.5] * 100)}
    verdict = decide(candidates, None, GateSettings(bootstrap=300))
    assert (verdict.outcome, verdict.chosen) == ("rejected", "ease")
    assert "no baseline shows enough of the catalogue" in verdict.reasons[0]


def test_few_lists_need_not_show_much_of_a_huge_catalogue():
    verdict = decide({"ease": evaluation([0.5] * 100, coverage=0.0006, catalogue=1_000_000)}, None, QUICK)
    assert verdict.promote
    assert any("of what so few lists can show" in reason for reason in verdict.reasons)


# Symmetry, sameness, and what cannot be judged.


@pytest.mark.parametrize("seed", range(5))
def test_of_two_models_at_most_one_may_replace_the_other(seed):
    rng = np.random.default_rng(seed)
    one, other = (evaluation(like_ndcg(rng, 300) + shift) for shift in (0.0, 0.01 * seed))
    there, back = (decide({"a": a}, b, QUICK) for a, b in ((one, other), (other, one)))
    assert not (there.promote and back.promote)
    assert there.comparisons[0]["difference"] == pytest.approx(-back.comparisons[0]["difference"])
    assert there.comparisons[0]["low"] == pytest.approx(-back.comparisons[0]["high"])


def test_the_champion_itself_changes_nothing():
    champion = evaluation(np.random.default_rng(0).random(100))
    verdict = decide({"ease": champion}, champion, QUICK, {"ease"})
    assert (verdict.promote, verdict.outcome) == (False, "unchanged")
    assert verdict.reasons[0] == "ease is the best candidate, and it is the champion itself: nothing to release."


def test_an_equal_copy_of_the_champion_is_rejected():
    champion = evaluation(np.random.default_rng(0).random(100))
    verdict = decide({"ease": champion}, champion, QUICK)
    assert verdict.outcome == "rejected"
    assert "is not shown to beat the champion's" in verdict.reasons[0]


def test_a_difference_on_a_few_users_only_is_not_enough():
    people = np.full(500, 0.3)
    changed = people.copy()
    changed[:9] += 0.3 + np.arange(9) / 100
    verdict = decide({"a": evaluation(changed)}, evaluation(people), QUICK)
    assert not verdict.promote
    assert "only 9 users are served differently, and 10 are needed" in verdict.reasons[0]


def test_the_decision_is_the_same_every_time():
    rng = np.random.default_rng(0)
    candidates = {name: evaluation(like_ndcg(rng, 200)) for name in "abc"}
    champion = evaluation(like_ndcg(rng, 200))
    turned = dict(reversed(candidates.items()))
    assert decide(candidates, champion, QUICK).to_dict() == decide(turned, champion, QUICK).to_dict()


def test_a_reason_tells_figures_that_people_can_read():
    verdict = decide(ladder(ease=0.4, champion=0.3), ladder(ease=0.4, champion=0.3)["champion"], QUICK)
    assert verdict.reasons[0].startswith("nDCG@10 of ease, 0.")
    assert " beats the champion's 0." in verdict.reasons[0]
    assert verdict.reasons[0].endswith("(paired bootstrap over 300 users, one-sided 5%, best of 2).")


@pytest.mark.parametrize(
    ("candidate", "champion", "reason"),
    [
        (evaluation([float("nan")] * 50), None, "a cannot be judged: its ndcg is not a number for some users."),
        (evaluation([0.5] * 50), evaluation([float("nan")] * 50), "the champion cannot be judged: its ndcg is not"),
        (evaluation([]), None, "a cannot be judged: its lists were judged on 0 users."),
        (evaluation([0.5]), None, "a cannot be judged: its lists were judged on 1 users."),
        (evaluation([0.9] * 20), evaluation([0.1] * 20), "Only 20 users could be judged, and 30 are needed"),
        (evaluation([0.9] * 50), evaluation([0.1] * 40), "a cannot be judged: it was evaluated on other users"),
        (evaluation([0.9] * 50, k=5), evaluation([0.1] * 50), "a cannot be judged: it was evaluated on other users"),
    ],
)
def test_what_cannot_be_judged_is_rejected_with_a_sentence(candidate, champion, reason):
    verdict = decide({"a": candidate}, champion, QUICK)
    assert (verdict.promote, verdict.outcome, verdict.chosen) == (False, "rejected", "a")
    assert verdict.reasons[0].startswith(reason)
    json.dumps(verdict.to_dict(), allow_nan=False)
    assert reason in verdict_markdown(verdict)


def test_an_evaluation_without_the_metric_is_rejected_with_a_sentence():
    broken = evaluation([0.5] * 50)
    verdict = decide({"a": broken}, None, GateSettings(metric="recall"))
    assert verdict.reasons == ["a cannot be judged: its evaluation has no recall."]


def test_a_broken_candidate_does_not_stop_the_others():
    candidates = {"broken": evaluation([float("nan")] * 50), "sound": evaluation(np.random.default_rng(0).random(50))}
    verdict = decide(candidates, None, QUICK)
    assert (verdict.outcome, verdict.chosen) == ("promoted", "sound")


def test_no_candidates_is_one_sentence():
    with pytest.raises(InputError, match="no candidates to judge"):
        decide({}, None, QUICK)


def test_the_verdict_for_people_has_comparisons_and_groups():
    groups = {"sex": ["f"] * 150 + ["m|x"] * 150}
    rng = np.random.default_rng(0)
    people = rng.random(300) / 2
    verdict = decide(
        {"a": evaluation(people + 0.1, groups)}, evaluation(people + rng.normal(0, 0.05, 300), groups), QUICK
    )
    text = verdict_markdown(verdict)
    assert text.startswith("# a: promoted")
    assert "| a | champion |" in text
    assert "| sex m\\|x | 150 |" in text
