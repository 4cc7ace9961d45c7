import json
import socket
import time
from pathlib import Path

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

PREDICT = "/v1/models/everloop:predict"
INFER = "/v2/models/everloop/infer"
EVENTS = "/v1/events"


@pytest.mark.parametrize(
    ("instance", "sentence"),
    [
        ({"k": 0}, "instances[0].k must be from 1 to 1000, not 0"),
        ({"k": -1}, "instances[0].k must be from 1 to 1000, not -1"),
        ({"k": 1_000_000}, "instances[0].k must be from 1 to 1000, not 1000000"),
        ({"k": 2.5}, "instances[0].k must be a whole number, not 2.5"),
        ({"k": "ten"}, 'instances[0].k must be a whole number, not "ten"'),
        ({"k": True}, "instances[0].k must be a whole number, not true"),
        ({"k": [1]}, "instances[0].k must be a whole number, not a list"),
        ({"user_id": 1.5}, "instances[0].user_id must be text or a whole number, not 1.5"),
        ({"user_id": {"id": 1}}, "instances[0].user_id must be text or a whole number, not an object"),
        ({"user_id": " \t "}, "instances[0].user_id is blank; leave it out where there is none"),
        ({"user_id": "x" * 10_000}, "instances[0].user_id has 10000 characters"),
        ({"usr_id": "1"}, "instances[0] has an unknown field 'usr_id'; did you mean 'user_id'?"),
        ({"zzz": "1"}, "known are context, filters, history, k, user_id"),
        ({"history": "f0"}, 'instances[0].history must be a list of item ids, not "f0"'),
        ({"history": ["f0", None]}, "instances[0].history[1] must be text or a whole number, not null"),
        ({"context": []}, "instances[0].context must be an object"),
        ({"context": {"genres": [1]}}, "instances[0].context.genres must be a list of texts"),
        ({"filters": []}, "instances[0].filters must be an object"),
        ({"filters": {"sen": True}}, "unknown field 'sen'; did you mean 'seen'?"),
        ({"filters": {"seen": "no"}}, "instances[0].filters.seen must be true"),
        ({"filters": {"exclude": "f0"}}, "instances[0].filters.exclude must be a list of item ids"),
        ({"filters": {"where": ["genres"]}}, "instances[0].filters.where must be an object"),
        ({"filters": {"where": {"genres": {"is": 1}}}}, "instances[0].filters.where.genres must be a value"),
        ({"filters": {"where": {"genre": "Drama"}}}, "items have no attribute 'genre'; did you mean 'genres'?"),
        ("f0", 'instances[0] must be an object such as {"user_id": "42", "k": 10}, not "f0"'),
    ],
)
def test_a_broken_instance_is_refused_with_a_sentence(client, instance, sentence):
    assert sentence in client.refusal(400, {"instances": [instance]})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is empty"),
        (b"{", "the body is not JSON"),
        (b"\xff\xfe{\x00}\x00", "the body is not JSON"),
        (b'{"instances": [{"user_id": "\xe9t\xe9"}]}', "the body is not JSON"),
        (b'{"instances": [{"user_id": "\\ud800"}]}', "the body is not JSON"),
        (b'{"instances": [{"k": NaN}]}', "the body is not JSON"),
        (b'{"instances": [{"k": 1e999}]}', "the body is not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "the body is not JSON"),
        (b'{"instances":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, "the body is not JSON"),
        (b"null", "the body must be a JSON object"),
        (b"[]", "the body must be a JSON object"),
        (b"{}", "the body must be a JSON object"),
        (b'{"instances": {}}', '"instances" must be a list'),
        (b'{"instances": []}', '"instances" must be a list with at least one object, not an empty list'),
        (orjson.dumps({"instances": [{}] * 257}), '"instances" has 257 entries; at most 256 are answered at once'),
        (orjson.dumps({"instances": [{"k": 1000}] * 26}), "26000 items are asked for in all; at most 25000"),
    ],
)
def test_a_broken_body_is_refused_with_a_sentence(client, body, sentence):
    assert sentence in client.refusal(400, body)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", "multipart/form-data"]
)
def test_a_wrong_content_type_is_refused_and_the_right_one_named(client, kind):
    answer = client.http.post(PREDICT, content=b'{"instances": [{}]}', headers={"content-type": kind})
    assert answer.status_code == 415
    assert (
        answer.json()["error"]
        == f"content type {kind} is not taken; send JSON with the header content-type: application/json"
    )


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/x+json", ""]
)
def test_json_by_any_name_or_none_is_taken(client, kind):
    answer = client.http.post(PREDICT, content=b'{"instances": [{}]}', headers={"content-type": kind})
    assert answer.status_code == 200


