"""Routes change, vanish and break while requests go on."""

import threading

import httpx
import pytest

from components.recsys.home import Home
from components.recsys.routes import KEY
from components.recsys.settings import GatewaySettings, Settings
from serving.gateway.server import running


def test_routes_change_under_load_without_a_failed_request(world, predictor, gateway, route, until):
    first, second = predictor(), predictor(world.release(l2=50.0))
    failures, releases, stop = [], set(), threading.Event()
    with gateway(first) as gate:

        def ask(number):
            while not stop.is_set():
                try:
                    answer = gate.one(user_id=f"u{number}", k=5)
                    assert len(answer["items"]) == 5
                    releases.add((answer["variant"], answer["release"]))
                except Exception as error:  # noqa: BLE001 - a thread's failure is told below
                    failures.append(error)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        changes = [(first, second, 0.5), (second, None, 0.0), (second, first, 0.25), (first, None, 0.0)] * 2
        for epoch, (champion, candidate, share) in enumerate(changes, start=2):
            route(world, champion, candidate, share, epoch=epoch)
            until(lambda champion=champion: ("champion", champion.release) in releases)
            releases.clear()
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"epoch": 2}', b'{"champion": 1, "candidate": null}'])
def test_routes_that_cannot_be_read_change_nothing(world, predictor, gateway, until, content):
    champion = predictor()
    with gateway(champion) as gate:
        before = gate.metric("everloop_routes_read_timestamp_seconds")
        until(lambda: gate.metric("everloop_routes_read_timestamp_seconds") > before)
        Home(world.home).store.write(KEY, content)
        stands = until(
            lambda: (
                (at := gate.metric("everloop_routes_read_timestamp_seconds"))
                == (gate.one(user_id="u2") and gate.metric("everloop_routes_read_timestamp_seconds"))
                and at
            )
        )
        assert gate.one(user_id="u2")["release"] == champion.release
        assert gate.metric("everloop_routes_read_timestamp_seconds") >= stands


def test_routes_that_vanish_change_nothing(world, predictor, gateway):
    champion = predictor()
    with gateway(champion) as gate:
        Home(world.home).store.delete(KEY)
        threading.Event().wait(0.1)
        assert gate.one(user_id="u2")["release"] == champion.release


def test_a_champion_that_cannot_be_loaded_still_answers_through_its_predictor(world, predictor, gateway, until):
    champion = predictor()
    (world.home / "releases" / champion.release / "card.md").write_text("altered")
    with gateway(champion) as gate:
        assert gate.one(user_id="u2")["release"] == champion.release
        assert gate.http.get("/readyz").status_code == 200
        assert gate.http.get("/v1/models/everloop").json()["release"] == champion.release


def test_before_the_first_release_events_are_taken_and_lists_refused(tmp_path):
    """The Service of a cluster needs no champion to have endpoints; a list needs one, and the sentence says so."""
    settings = Settings(gateway=GatewaySettings(port=0))
    with running(str(tmp_path / "home"), settings) as url, httpx.Client(base_url=url, timeout=20) as client:
        assert client.get("/accepting").json() == {"status": "accepting"}
        assert client.get("/readyz").status_code == 503
        sent = client.post("/v1/events", json={"user_id": "u2", "item_id": "f1", "event": "click"})
        assert sent.json()["accepted"] == 1
        refused = client.post("/v1/models/everloop:predict", json={"instances": [{"user_id": "u2"}]})
        assert (refused.status_code, "no release could be loaded" in refused.json()["error"]) == (503, True)


def test_a_gateway_that_could_not_read_its_home_yet_is_sent_nobody(world, predictor, gateway):
    with gateway(predictor()) as gate:
        assert gate.http.get("/accepting").status_code == 200
    (world.home / "routes.json").write_text("{")
    settings = Settings(gateway=GatewaySettings(port=0))
    with running(str(world.home), settings) as url:
        answer = httpx.get(f"{url}/accepting")
        assert (answer.status_code, "has not been read yet" in answer.json()["error"]) == (503, True)


def test_the_status_says_what_the_gateway_knows(world, predictor, gateway, until):
    from components.recsys.statuses import Statuses

    champion, candidate = predictor(), predictor(world.release(l2=50.0))
    with gateway(champion, candidate, 0.5) as gate:
        gate.predict(*[{"user_id": f"u{n}"} for n in range(30)])
        facts = until(lambda: (said := Statuses(Home(world.home).store).read("gateway").facts).get("lists") and said)
    assert (facts["epoch"], facts["share"], facts["champion"]) == (1, 0.5, champion.release)
    assert sum(facts["lists"].values()) == 30
    assert facts["failed"] == {}
    assert facts["url"] == gate.url
    assert facts["log"]["dropped"] == 0
