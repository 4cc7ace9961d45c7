from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recsys.errors import InputError, NotFound
from components.recsys.frames import Catalogue, Interactions
from components.recsys.models import MODELS
from components.recsys.models.base import Training
from components.recsys.simulator import LABEL, SHIFTS, World, write

CONTRACT = ["user_id", "item_id", "timestamp", "event", "value", "event_id", "request_id"]


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=7, n_users=200, n_items=120)


@pytest.fixture(scope="module")
def history(world: World) -> pl.DataFrame:
    return world.history(40)


def test_the_same_seed_gives_the_same_world_and_another_seed_another(world: World, history: pl.DataFrame) -> None:
    again, other = World(7, 200, 120), World(8, 200, 120)
    assert again.items().equals(world.items())
    assert again.users().equals(world.users())
    assert again.history(40).equals(history)
    assert not other.history(40).equals(history)


def test_history_keeps_the_event_contract(world: World, history: pl.DataFrame) -> None:
    assert history.columns == CONTRACT
    assert history.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert history["event_id"].is_unique().all()
    assert set(history["event"]) == {"view", "booking"}
    assert set(history["user_id"]) <= set(world.users()["user_id"])
    assert set(history["item_id"]) <= set(world.items()["item_id"])
    assert history["request_id"].null_count() == history.height
    prices = history.filter(pl.col("event") == "booking").join(world.items(), on="item_id")
    assert (prices["value"] == prices["price"]).all()


def test_history_without_days_is_an_empty_log(world: World) -> None:
    assert world.history(0).columns == CONTRACT
    assert world.history(0).is_empty()


def test_a_day_of_history_does_not_depend_on_how_much_is_asked_for(world: World, history: pl.DataFrame) -> None:
    assert history.head(50).equals(world.history(5).head(50))


def test_nobody_books_what_they_did_not_look_at(history: pl.DataFrame) -> None:
    views = history.filter(pl.col("event") == "view").select("user_id", "item_id", seen="timestamp")
    bookings = history.filter(pl.col("event") == "booking")
    earlier = bookings.join(views, on=["user_id", "item_id"]).filter(pl.col("seen") < pl.col("timestamp"))
    assert set(earlier["event_id"]) == set(bookings["event_id"])


def test_offers_are_not_met_before_they_are_on_sale(world: World, history: pl.DataFrame) -> None:
    launch = dict(zip(world.offers.ids, world.offers.launch.tolist(), strict=True))
    days = history.select("item_id", day=(pl.col("timestamp") - history["timestamp"].min()).dt.total_days())
    assert max(launch.values()) > 0
    assert all(day >= launch[item] - 1 for item, day in days.rows())


def test_everything_is_labelled_as_synthetic(world: World, history: pl.DataFrame, tmp_path) -> None:
    paths = world.write(tmp_path / "travel", days=3)
    assert LABEL in (tmp_path / "travel" / "README.txt").read_text()
    assert set(paths) == {"events", "items", "users"}
    for column in (history["user_id"], history["item_id"], history["event_id"], world.items()["item_id"]):
        assert column.str.starts_with("syn-").all()


def test_written_files_hold_the_world(tmp_path) -> None:
    paths = write(tmp_path)
    events, items, users = (pl.read_csv(paths[name]) for name in ("events", "items", "users"))
    assert events.columns == ["user_id", "item_id", "timestamp", "event", "value"]
    assert events.height > 10_000
    assert events["timestamp"][0].startswith("2025-03-01T")
    assert {"title", "genres", "kind", "class", "price", "climate", "region"} <= set(items.columns)
    assert items["genres"][0].split("|")[0] in ("flight", "stay", "activity")
    assert {"age_group", "home_region", "budget", "climate", "season"} <= set(users.columns)
    again = write(tmp_path / "again")
    assert all(paths[name].read_bytes() == again[name].read_bytes() for name in paths)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1)])
def test_the_smallest_worlds_live(size: tuple[int, int]) -> None:
    small = World(0, *size)
    small.history(3)
    user = small.users()["user_id"][0]
    assert small.respond(user, small.oracle(user, 5, 60), 60).events is not None


def test_a_world_of_nobody_is_refused() -> None:
    with pytest.raises(InputError, match="at least one user"):
        World(0, 0, 10)


def test_an_unknown_person_is_named() -> None:
    with pytest.raises(NotFound, match="no person 'me'"):
        World(0, 3, 3).respond("me", [], 0)


def test_dead_links_and_repeats_in_a_list_are_passed_over(world: World) -> None:
    user, items = world.users()["user_id"][3], world.oracle("syn-u0003", 10, 40)
    assert world.respond(user, ["gone", *items, *items], 40) == world.respond(user, items, 40)
    assert world.respond(user, [], 40).clicks == ()
    assert world.respond(user, ["gone"], 40).events == ()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 199), st.integers(0, 90), st.lists(st.integers(0, 119), max_size=20, unique=True))
