"""A predictor fails in every way there is, and nobody sees a failed request."""

import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from components.recsys.routes import Target

SHARE = 0.5


@contextmanager
def silent():
    """An address that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def answering(change):
    """A reply with as many lists as were asked for, spoilt by `change(list, wanted)`."""

    def reply(release):
        def made(body):
            lists = []
            for instance in body["instances"]:
                items = [{"id": f"f{n}", "score": 1.0, "propensity": 1.0, "reason": ""} for n in range(instance["k"])]
                lists.append({"request_id": "x", "release": release, "variant": "champion", "items": items})
                change(lists[-1])
            return 200, json.dumps({"predictions": lists}).encode()

        return made

    return reply


def saying(status, body):
    return lambda release: lambda request: (status, body)


@pytest.mark.parametrize(
    ("reason", "reply"),
    [
        ("status", saying(500, b"{}")),
        ("invalid", saying(200, b"<html>")),
        ("invalid", answering(lambda answer: answer["items"].pop())),
        ("invalid", answering(lambda answer: answer.update(items=[], note="0 of 10: the filters leave no more"))),
    ],
)
def test_a_candidate_that_answers_badly_is_answered_for(world, predictor, impostor, gateway, logged, reason, reply):
    champion, digest = predictor(), "c" * 64
    with gateway(champion, impostor(digest, reply(digest)), SHARE) as gate:
        [user] = gate.users_in("candidate", SHARE, 1)
        answer = gate.one(user_id=user, k=10)
        assert (answer["variant"], answer["release"], len(answer["items"])) == ("candidate", champion.release, 10)
        assert gate.metric(f'everloop_gateway_variant_failed_total{{reason="{reason}",variant="candidate"}}') == 1
    [record] = logged(1)
    assert (record.failed, record.variant, record.release) == (reason, "candidate", champion.release)


def test_a_candidate_that_is_gone_is_answered_for(predictor, gateway, logged):
    with gateway(predictor(), Target("c" * 64, (nobody_there(),)), SHARE) as gate:
        [user] = gate.users_in("candidate", SHARE, 1)
        assert len(gate.one(user_id=user)["items"]) == 10
    assert [record.failed for record in logged(1)] == ["unreachable"]


def test_a_candidate_that_hangs_costs_a_few_requests_their_timeout_and_then_none(predictor, gateway, logged):
    with silent() as url, gateway(predictor(), Target("c" * 64, (url,)), SHARE, timeout_seconds=0.2) as gate:
        [user] = gate.users_in("candidate", SHARE, 1)
        took = []
        for _ in range(10):
            started = time.monotonic()
            assert len(gate.one(user_id=user)["items"]) == 10
            took.append(time.monotonic() - started)
        assert all(0.15 < seconds < 1 for seconds in took[:3])
        assert sum(took[3:]) < 0.2
    records = logged(10)
    assert {record.failed for record in records} == {"timeout"}
    assert min(record.latency_ms for record in records[:3]) >= 190


def test_an_address_that_comes_back_is_found_again(world, predictor, impostor, gateway, until):
    good, broken = predictor(), threading.Event()
    broken.set()

    def reply(body):
        answers = [
            {"release": "c" * 64, "items": [], "note": "0 of 3: the filters leave no more"} for _ in body["instances"]
        ]
        return (500, b"") if broken.is_set() else (200, json.dumps({"predictions": answers}).encode())

    with gateway(good, impostor("c" * 64, reply), SHARE) as gate:
        [user] = gate.users_in("candidate", SHARE, 1)
        ask = {"user_id": user, "k": 3, "filters": {"where": {"genres": "Opera"}}}  # for which there is nothing to show
        assert {gate.one(**ask)["release"] for _ in range(4)} == {good.release}
        broken.clear()
        assert until(lambda: gate.one(**ask)["release"] == "c" * 64, seconds=5)


def test_of_several_addresses_one_that_works_is_enough(world, predictor, gateway, logged):
    champion = predictor()
    with gateway(Target(champion.release, (nobody_there(), champion.urls[0], nobody_there()))) as gate:
        for _ in range(12):
            assert gate.one(user_id="u2")["release"] == champion.release
    assert {record.failed for record in logged(12)} == {""}


def test_with_the_champion_gone_the_candidate_answers_if_people_get_lists_from_it(world, predictor, gateway, logged):
    candidate = predictor(world.release(l2=50.0))
    with gateway(nobody_there(), candidate, SHARE) as gate:
        [user] = gate.users_in("champion", SHARE, 1)
        answer = gate.one(user_id=user)
        assert (answer["variant"], answer["release"]) == ("champion", candidate.release)
    with gateway(nobody_there(), candidate, 0.0, mirror=True) as gate:  # nobody has let it answer people
        assert gate.one(user_id=user)["fallback"] == "no_predictor"
    assert {record.failed for record in logged(2)} == {"unreachable"}


def test_with_everybody_gone_lists_are_full_and_honour_what_was_asked(world, gateway, logged):
    with gateway(nobody_there(), Target("c" * 64, (nobody_there(),)), SHARE, explore=1.0) as gate:
        answers = gate.predict(*[{"user_id": f"u{n}", "k": 10} for n in range(20)])
        assert {answer["fallback"] for answer in answers} == {"no_predictor"}
        assert {len(answer["items"]) for answer in answers} == {10}
        assert {item["propensity"] for answer in answers for item in answer["items"]} == {1.0}
        seen = {item["id"] for item in gate.http.get("/v1/history?user=u2").json()["items"]}
        assert seen.isdisjoint(item["id"] for item in gate.one(user_id="u2", k=24)["items"])
        drama = gate.one(filters={"where": {"genres": "Drama"}, "exclude": ["f0"]}, k=24)
        assert {item["id"] for item in drama["items"]} == {f"f{n}" for n in range(2, 24, 2)}
        assert drama["note"] == "11 of 24: the filters leave no more"
        assert gate.http.get("/readyz").status_code == 200
    assert {record.release for record in logged(22)} == {world.digest}


def test_a_filter_on_an_unknown_attribute_is_the_clients_mistake(predictor, gateway, logged):
    ask = {"user_id": "u2", "filters": {"where": {"genre": "Drama"}}}
    champion = predictor()
    with gateway(champion) as gate:
        for _ in range(5):
            answer = gate.http.post("/v1/models/everloop:predict", json={"instances": [{"user_id": "u3"}, ask]})
            assert answer.status_code == 400
            assert "items have no attribute 'genre'; did you mean 'genres'?" in answer.json()["error"]
        assert gate.one(user_id="u2")["release"] == champion.release  # no client talks a predictor down
        assert gate.metric('everloop_gateway_variant_failed_total{reason="status",variant="champion"}') == 0
    assert len(logged(1)) == 1


def test_before_anything_is_known_it_says_so_and_is_not_ready(tmp_path, world, gateway):
    for entry in (world.home / "ledger").iterdir():
        entry.unlink()
    with gateway() as gate:
        assert gate.http.get("/readyz").status_code == 503
        answer = gate.http.post("/v1/models/everloop:predict", json={"instances": [{}]})
        assert answer.status_code == 503
        assert "no release could be loaded" in answer.json()["error"]


def test_predictors_die_and_return_under_load_without_a_failed_request(world, serve, predictor, gateway, route, until):
    champion, candidate = predictor(), Target(world.release(l2=50.0), (nobody_there(),))
    failures, lists, stop = [], [], threading.Event()
    with gateway(champion, candidate, SHARE, timeout_seconds=0.5) as gate:

        def ask(number):
            while not stop.is_set():
                try:
                    lists.append(gate.one(user_id=f"u{number}", k=5))
                    assert len(lists[-1]["items"]) == 5
                except Exception as error:  # noqa: BLE001 - a thread's failure is told below
                    failures.append(error)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for epoch in range(2, 8):
            folder = world.home / "releases" / candidate.release
            with serve("", folder, history="memory://") as alive:
                route(world, champion, Target(candidate.release, (alive.url,)), (epoch % 2) / 2 + 0.25, epoch=epoch)
                until(lambda epoch=epoch: gate.metric("everloop_routes_read_timestamp_seconds") > 0)
                time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert {answer["release"] for answer in lists} == {champion.release, candidate.release}
