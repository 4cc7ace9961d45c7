"""What is sent to predictors, and what is believed of what they say."""

import asyncio
import json
import socket
import threading
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.routes import Routes, Target
from components.recsys.settings import ServingSettings
from serving.asks import Ask, read_asks
from serving.gateway.breaker import FIRST_WAIT, LIMIT, LONGEST_WAIT, Breaker
from serving.gateway.exchange import Failed, Pool
from serving.gateway.forwarding import Denied, Forwarder, Wish, read_answers
from serving.gateway.people import NO_HISTORY, NOBODY, Person, told

RELEASE = "a" * 64
TARGET = Target(RELEASE, ("http://127.0.0.1:1",))


def wish(k=2, history=NO_HISTORY, ask=None, wide=None):
    return Wish("r", ask or Ask(k=k), Person("", history, 0, ""), "champion", wide or k)


def item(n, **other):
    return {"id": f"f{n}", "score": 1.0 - n / 10, "propensity": 1.0, "reason": "popular now", **other}


def prediction(items, **other):
    return {"request_id": "x", "release": RELEASE, "variant": "champion", "items": items, **other}


def said(*predictions):
    return orjson.dumps({"predictions": list(predictions)})


def test_answers_that_keep_the_contract_are_taken():
    full, short = prediction([item(0), item(1)]), prediction([item(0)], note="1 of 2: the filters leave no more")
    assert read_answers(200, said(full, short), TARGET, [wish(), wish()]) == [full, short]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"predictions": 1}',
        b'{"predictions": []}',
        b'{"predictions": [[]]}',
        b'{"predictions": [null]}',
        said({}),
        said(prediction(None)),
        said(prediction({})),
        said(prediction([item(0)])),
        said(prediction([item(0), item(0)])),
        said(prediction([item(0), item(1), item(2)])),
        said(prediction([item(0), item(1)], release="b" * 64)),
        said(prediction([item(0), item(1)], fallback=7)),
        said(prediction([item(0), 1])),
        said(prediction([item(0), item(1, id=1)])),
        said(prediction([item(0), item(1, id=[])])),
        said(prediction([item(0), item(1, score="high")])),
        said(prediction([item(0), item(1, score=None)])),
        said(prediction([item(0), item(1, reason=None)])),
        said(prediction([item(0), {"id": "f1"}])),
        said(prediction([item(0)], note=7)),
        b'{"predictions": [{"release": "' + RELEASE.encode() + b'", "items": [{"id": "f0", "score": NaN}]}]}',
    ],
)
def test_answers_that_break_the_contract_are_not(raw):
    with pytest.raises(Failed) as caught:
        read_answers(200, raw, TARGET, [wish()])
    assert caught.value.reason == "invalid"


@pytest.mark.parametrize("status", [204, 301, 500, 502, 503])
def test_other_statuses_are_failures(status):
    with pytest.raises(Failed) as caught:
        read_answers(status, b"", TARGET, [wish()])
    assert (caught.value.reason, type(caught.value)) == ("status", Failed)


def test_a_refusal_keeps_its_sentence():
    with pytest.raises(Denied) as caught:
        read_answers(400, b'{"error": "items have no attribute"}', TARGET, [wish()])
    assert caught.value.sentence == "items have no attribute"
    with pytest.raises(Denied):
        read_answers(404, b"<html>", TARGET, [wish()])


IDS = st.text("abé中-0", min_size=1, max_size=8)
HISTORIES = st.lists(st.tuples(IDS, st.sampled_from(["", "click", "booking"])), max_size=30)


@given(st.lists(HISTORIES, min_size=1, max_size=8), st.integers(600, 2000))
def test_what_is_sent_reads_as_what_was_asked_within_the_limits(histories, room):
    settings = ServingSettings.model_construct(**{**ServingSettings().model_dump(), "max_body_bytes": room})
    wishes = [wish(5, told(history)) for history in histories]
    read, rows = [], 0
    for body, some in Forwarder(settings, 1.0)._bodies(wishes):
        assert len(body) <= room
        asks = read_asks(orjson.loads(body), ServingSettings())
        assert len(asks) == len(some)
        rows += len(some)
        read += asks
    assert rows == len(wishes)
    for ask, history in zip(read, histories, strict=True):
        kept = ask.history or []
        assert kept == history[len(history) - len(kept) :]  # the newest part
        assert len(told(history)) > room / 3 or kept == history


def test_everything_of_an_ask_is_sent_but_the_user():
    [ask] = read_asks(
        {
            "instances": [
                {
                    "user_id": "secret",
                    "k": 7,
                    "context": {"genres": ["Drama"]},
                    "filters": {"seen": False, "exclude": ["1"], "where": {"year": [1990, 2.0], "family": True}},
                }
            ]
        },
        ServingSettings(),
    )
    [(body, _)] = Forwarder(ServingSettings(), 1.0)._bodies([Wish("r", ask, NOBODY, "champion", 17)])
    [sent] = read_asks(orjson.loads(body), ServingSettings())
    assert (sent.user, sent.k, sent.history) == ("", 17, [])
    assert (sent.genres, sent.drop_seen, sent.exclude, sent.where) == (
        ask.genres,
        ask.drop_seen,
        ask.exclude,
        ask.where,
    )
    assert b"secret" not in body


