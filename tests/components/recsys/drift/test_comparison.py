import numpy as np
import polars as pl
import pytest
from scipy.stats import kstest

from components.recsys.drift import Counter, compare, make_plan, windows
from components.recsys.settings import DriftSettings
from components.recsys.simulator.world import START

FIRST = int(START.timestamp()) // 86_400


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_quiet_world_does_not_drift(seed, counted):
    for day in (64, 74, 90):
        assert not counted(seed).detected(day)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_turn_to_economy_flights_is_seen_within_a_window(strength, counted):
    world = counted(1, "economy", strength)
    assert not world.detected(74)
    first = next(day for day in range(75, 90) if world.detected(day))
    assert first <= 74 + 7
    assert "organic.class" in world.detected(81)


def test_verdicts_alone_are_the_same_verdicts(counted):
    world = counted(1, "economy")
    for day in (67, 75, 76, 88):
        chosen = {"organic": windows(FIRST + day, FIRST + 60, FIRST, 7, 4)}
        quick = compare(world.counter.counts, world.plan, chosen, world.settings, verdicts_only=True)
        assert {finding.feature for finding in quick if finding.detected} == world.detected(day)


def test_with_one_week_of_baseline_the_limit_is_as_if_weeks_lay_as_far_apart_as_counts_at_least(counted):
    world = counted(1)
    one, two = (
        compare(
            world.counter.counts,
            world.plan,
            {"organic": windows(FIRST + 81, FIRST + 60, FIRST + first, 7, 4)},
            world.settings,
        )
        for first in (53, 46)
    )
    limits = [next(each.limit for each in findings if each.feature == "organic.class") for findings in (one, two)]
    assert limits[0] == pytest.approx(world.settings.baseline_factor * world.settings.min_effect)
    assert limits[1] < limits[0]


def test_what_moved_is_said_in_words(counted):
    finding = next(each for each in counted(1, "economy").on(81) if each.feature == "organic.class")
    assert finding.moved[0].startswith("economy ")
    before, after = (float(part.split(" %")[0].split()[-1]) for part in finding.moved[0].split("->"))
    assert after > before + 20


def test_drift_in_every_feature_of_one_shift_but_not_in_the_others(counted):
    detected = counted(1, "economy").detected(81)
    assert {"organic.class", "organic.kind"} <= detected
    assert "organic.region" not in detected


def test_training_on_the_new_ways_ends_the_alarm(counted):
    world = counted(1, "economy")
    assert world.detected(78)
    for until in (77, 78, 81):  # three days of the new world, four, a week
        for day in range(until + 1, min(until + 9, 91)):
            assert not world.detected(day, trained_until=until), (until, day)


def test_a_champion_that_never_saw_the_new_ways_keeps_the_alarm(counted):
    assert all("organic.class" in counted(1, "economy").detected(day) for day in range(78, 91))


def test_with_few_events_nothing_is_said_and_the_reason_is(counted):
    findings = compare(
        counted(1, "economy").counter.counts,
        counted(1).plan,
        {"organic": windows(FIRST + 81, FIRST + 60, FIRST, 7, 4)},
        DriftSettings(min_events=10_000),
    )
    assert not any(finding.detected for finding in findings)
    assert "10000 needed" in findings[0].untested


def test_a_window_without_data_has_no_distance_rather_than_none_at_all(counted):
    """0 would read as: nothing has changed."""
    years_later = {"organic": windows(FIRST + 2081, FIRST + 2060, FIRST + 2000, 7, 4)}
    findings = compare(counted(1).counter.counts, counted(1).plan, years_later, DriftSettings())
    assert {(finding.events, finding.distance) for finding in findings} == {(0, None)}
    assert "0 rows in the last window" in findings[0].untested


def test_the_first_days_of_a_baseline_are_not_called_steady(counted):
    findings = counted(1).on(60)
    assert all(finding.untested for finding in findings)
    assert "not over yet" in findings[0].untested


def test_sparse_histograms_do_not_drift_by_chance():
    """Two thousand items, two events each: most bins differ, but not by more than chance."""
    rng = np.random.default_rng(7)
    settings = DriftSettings(max_bins=2000, permutations=1000, min_events=100)
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(500)], "shop": [f"s{n % 250}" for n in range(500)]})
    rows = 7 * 5 * 100
    events = pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in rng.integers(0, 400, rows)],
            "item_id": [f"i{n}" for n in rng.integers(0, 500, rows)],
            "timestamp": pl.from_epoch(
                pl.Series((FIRST + np.arange(rows) // 100) * 86_400 + 60), "s"
            ).dt.replace_time_zone("UTC"),
            "event": ["view"] * rows,
        }
    )
    plan = make_plan(items, events, settings)
    counter = Counter(plan)
    counter.add_events(events)
    found = compare(counter.counts, plan, {"organic": windows(FIRST + 35, FIRST + 28, FIRST, 7, 4)}, settings)
    shop = next(finding for finding in found if finding.feature == "organic.shop")
    assert shop.distance > 0.25  # far above the least effect
    assert shop.p is not None
    assert shop.p > 0.01
    assert not shop.detected


def test_p_values_are_uniform_when_nothing_changes():
    """Users differ, and their events within a week hang together: what a test of single events would call drift."""
    from components.recsys.drift.distances import jensen_shannon
    from components.recsys.drift.null import measure_of, swap_test

    rng, values = np.random.default_rng(11), []
    measure = measure_of([(slice(0, 8), jensen_shannon)])
    for _ in range(300):
        taste = rng.dirichlet(np.ones(8), 64)
        weeks = [
            np.stack([rng.multinomial(rng.integers(5, 60), rng.dirichlet(30 * one + 0.1)) for one in taste])
            for _ in range(2)
        ]
        p, corrected, _ = swap_test(*weeks, np.zeros_like(weeks[0]), measure, 199, int(rng.integers(1 << 30)))
        values.append(p[0])
        assert corrected[0] >= p[0]
    assert kstest(values, "uniform").pvalue > 0.01
    assert np.mean(np.array(values) <= 0.05) < 0.09


def test_correction_keeps_the_family_error():
    """Twenty features of pure noise: the smallest corrected p-value is under 5 % about as often as said."""
    from components.recsys.drift.distances import jensen_shannon
    from components.recsys.drift.null import measure_of, swap_test

    rng = np.random.default_rng(12)
    measure = measure_of([(slice(4 * index, 4 * index + 4), jensen_shannon) for index in range(20)])
    smallest = []
    for _ in range(120):
        weeks = [rng.poisson(3.0, (64, 80)) for _ in range(2)]
        _, corrected, _ = swap_test(*weeks, np.zeros_like(weeks[0]), measure, 199, int(rng.integers(1 << 30)))
        smallest.append(corrected.min())
    assert np.mean(np.array(smallest) <= 0.05) <= 0.1


def test_days_that_both_windows_share_do_not_count_as_evidence():
    from components.recsys.drift.distances import jensen_shannon
    from components.recsys.drift.null import measure_of, swap_test

    week = np.random.default_rng(1).poisson(5.0, (64, 6))
    p, corrected, expected = swap_test(week, week, week, measure_of([(slice(0, 6), jensen_shannon)]), 199, 1)
    assert p[0] == corrected[0] == 1.0
    assert expected[0] == 0.0
