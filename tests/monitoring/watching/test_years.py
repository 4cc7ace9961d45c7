"""A home with two summers: day 92 is the first of June, day 457 the next one. The champion is trained until a week before the second."""

from dataclasses import replace
from datetime import timedelta

import polars as pl

from components.recsys.home import Home
from components.recsys.simulator.world import START
from monitoring.watching.memory import KEY, Memory

TRAINED, SUMMER = 450, 457


def test_the_second_summer_is_silent_and_memory_keeps_the_year(second_year):
    watch = second_year.watch()
    for day in (SUMMER + 1, SUMMER + 4, SUMMER + 8, SUMMER + 15):
        facts = second_year.look_on(day + 0.1, watch)
        assert (facts["faults"], facts["detected"]) == ([], []), day
    climate = next(each for each in facts["drift"] if each["feature"] == "organic.climate")
    assert climate["judged"]
    assert climate["distance"] > 0.05
    memory = Memory.read(second_year.home.store)
    first = round((START.timestamp()) // 86_400)
    assert {first + day for day in range(SUMMER - 364, SUMMER + 14 - 364)} <= set(memory.counts.past)
    assert min(memory.counts.days) >= first + TRAINED - 40  # shards of recent weeks alone
    second_year.home.store.delete(KEY)
    again = second_year.look_on(SUMMER + 15.1)
    assert again["rebuilt"]
    assert again["drift"] == facts["drift"]


def test_without_the_year_before_it_is_a_change_of_tastes(second_year, tmp_path):
    young = replace(second_year, home=Home(tmp_path / "home"), today=TRAINED)
    begin, end = (START + timedelta(days=day) for day in (TRAINED - 30, TRAINED))
    known = (pl.col("timestamp") < end) & (pl.col("timestamp") >= begin)
    young.ingest(second_year.organic.filter(known), tmp_path / "base")
    young.train()
    young.live_organically(TRAINED, SUMMER + 15)
    assert "organic.climate" in young.look_on(SUMMER + 8.1)["detected"]