def test_people_click_only_what_they_are_shown_and_answer_the_same_again(user: int, day: int, shown: list[int]) -> None:
    world = SHARED
    items = [str(world.offers.ids[index]) for index in shown]
    name = str(world.people.ids[user])
    answer = world.respond(name, items, day, request_id="r9")
    assert answer == world.respond(name, items, day, request_id="r9")
    assert set(answer.bookings) <= set(answer.clicks) <= set(items)
    assert len(answer.bookings) <= 1
    assert all(event["request_id"] == "r9" and event["user_id"] == name for event in answer.events)
    times = [event["timestamp"] for event in answer.events]
    assert times == sorted(times)


SHARED = World(seed=7, n_users=200, n_items=120)


def _clicks(world: World, lists: dict[str, list[str]], day: int) -> int:
    return sum(
        len(world.respond(user, items, day, session).clicks) for user, items in lists.items() for session in range(5)
    )


def test_full_knowledge_earns_far_more_clicks_than_popularity_and_chance(world: World, history: pl.DataFrame) -> None:
    users = world.users()["user_id"].to_list()
    best = [item for item, _ in Counter(history["item_id"]).most_common(10)]
    rng = np.random.default_rng(0)
    oracle = _clicks(world, {user: world.oracle(user, 10, 41) for user in users}, 41)
    popular = _clicks(world, dict.fromkeys(users, best), 41)
    chance = _clicks(world, {user: list(rng.choice(world.offers.ids, 10)) for user in users}, 41)
    assert oracle > 1.5 * popular > 1.5 * chance


def test_the_top_of_a_list_is_clicked_more_than_its_end(world: World) -> None:
    places: Counter[int] = Counter()
    rng = np.random.default_rng(0)
    for user in world.users()["user_id"]:
        for session in range(10):
            items = [str(item) for item in rng.permutation(world.offers.ids)[:10]]
            places.update(items.index(click) for click in world.respond(user, items, 41, session).clicks)
    assert places[0] > 1.5 * places[4] > places[9]


def test_people_turn_to_economy_flights_after_the_shift_and_not_before() -> None:
    world, shifted = World(3, 150, 120), World(3, 150, 120)
    shifted.shift("economy", day=20, strength=1.0)

    def share(events: pl.DataFrame) -> float:
        kinds = events.join(world.items(), on="item_id")["class"]
        return float((kinds == "economy").mean() or 0)

    before, after = world.history(40), shifted.history(40)
    cut = before["timestamp"].min() + pl.duration(days=20) - pl.duration(hours=6)
    assert before.filter(pl.col("timestamp") < cut).equals(after.filter(pl.col("timestamp") < cut))
    assert share(after.filter(pl.col("timestamp") >= cut)) > 1.5 * share(before.filter(pl.col("timestamp") >= cut))


@pytest.mark.parametrize("kind", sorted(SHIFTS))
def test_every_shift_changes_what_the_best_list_is_and_at_strength_0_nothing(kind: str) -> None:
    world = World(5, 60, 120)
    users = world.users()["user_id"].to_list()
    before = [world.oracle(user, 10, 30) for user in users]
    world.shift(kind, day=30, strength=0.0)
    assert [world.oracle(user, 10, 30) for user in users] == before
    world.shift(kind, day=30, strength=1.0)
    after = [world.oracle(user, 10, 30) for user in users]
    kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(before, after, strict=True)])
    assert kept < 0.9


def test_an_unknown_shift_gets_the_nearest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'economy'"):
        World(0, 3, 3).shift("econmy", 0)


def test_a_personal_model_learns_more_from_the_written_world_than_popularity(tmp_path) -> None:
    events = pl.read_csv(write(tmp_path)["events"], try_parse_dates=True).unique(
        ["user_id", "item_id"], keep="first", maintain_order=True
    )
    events = events.sort("user_id", "timestamp").with_columns(
        place=pl.int_range(pl.len()).over("user_id"), length=pl.len().over("user_id")
    )
    train, test = (
        events.filter(pl.col("place") < 0.8 * pl.col("length")),
        events.filter(pl.col("place") >= 0.8 * pl.col("length")),
    )
    data = Interactions.from_frame(train)
    truth = Interactions.from_frame(test, data.items)
    wanted = dict(zip(truth.users, np.split(truth.histories.indices, truth.histories.indptr[1:-1]), strict=True))
    hits = {}
    for name in ("popularity", "ease"):
        model = MODELS[name](MODELS[name].Config()).fit(Training(data, Catalogue.empty(data.items)))
        scores = model.score(data.histories).astype(float)
        scores[data.histories.matrix().nonzero()] = -np.inf
        top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        hits[name] = np.mean(
            [np.isin(wanted[user], top[row]).mean() for row, user in enumerate(data.users) if user in wanted]
        )
    assert hits["ease"] > 1.4 * hits["popularity"]
