import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from components.recsys.errors import InputError
from components.recsys.settings import ServingSettings
from serving.feedback import read_feedback

EVENTS = "/v1/events"


def send(client, **event):
    answer = client.http.post(EVENTS, json=event)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_event_changes_the_next_answer(client):
    assert client.one(user_id="newcomer")["fallback"] == "unknown_user"
    assert send(client, user_id="newcomer", item_id="f1", event="click")["accepted"] == 1
    answer = client.one(user_id="newcomer", k=3)
    assert "fallback" not in answer
    assert {item["reason"] for item in answer["items"]} == {"because of Film 1"}
    assert "f1" not in client.ids(user_id="newcomer", k=24)


def test_an_event_with_a_known_id_is_taken_once(client):
    event = {"user_id": "twice", "item_id": "f1", "event_id": "e-1", "value": 4, "request_id": "r"}
    assert send(client, **event) == {"accepted": 1, "duplicates": 0, "event_ids": ["e-1"]}
    assert send(client, **event) == {"accepted": 0, "duplicates": 1, "event_ids": ["e-1"]}
    assert client.metric('everloop_events_total{outcome="duplicate"}') >= 1


def test_the_same_event_without_an_id_gets_the_same_one(client):
    event = {"user_id": "again", "item_id": "f1", "timestamp": "2024-05-01T10:00:00Z"}
    first, second = send(client, **event), send(client, **event)
    assert (first["accepted"], second["accepted"]) == (1, 0)
    assert first["event_ids"] == second["event_ids"]


def test_many_events_at_once(client):
    events = [{"user_id": "many", "item_id": f"f{film}"} for film in (0, 2, 4)]
    assert send(client, events=events)["accepted"] == 3
    assert set(client.ids(user_id="many", k=24)).isdisjoint({"f0", "f2", "f4"})


def test_an_event_on_an_unknown_item_is_kept_for_the_release_that_knows_it(client):
    assert send(client, user_id="early", item_id="not yet in the catalogue")["accepted"] == 1
    assert client.one(user_id="early")["fallback"] == "unknown_items"


def test_kinds_of_event_without_weight_do_not_count(client):
    send(client, user_id="glance", item_id="f1", event="ignored")
    assert client.one(user_id="glance")["fallback"] == "unknown_items"


def test_events_outlive_the_server(world, serve):
    with serve(world.home) as first:
        send(first, user_id="returning", item_id="f1")
        listed = first.ids(user_id="returning")
    with serve(world.home) as second:
        assert second.ids(user_id="returning") == listed


def test_events_of_many_clients_at_once_are_all_kept(world, serve):
    with serve(world.home) as client:
        failures = []

        def click(number):
            for film in range(10):
                try:
                    send(client, user_id=f"crowd {number}", item_id=f"f{film}", event_id=f"{number}/{film}")
                except Exception as error:  # noqa: BLE001 - told below, since a thread's own failure is not seen
                    failures.append(error)

        threads = [threading.Thread(target=click, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        for number in range(8):
            assert set(client.ids(user_id=f"crowd {number}", k=24)) == {f"f{film}" for film in range(10, 24)}


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ([], "the body must be a JSON object"),
        ({}, "event lacks user_id"),
        ({"user_id": "1"}, "event lacks item_id"),
        ({"user_id": " ", "item_id": "1"}, "event.user_id is blank"),
        ({"user_id": "1", "item_id": 1.5}, "event.item_id must be text or a whole number, not 1.5"),
        ({"user_id": "1", "item_id": "x" * 5000}, "event.item_id has 5000 characters"),
        ({"user_id": "1", "item_id": "1", "user": 1}, "unknown field 'user'; did you mean 'user_id'?"),
        ({"user_id": "1", "item_id": "1", "timestamp": "yesterday"}, "must be ISO 8601 or a number of seconds"),
        ({"user_id": "1", "item_id": "1", "timestamp": True}, "must be ISO 8601 or a number of seconds"),
        ({"user_id": "1", "item_id": "1", "timestamp": 0}, "must lie between 1990 and now"),
        ({"user_id": "1", "item_id": "1", "timestamp": "2999-01-01"}, "must lie between 1990 and now"),
        ({"user_id": "1", "item_id": "1", "timestamp": 1e300}, "must lie between 1990 and now"),
        ({"user_id": "1", "item_id": "1", "value": "five"}, "event.value must be a number"),
        ({"events": []}, '"events" must be a list with at least one object'),
        ({"events": [{"user_id": "1"}]}, "events[0] lacks item_id"),
        ({"events": [[]]}, "events[0] must be an object"),
        ({"events": [{}] * 257}, "at most 256 are taken at once"),
    ],
)
def test_a_broken_event_is_refused_with_a_sentence(client, event, sentence):
    assert sentence in client.refusal(400, event, EVENTS)


@pytest.mark.parametrize(
    "given",
    [
        1_700_000_000,
        1_700_000_000.0,
        1_700_000_000_000,
        1_700_000_000_000_000,
        "2023-11-14T22:13:20Z",
        "2023-11-14 22:13:20",
    ],
)
def test_times_are_understood_in_every_usual_unit(given):
    [event] = read_feedback({"user_id": "1", "item_id": "2", "timestamp": given}, ServingSettings(), time.time())
    assert event.timestamp == 1_700_000_000_000_000


def test_a_fast_clock_is_forgiven_for_a_day():
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def read(ahead):
        event = {"user_id": "1", "item_id": "2", "timestamp": (now + ahead).isoformat()}
        return read_feedback(event, ServingSettings(), now.timestamp())

    assert read(timedelta(hours=23))
    with pytest.raises(InputError, match="between 1990 and now"):
        read(timedelta(hours=25))
