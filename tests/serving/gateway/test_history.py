"""The gateway owns the history: what people do counts in the next list, whoever heard of it."""

import shutil

import pytest

from components.recsys.home import Home
from components.recsys.predictions import EVENTS, segments


def test_feedback_changes_the_next_list(predictor, gateway):
    with gateway(predictor()) as gate:
        assert gate.one(user_id="newcomer")["fallback"] == "unknown_user"
        gate.send(user_id="newcomer", item_id="f1", event="click")
        answer = gate.one(user_id="newcomer", k=24)
        assert "fallback" not in answer
        assert "f1" not in {item["id"] for item in answer["items"]}
        gate.send(user_id="newcomer", item_id="f3", event="click")
        assert "f3" not in {item["id"] for item in gate.one(user_id="newcomer", k=24)["items"]}


def test_kinds_of_event_count_as_the_release_weighs_them(predictor, gateway):
    with gateway(predictor()) as gate:
        gate.send(user_id="glance", item_id="f1", event="ignored")
        assert gate.one(user_id="glance")["fallback"] == "unknown_items"
        gate.send(user_id="glance", item_id="f3", event="click")
        assert "fallback" not in gate.one(user_id="glance")


def test_two_gateways_on_one_home_know_the_same(predictor, gateway, until):
    champion = predictor()
    with gateway(champion) as first, gateway(champion) as second:
        assert [gate.one(user_id="both")["fallback"] for gate in (first, second)] == ["unknown_user"] * 2
        for n, gate in enumerate((first, second, first)):
            gate.send(user_id="both", item_id=f"f{n}")
            own = gate.one(user_id="both", k=24)["items"]  # at once where the event came in
            assert f"f{n}" not in {item["id"] for item in own}
            for other in (first, second):
                until(lambda other=other, own=own: other.one(user_id="both", k=24)["items"] == own, seconds=1)


def test_a_history_that_cannot_be_read_costs_the_history_and_not_the_list(world, predictor, gateway):
    import sqlite3

    with gateway(predictor()) as gate:
        database = sqlite3.connect(world.home / "online" / "history.sqlite")
        database.execute("ALTER TABLE histories RENAME TO gone")
        answer = gate.one(user_id="u2")
        assert (answer["fallback"], len(answer["items"])) == ("history_unavailable", 10)
        assert gate.metric('everloop_history_errors_total{operation="read"}') == 1
        refused = gate.http.post("/v1/events", json={"user_id": "u2", "item_id": "f1"})
        assert refused.status_code == 503
        database.execute("ALTER TABLE gone RENAME TO histories")
        database.close()
        assert "fallback" not in gate.one(user_id="u2")


def test_a_new_champion_brings_its_data_with_it(world, predictor, gateway, route, until):
    champion = predictor()
    shutil.rmtree(world.home / "online", ignore_errors=True)
    with gateway() as gate:  # before the routes name one the ledger's champion gives the histories and the last resort
        assert gate.one(user_id="u2")["fallback"] == "no_predictor"
        route(world, champion, epoch=2)
        answer = until(lambda: (one := gate.one(user_id="u2")) and "fallback" not in one and one)
        assert answer["release"] == champion.release


def test_events_go_on_to_the_homes_log(world, predictor, gateway, until):
    with gateway(predictor()) as gate:
        request = gate.one(user_id="u2")["request_id"]
        gate.send(user_id="u2", item_id="f1", event="click", request_id=request)
    [(_, [line])] = list(segments(Home(world.home).store, EVENTS, set()))
    assert request.encode() in line


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        ("f1", "instances[0].history must be a list of item ids"),
        ([{"event": "click"}], "instances[0].history[0] lacks item_id"),
        (["f1", {"item_id": "f1", "kind": "click"}], "instances[0].history[1] has an unknown field 'kind'"),
        ([{"item_id": 1.5}], "instances[0].history[0].item_id must be text or a whole number"),
        ([{"item_id": "f1", "event": 1.5}], "instances[0].history[0].event must be text"),
        ([None], "instances[0].history[0] must be text or a whole number, not null"),
    ],
)
def test_a_broken_history_is_refused_with_a_sentence(client, history, sentence):
    body = {"instances": [{"history": history}]}
    assert sentence in client.refusal(400, body)


def test_a_history_may_say_the_kind_of_event(client):
    """Of the predictor itself: 'ignored' has no weight in this world's releases."""
    assert client.one(history=[{"item_id": "f1", "event": "ignored"}])["fallback"] == "unknown_items"
    assert client.ids(history=[{"item_id": "f1", "event": "click"}, {"item_id": "f3"}]) == client.ids(
        history=["f1", "f3"]
    )
