"""Visitors against a server whose answers are known."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.recsys.simulator import World
from pipelines.drill.pager import Pager
from pipelines.drill.scenes.storm import payload, post
from pipelines.drill.visitors import Visitors

K = 5


class Gateway:
    """Answers every list with the first K offers, or as `list_of` says; `status` for all."""

    def __init__(self, world: World) -> None:
        self.ids = [str(item) for item in world.offers.ids]
        self.status, self.length, self.events = 200, K, []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path == "/v1/events":
                    gateway.events += body["events"]
                    answer = {"event_ids": [event["event_id"] for event in body["events"]]}
                else:
                    items = [{"id": item} for item in gateway.ids[: gateway.length]]
                    answer = {
                        "predictions": [{"request_id": "r", "release": "d", "variant": "champion", "items": items}]
                    }
                if gateway.status != 200:
                    answer = {"error": "no"}
                data = json.dumps(answer).encode()
                self.send_response(gateway.status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)


@pytest.fixture(scope="module")
def world():
    return World(seed=3, n_users=80, n_items=40)


@pytest.fixture
def gateway(world):
    made = Gateway(world)
    made.thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


@pytest.fixture
def visitors(world, gateway):
    made = Visitors(world, gateway.url, K)
    yield made
    made.close()


def test_the_same_people_visit_on_a_day_whoever_asks(world, visitors):
    other = Visitors(world, "http://127.0.0.1:9", K)
    assert visitors.active(61) == other.active(61)
    assert set(visitors.active(61)) != set(visitors.active(62))
    other.close()


def test_what_people_do_is_sent_once_and_remembered_as_their_history(gateway, visitors):
    day = visitors.day(61)
    ids = [event["event_id"] for event in gateway.events]
    assert day.lists == len(visitors.active(61)) > 5
    assert len(ids) == len(set(ids)) == len(visitors.accepted) > day.organic > 0
    assert sum(len(history) for history in visitors.histories.values()) == len(ids)
    assert not visitors.failures


@pytest.mark.parametrize(("status", "length"), [(500, K), (503, K), (200, K - 1), (200, 0)])
def test_an_error_and_a_short_list_are_failures(gateway, visitors, status, length):
    gateway.status, gateway.length = status, length
    assert visitors.visit(visitors.active(61)[0], 61).failed
    assert len(visitors.failures) == 1


def test_nobody_there_is_a_failure_and_no_exception(world):
    alone = Visitors(world, "http://127.0.0.1:9", K)
    assert alone.visit(alone.active(61)[0], 61).failed.startswith("0:")
    alone.close()


def test_the_pager_remembers_what_fired():
    with Pager() as pager:
        assert post(pager.url, payload(1), "") == 200
        assert pager.has("QualityDropped")
        assert not pager.has("DriftDetected")