class Scripted:
    """A server that does with each connection what its script says: a list of replies, None closes."""

    def __init__(self, *scripts):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = 0
        self.thread = threading.Thread(target=self.serve, args=(scripts,), daemon=True)
        self.thread.start()

    def serve(self, scripts):
        for script in scripts:
            connection, _ = self.listener.accept()
            self.connections += 1
            with connection:
                for reply in script:
                    if reply is None:
                        break
                    connection.recv(65536)
                    connection.sendall(reply)

    def close(self):
        self.listener.close()
        self.thread.join(timeout=5)


def http(body, head=b""):
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%s\r\n%s" % (len(body), head, body)


@pytest.fixture
def scripted():
    made = []

    def make(*scripts):
        made.append(Scripted(*scripts))
        return made[-1]

    yield make
    for one in made:
        one.close()


def exchanged(url, count, seconds=2.0, pause=0.0):
    async def ask():
        pool, answers = Pool(url), []
        for _ in range(count):
            answers.append(await pool.request("POST", "/x", b"{}", seconds))
            await asyncio.sleep(pause)
        pool.close()
        await asyncio.sleep(0)
        return answers

    return asyncio.run(ask())


def test_a_connection_is_kept(scripted):
    server = scripted([http(b"1"), http(b"2"), http(b"3")])
    assert exchanged(server.url, 3) == [(200, b"1"), (200, b"2"), (200, b"3")]
    assert server.connections == 1


def test_a_kept_connection_that_the_server_closed_is_no_failure(scripted):
    server = scripted([http(b"1"), None], [http(b"2", b"connection: close\r\n")], [http(b"3")])
    assert exchanged(server.url, 3, pause=0.05) == [(200, b"1"), (200, b"2"), (200, b"3")]
    assert server.connections == 3


def test_an_answer_in_chunks_is_put_together(scripted):
    server = scripted([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"])
    assert exchanged(server.url, 1) == [(200, b"abc")]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([None], "unreachable"),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", None], "unreachable"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "invalid"),
    ],
)
def test_what_is_no_answer_is_told_as_what_it_is(scripted, script, reason):
    with pytest.raises(Failed) as caught:
        exchanged(scripted(script).url, 1)
    assert caught.value.reason == reason


def test_an_answer_that_trickles_is_not_waited_for(scripted):
    server = scripted([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", b""])
    started = time.monotonic()
    with pytest.raises(Failed) as caught:
        exchanged(server.url, 1, seconds=0.1)
    assert caught.value.reason == "timeout"
    assert time.monotonic() - started < 1


def test_a_host_without_an_address_is_unreachable():
    with pytest.raises(Failed) as caught:
        exchanged("http://no-such-host.invalid:80", 1)
    assert caught.value.reason == "unreachable"


def test_the_breaker_leaves_alone_who_failed_in_a_row_and_tries_again():
    breaker, now = Breaker(), 100.0
    for _ in range(LIMIT - 1):
        breaker.failed("timeout", now)
        assert breaker.allows(now)
    breaker.succeeded()
    for _ in range(LIMIT):
        assert breaker.allows(now)
        breaker.failed("timeout", now)
    assert not breaker.allows(now)
    assert not breaker.allows(now + FIRST_WAIT - 0.01)
    assert breaker.allows(now + FIRST_WAIT)  # one trial
    assert not breaker.allows(now + FIRST_WAIT)
    breaker.failed("status", now + FIRST_WAIT)
    assert breaker.reason == "status"
    for _ in range(10):
        assert breaker.wait <= LONGEST_WAIT
        now += 2 * LONGEST_WAIT
        assert breaker.allows(now)
        breaker.failed("status", now)
    assert breaker.allows(now + LONGEST_WAIT)
    breaker.succeeded()
    assert breaker.allows(now)


def test_json_of_histories_is_what_predictors_read():
    assert json.loads(told([("1", "click"), ("2", "")])) == [{"item_id": "1", "event": "click"}, "2"]


def test_addresses_that_routes_no_longer_name_are_forgotten(scripted):
    former, present = scripted([http(b"1"), b""]), scripted([http(b"{}"), http(b"{}")])

    async def ask():
        forwarder = Forwarder(ServingSettings(), 1.0)
        for server in (former, present):
            with pytest.raises(Failed):
                await forwarder.lists(Target(RELEASE, (server.url,)), [wish()])
        assert set(forwarder.pools) == set(forwarder.breakers) == {former.url, present.url}
        forwarder.keep(Routes(2, Target(RELEASE, (present.url,))))
        assert set(forwarder.pools) == set(forwarder.breakers) == {present.url}
        forwarder.close()
        await asyncio.sleep(0)

    asyncio.run(ask())
    former.thread.join(timeout=5)  # it has seen its connection end
    assert not former.thread.is_alive()
