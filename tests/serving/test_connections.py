"""Clients that are slow, greedy or gone, over raw sockets."""

import contextlib
import socket
import time
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

PREDICT = "/v1/models/everloop:predict"
BODY = orjson.dumps({"instances": [{"user_id": "u2", "k": 3}]})
TIMEOUT = 1.0


@pytest.fixture(scope="module")
def server(small_world, serve, tmp_path_factory):
    import shutil

    home = shutil.copytree(small_world.home, tmp_path_factory.mktemp("slow") / "home")
    with serve(home, request_timeout_seconds=TIMEOUT) as client:
        yield client


@pytest.fixture
def connect(server):
    with contextlib.ExitStack() as stack:

        def make():
            return stack.enter_context(
                socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port), timeout=10)
            )

        yield make


def request(body=BODY, *headers):
    lines = [f"POST {PREDICT} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_all(connection):
    """Everything until the server closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def cut_off(server, reason):
    return server.metric(f'everloop_connections_cut_off_total{{reason="{reason}"}}')


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST", b"POST /v1/models/everloop:predict HTTP/1.1\r\nhost: x\r\nx-slow: ", request()[:-5]],
    ids=["nothing", "half a line", "half the headers", "half a body"],
)
def test_a_request_that_never_ends_is_cut_off(server, connect, sent):
    before = cut_off(server, "slow_request")
    connection, started = connect(), time.monotonic()
    connection.sendall(sent)
    answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the request was not complete within 1 s" in answer
    assert TIMEOUT <= time.monotonic() - started < TIMEOUT + 3
    assert cut_off(server, "slow_request") == before + 1


def test_a_trickle_does_not_buy_time(server, connect):
    connection, started = connect(), time.monotonic()
    with contextlib.suppress(ConnectionError):
        for byte in request():
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - started < TIMEOUT + 3
    assert server.ids(user_id="u2")


def test_a_hundred_slow_clients_do_not_keep_others_waiting(server, connect):
    slow = [connect() for _ in range(100)]
    for connection in slow:
        connection.sendall(request()[:40])
    started = time.monotonic()
    for _ in range(20):
        assert server.ids(user_id="u2")
    assert time.monotonic() - started < 5
    assert all(b"408" in read_all(connection) for connection in slow)


def test_an_idle_connection_is_kept_for_the_next_request(server, connect):
    connection = connect()
    connection.sendall(request())
    assert b"200 OK" in connection.recv(65536)
    time.sleep(2 * TIMEOUT)
    connection.sendall(request())
    assert b"200 OK" in connection.recv(65536)


def test_a_client_that_closes_its_half_after_the_request_still_gets_the_answer(server, connect):
    connection = connect()
    connection.sendall(request())
    connection.shutdown(socket.SHUT_WR)
    answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]


def test_a_client_that_closes_its_half_in_the_middle_gets_nothing_and_frees_its_place(server, connect):
    connection = connect()
    connection.sendall(request()[:-5])
    connection.shutdown(socket.SHUT_WR)
    assert read_all(connection) == b""
    assert server.ids(user_id="u2")


def test_a_client_that_is_gone_before_the_answer_costs_nothing(server, connect):
    for _ in range(20):
        connection = connect()
        connection.sendall(request())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()
    assert server.ids(user_id="u2")
    assert 'code="5' not in server.http.get("/metrics").text


def test_requests_sent_without_waiting_are_answered_in_order(connect):
    bodies = [orjson.dumps({"instances": [{"user_id": "u2", "k": k}]}) for k in (1, 2, 3)]
    connection = connect()
    connection.sendall(b"".join(request(body) for body in bodies[:2]) + request(bodies[2], "connection: close"))
    answers = read_all(connection).split(b"HTTP/1.1 200 OK")[1:]
    lists = [orjson.loads(answer.partition(b"\r\n\r\n")[2])["predictions"][0]["items"] for answer in answers]
    assert [len(one) for one in lists] == [1, 2, 3]


def test_endless_headers_are_refused(server, connect):
    connection = connect()
    connection.sendall(f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\n".encode())
    with contextlib.suppress(ConnectionError):
        for number in range(2_000):
            connection.sendall(f"x-{number}: {'y' * 1000}\r\n".encode())
            time.sleep(0)
    assert cut_off(server, "large_headers") >= 1
    assert server.ids(user_id="u2")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
    ],
    ids=["TLS", "no HTTP", "version", "negative length", "two lengths", "chunk", "address", "CONNECT"],
)
def test_what_is_no_http_gets_a_400_in_a_sentence(server, connect, sent):
    connection = connect()
    connection.sendall(sent)
    answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "this is not a valid HTTP request"}


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_a_wish_for_another_protocol_is_overheard(server, protocol):
    headers = {"connection": "upgrade", "upgrade": protocol}
    assert httpx.post(server.url + PREDICT, content=BODY, headers=headers, timeout=5).status_code == 200
    assert httpx.get(server.url + "/healthz", headers=headers, timeout=5).status_code == 200


def test_a_client_that_reads_nothing_is_cut_off(server, connect):
    before = cut_off(server, "slow_reader")
    connection = connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    whole = orjson.dumps({"instances": [{"history": ["f0"], "k": 24, "filters": {"seen": False}}] * 256})
    with contextlib.suppress(ConnectionError, TimeoutError):
        connection.settimeout(2)
        for _ in range(40):
            connection.sendall(request(whole))
    deadline = time.monotonic() + 10
    while cut_off(server, "slow_reader") == before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert cut_off(server, "slow_reader") == before + 1
