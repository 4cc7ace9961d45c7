import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recsys.frames import Histories
from components.recsys.home import Home
from components.recsys.ranking import rank, top_k
from components.recsys.release import load, releases_of
from serving.predictor import best

DRAMAS = {f"f{film}" for film in range(0, 24, 2)}


def test_an_answer_carries_what_the_contract_names(client, small_world):
    answer = client.one(user_id="u2", k=2)
    assert set(answer) == {"request_id", "release", "variant", "items"}
    assert answer["release"] == small_world.digest
    assert answer["variant"] == "champion"
    assert len(answer["items"]) == 2
    for item in answer["items"]:
        assert set(item) == {"id", "score", "propensity", "reason"}
        assert item["propensity"] == 1.0
        assert item["reason"].startswith("because of Film ")


def test_every_list_has_its_own_request_id(client):
    answers = client.predict(*[{"user_id": "u2"}] * 5) + client.predict({"user_id": "u2"})
    assert len({answer["request_id"] for answer in answers}) == 6


def test_served_lists_equal_lists_made_offline(client, small_world, taken):
    release = load(releases_of(Home(small_world.home)), small_world.digest)
    for user in range(6):
        history = [f"f{film}" for film in range(24) if taken(user, film)]
        ranked, scores = rank(release.model, Histories.of([history], release.model.items), 5)
        answer = client.one(user_id=f"u{user}", k=5)
        assert [item["id"] for item in answer["items"]] == list(release.model.items[ranked[0]])
        np.testing.assert_allclose([item["score"] for item in answer["items"]], scores[0], rtol=1e-5)


def test_people_get_their_own_taste_and_nothing_they_had(client):
    assert set(client.ids(user_id="u2", k=2)) == {"f4", "f14"}  # the dramas that u2 has not taken


def test_ten_items_by_default_and_a_whole_number_is_an_id_too(client):
    assert len(client.ids(user_id=7)) == 10


def test_a_given_history_counts_instead_of_the_stored_one(client):
    assert set(client.ids(user_id="u2", history=["f1", "f3", "f5"], k=4)).isdisjoint(DRAMAS)
    assert client.one(history=["f0", "f2"], k=4)["items"][0]["id"] in DRAMAS


def test_unknown_items_in_a_history_are_left_out(client):
    assert client.ids(history=["f0", "no such film", "f2"], k=4) == client.ids(history=["f0", "f2"], k=4)


@pytest.mark.parametrize(
    ("instance", "reason"),
    [
        ({"user_id": "nobody"}, "unknown_user"),
        ({}, "no_history"),
        ({"history": []}, "no_history"),
        ({"user_id": "u2", "history": []}, "no_history"),
        ({"history": ["no such film"]}, "unknown_items"),
    ],
)
def test_without_a_usable_history_what_is_popular_is_listed_and_counted(client, instance, reason):
    before = client.metric(f'everloop_fallback_total{{reason="{reason}"}}')
    answer = client.one(**instance, k=7)
    assert answer["fallback"] == reason
    assert len(answer["items"]) == 7
    assert {item["reason"] for item in answer["items"]} == {"popular now"}
    assert client.metric(f'everloop_fallback_total{{reason="{reason}"}}') == before + 1


def test_a_newcomer_who_likes_a_genre_gets_it_first(client):
    answer = client.one(user_id="nobody", k=20, context={"genres": ["comedy"]})
    reasons = [item["reason"] for item in answer["items"]]
    assert reasons == ["popular in Comedy"] * 12 + ["popular now"] * 8
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


def test_a_genre_that_nobody_knows_is_as_good_as_none(client):
    assert client.ids(context={"genres": ["Opera"]}) == client.ids()


def test_seen_items_come_back_when_asked_for(client):
    everything = client.ids(history=["f0", "f2"], k=24, filters={"seen": False})
    assert len(everything) == 24
    assert {"f0", "f2"} <= set(everything)
    assert client.ids(history=["f0", "f2"], k=24, filters={"seen": True}) == [
        i for i in everything if i not in ("f0", "f2")
    ]


def test_excluded_items_never_appear(client):
    first = client.ids(user_id="u2", k=3)
    assert set(client.ids(user_id="u2", k=3, filters={"exclude": [*first, "no such film"]})).isdisjoint(first)


@pytest.mark.parametrize(
    ("where", "allowed"),
    [
        ({"genres": "Family"}, lambda film: film % 2 == 1),
        ({"genres": ["Drama", "Comedy"]}, lambda film: True),
        ({"year": 1991}, lambda film: film % 3 == 1),
        ({"year": "1991"}, lambda film: film % 3 == 1),
        ({"year": [1990.0, 1992]}, lambda film: film % 3 != 1),
        ({"price": 4.5}, lambda film: film == 4),
        ({"title": "Film 9"}, lambda film: film == 9),
        ({"item_id": ["f3", "f4"]}, lambda film: film in (3, 4)),
        ({"genres": "Drama", "year": 1990}, lambda film: film % 6 == 0),
        ({"genres": "Opera"}, lambda film: False),
    ],
)
def test_where_keeps_items_with_the_attribute(client, where, allowed):
    expected = {f"f{film}" for film in range(24) if allowed(film)}
    for instance in ({"history": ["no such film"]}, {"history": ["f0"], "filters": {"seen": False}}):
        listed = client.ids(**{**instance, "k": 24, "filters": {**instance.get("filters", {}), "where": where}})
        assert set(listed) == expected


def test_when_filters_leave_nothing_the_list_is_empty_and_says_so(client):
    before = client.metric("everloop_short_lists_total")
    answer = client.one(user_id="u2", k=5, filters={"where": {"genres": "Opera"}})
    assert answer["items"] == []
    assert answer["note"] == "0 of 5: the filters leave no more"
    assert client.metric("everloop_short_lists_total") == before + 1


def test_a_list_longer_than_the_catalogue_is_the_catalogue(client):
    answer = client.one(history=["f0"], k=1000, filters={"seen": False})
    assert len(answer["items"]) == 24
    assert answer["note"] == "24 of 1000: the catalogue has no more"


FILM_IDS = st.lists(st.integers(-2, 25).map(lambda film: f"f{film}"), max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    history=FILM_IDS,
    exclude=FILM_IDS,
    k=st.integers(1, 40),
    seen=st.booleans(),
    genre=st.sampled_from(["", "Drama", "Family"]),
)
def test_a_list_is_always_as_full_as_the_filters_allow(client, history, exclude, k, seen, genre):
    filters = {"exclude": exclude, "seen": seen, **({"where": {"genres": genre}} if genre else {})}
    answer = client.one(history=history, k=k, filters=filters)
    listed = [item["id"] for item in answer["items"]]
    allowed = {f"f{film}" for film in range(24) if not genre or (film % 2 == 0) == (genre == "Drama")}
    allowed -= set(exclude) | (set(history) if seen else set())
    assert len(set(listed)) == len(listed) == min(k, len(allowed))
    assert set(listed) <= allowed
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert ("note" in answer) == (len(listed) < k)
    assert ("fallback" in answer) == (not set(history) & {f"f{film}" for film in range(24)})


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0]), min_size=1, max_size=30), k=st.integers(1, 35))
def test_the_quick_way_to_the_best_agrees_with_ranking(values, k):
    scores = np.array(values, np.float32)
    listed, _ = top_k(scores[None], k)
    assert best(scores, k).tolist() == [index for index in listed[0] if index >= 0]