def test_a_compressed_body_is_refused(client):
    answer = client.http.post(PREDICT, content=b"x", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415
    assert "send plain JSON" in answer.json()["error"]


def memory_of_this_process():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_a_body_of_50_mb_is_refused_without_being_kept(client, chunked):
    """The server runs in this process, so its memory is ours."""
    part, parts = b"x" * 1_000_000, 50
    sent = (part for _ in range(parts))
    headers = {} if chunked else {"content-length": str(len(part) * parts)}
    before = memory_of_this_process()
    answer = client.http.post(PREDICT, content=sent, headers={"content-type": "application/json", **headers})
    assert answer.status_code == 413
    assert "at most 1000000" in answer.json()["error"] or "more than 1000000 bytes" in answer.json()["error"]
    assert memory_of_this_process() - before < 20_000_000
    assert client.ids(user_id="u2")


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not(client):
    body = b'{"instances": [{}]}'
    full = body + b" " * (1_000_000 - len(body))
    assert client.http.post(PREDICT, content=full).status_code == 200
    assert client.http.post(PREDICT, content=full + b" ").status_code == 413
    assert client.http.post(PREDICT, content=iter([full, b" "])).status_code == 413


def test_a_client_that_asks_first_is_told_before_it_sends(client):
    with socket.create_connection(("127.0.0.1", httpx.URL(client.url).port), timeout=5) as connection:
        head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\nexpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_huge_history_counts_by_its_newest(client):
    history = ["no such film"] * 20_000 + ["f0", "f2"]
    assert client.ids(history=history) == client.ids(history=["f0", "f2"])


def test_ids_of_other_scripts_and_with_spare_blanks_are_ids(client):
    for user in ("Пользователь", "用户", "مستخدم", "a\u0301", "🙂", "x\x00y", "' OR 1=1 --"):
        assert client.http.post(EVENTS, json={"user_id": user, "item_id": "f1"}).status_code == 200
        assert "fallback" not in client.one(user_id=f"  {user} ")
    assert "fallback" not in client.one(user_id="\u00e1")  # the same letter, composed


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["f0", "u2", "genres"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
INSTANCE = st.fixed_dictionaries(
    {},
    optional={
        "user_id": VALUES,
        "k": VALUES | st.integers(1, 30),
        "history": VALUES | st.lists(VALUES, max_size=4),
        "context": VALUES | st.fixed_dictionaries({"genres": VALUES}),
        "filters": VALUES | st.fixed_dictionaries({}, optional={"seen": VALUES, "exclude": VALUES, "where": VALUES}),
        "more": VALUES,
    },
)
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["user_id", "k", "history", "context", "filters"]) | VALUES,
        "shape": st.just([1]) | VALUES,
        "datatype": st.sampled_from(["BYTES", "INT32"]) | VALUES,
        "data": st.lists(VALUES, min_size=1, max_size=1) | VALUES,
    }
)
EVENT = st.fixed_dictionaries(
    {"user_id": VALUES, "item_id": VALUES}, optional={"timestamp": VALUES, "value": VALUES, "event": VALUES}
)
BODIES = st.one_of(
    st.tuples(st.just(PREDICT), st.fixed_dictionaries({"instances": st.lists(INSTANCE, max_size=3) | VALUES})),
    st.tuples(
        st.just(INFER),
        st.fixed_dictionaries(
            {"inputs": st.lists(TENSORS, max_size=2) | VALUES}, optional={"outputs": VALUES, "id": VALUES}
        ),
    ),
    st.tuples(st.just(EVENTS), EVENT | st.fixed_dictionaries({"events": st.lists(EVENT, max_size=3) | VALUES})),
    st.tuples(st.sampled_from([PREDICT, INFER, EVENTS]), VALUES),
)


def as_json(value):
    """JSON as a careless client writes it: numbers of any size, NaN and lone surrogates included."""
    return json.dumps(value).encode()


@settings(max_examples=300, deadline=None)
@given(BODIES)
def test_nothing_in_a_body_makes_a_5xx(client, sent):
    path, body = sent
    answer = client.http.post(path, content=as_json(body), headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400), answer.text
    assert answer.status_code == 200 or list(answer.json()) == ["error"]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([PREDICT, INFER, EVENTS]), st.binary(max_size=200))
def test_no_bytes_make_a_5xx(client, path, body):
    assert client.http.post(path, content=body).status_code in (200, 400)


TOKENS = st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Zs"]), max_size=12)


@settings(max_examples=100, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "PATCH", "TRACE"]), path=TOKENS, name=TOKENS, query=TOKENS
)
def test_no_address_makes_a_5xx(client, method, path, name, query):
    target = f"/{path}/{name}?{query}"
    request = f"{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", httpx.URL(client.url).port), timeout=5) as connection:
        connection.sendall(request)
        status = int(connection.recv(65536).split()[1])
    assert status in (200, 400, 404, 405)


def test_the_server_made_no_mistake_in_any_of_this(client):
    """Runs last in this file: no endpoint counted a 5xx."""
    text = client.http.get("/metrics").text
    assert 'code="5' not in text
    assert time.time() - client.metric("everloop_ledger_seen_timestamp_seconds") < 60
