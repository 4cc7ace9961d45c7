"""The champion changes while requests go on; a broken release never serves."""

import threading
import time
from pathlib import Path

import pytest

from components.recsys.errors import NotFound, Refused
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from serving.history import open_history

FILES = ["release.json", "weights.safetensors", "catalogue.parquet", "reference.json", "card.md"]


def until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def flip(path: Path, position=-3) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


def test_a_new_champion_takes_over_without_a_failed_request(world, serve):
    second = world.release(l2=50.0)
    ledger, failures, seen, stop = Ledger(Home(world.home)), [], set(), threading.Event()
    with serve(world.home) as client:

        def ask():
            while not stop.is_set():
                try:
                    answer = client.one(user_id="u2", k=5)
                    assert len(answer["items"]) == 5
                    seen.add(answer["release"])
                except Exception as error:  # noqa: BLE001 - a thread's failure is told below
                    failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for digest in (second, world.digest, second):
            ledger.append("promote", digest, "better")
            until(lambda digest=digest: client.one(user_id="u2")["release"] == digest)
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures
        assert seen == {world.digest, second}
        assert client.metric("everloop_release_swaps_total") == 3
        assert client.metric(f'everloop_release_info{{model="ease",release="{second[:12]}"}}') == 1
        assert client.metric(f'everloop_release_info{{model="ease",release="{world.digest[:12]}"}}') == 0


def test_all_lists_of_one_request_come_from_one_release(world, serve):
    second = world.release(l2=50.0)
    ledger = Ledger(Home(world.home))
    with serve(world.home) as client:
        mover = threading.Thread(target=lambda: [ledger.append("promote", d, "x") for d in [second, world.digest] * 5])
        mover.start()
        while mover.is_alive():
            assert len({answer["release"] for answer in client.predict(*[{"user_id": "u2"}] * 64)}) == 1
        mover.join()


def test_what_came_in_before_the_change_counts_after_it(world, serve):
    second = world.release(l2=50.0)
    with serve(world.home) as client:
        client.http.post("/v1/events", json={"user_id": "newcomer", "item_id": "f1"}).raise_for_status()
        Ledger(Home(world.home)).append("promote", second, "better")
        until(lambda: client.one(user_id="newcomer")["release"] == second)
        assert "fallback" not in client.one(user_id="newcomer")


@pytest.mark.parametrize("file", FILES)
def test_a_release_with_a_flipped_byte_is_refused_and_the_old_one_serves_on(world, serve, capsys, file):
    second = world.release(l2=50.0)
    flip(world.home / "releases" / second / file)
    with serve(world.home) as client:
        Ledger(Home(world.home)).append("promote", second, "better")
        until(lambda: client.metric("everloop_release_refused_total") >= 1)
        assert client.one(user_id="u2")["release"] == world.digest
        assert client.http.get("/readyz").status_code == 200
    told = capsys.readouterr().err
    assert "release refused" in told
    assert "so it will not be loaded" in told
    assert f"release {world.digest[:12]} serves on" in told
    assert "Traceback" not in told


def test_a_release_that_is_whole_again_is_taken_later(world, serve):
    second = world.release(l2=50.0)
    broken = world.home / "releases" / second / "weights.safetensors"
    flip(broken)
    with serve(world.home) as client:
        Ledger(Home(world.home)).append("promote", second, "better")
        until(lambda: client.metric("everloop_release_refused_total") >= 1)
        flip(broken)
        until(lambda: client.one(user_id="u2")["release"] == second)


def test_a_server_that_starts_on_a_broken_champion_serves_the_one_before(world, serve):
    second = world.release(l2=50.0)
    Ledger(Home(world.home)).append("promote", second, "better")
    flip(world.home / "releases" / second / "weights.safetensors")
    with serve(world.home) as client:
        assert client.one(user_id="u2")["release"] == world.digest
        flip(world.home / "releases" / second / "weights.safetensors")
        until(lambda: client.one(user_id="u2")["release"] == second)


def test_a_rollback_is_followed_like_a_promotion(world, serve):
    second = world.release(l2=50.0)
    ledger = Ledger(Home(world.home))
    ledger.append("promote", second, "better")
    with serve(world.home) as client:
        assert client.one(user_id="u2")["release"] == second
        ledger.append("rollback", world.digest, "worse after all")
        until(lambda: client.one(user_id="u2")["release"] == world.digest)


def test_a_ledger_changed_by_hand_is_told_and_changes_nothing(world, serve, capsys):
    second = world.release(l2=50.0)
    with serve(world.home) as client:
        Ledger(Home(world.home)).append("promote", second, "better")
        flip(world.home / "ledger" / "0000000001.json", position=30)
        time.sleep(0.5)
        assert client.one(user_id="u2")["release"] in (world.digest, second)
        (world.home / "ledger" / "0000000003.json").write_text("{}")
        time.sleep(0.3)
        assert client.ids(user_id="u2")
    assert "changed by hand" in capsys.readouterr().err


def test_before_the_first_champion_the_server_waits_and_says_so(tmp_path, world, serve):
    empty = tmp_path / "empty"
    with serve(empty) as client:
        for path in (
            "/readyz",
            "/v2/health/ready",
            "/v1/models/everloop",
            "/v2/models/everloop/ready",
            "/v2/models/everloop",
        ):
            answer = client.http.get(path)
            assert answer.status_code == 503
            assert "everloop run" in answer.json()["error"]
        assert "no release serves yet" in client.refusal(503, {"instances": [{}]})
        assert client.http.get("/v2/health/live").status_code == 200
        for folder in ("releases", "tables"):
            (world.home / folder).rename(empty / folder)
        (world.home / "ledger").rename(empty / "ledger")
        until(lambda: client.http.get("/readyz").status_code == 200)
        assert len(client.ids(user_id="u2")) == 10


def test_histories_come_from_the_event_table_as_the_release_saw_it(world, serve, taken):
    with serve(world.home) as client:
        assert "fallback" not in client.one(user_id="u5")
    history = open_history(f"sqlite://{world.home}/online/history.sqlite", 500)
    assert {item for item, _ in history.read("u5")} == {f"f{film}" for film in range(24) if taken(5, film)}
    history.close()


def test_without_its_event_table_a_release_still_serves_and_says_what_is_missing(world, serve, capsys):
    (world.home / "tables").rename(world.home / "lost")
    with serve(world.home) as client:
        assert client.one(user_id="u2")["fallback"] == "unknown_user"
        assert "fallback" not in client.one(history=["f0"])
        assert client.metric('everloop_history_errors_total{operation="seed"}') == 1
    assert "histories not brought up" in capsys.readouterr().err


def test_a_history_store_that_fails_costs_nobody_a_list(world, serve):
    with serve(world.home) as client:
        assert "fallback" not in client.one(user_id="u2")
        database = world.home / "online" / "history.sqlite"
        for path in database.parent.iterdir():
            path.write_bytes(b"no longer a database" * 1000)
        answer = client.one(user_id="u3")
        assert answer["fallback"] == "history_unavailable"
        assert len(answer["items"]) == 10
        refusal = client.refusal(503, {"user_id": "u3", "item_id": "f0"}, "/v1/events")
        assert "the events were not taken, send them again" in refusal
        assert client.metric('everloop_history_errors_total{operation="read"}') >= 1


def test_a_home_that_cannot_be_written_is_served_from_memory(world, serve):
    (world.home / "online").write_text("a file where the folder should be")
    with serve(world.home) as client:
        assert "fallback" not in client.one(user_id="u2")
        assert client.http.post("/v1/events", json={"user_id": "newcomer", "item_id": "f1"}).status_code == 200
        assert "fallback" not in client.one(user_id="newcomer")


def test_one_release_folder_is_served_without_a_home(world, serve):
    """As KServe's storage initializer gives it: the files right in the folder, whatever its name."""
    folder = (world.home / "releases" / world.digest).rename(world.home / "mounted")
    with serve("", model_dir=folder) as client:
        answer = client.one(history=["f0", "f2"], k=3)
        assert answer["release"] == world.digest
        assert client.one(user_id="u2")["fallback"] == "unknown_user"
        client.http.post("/v1/events", json={"user_id": "u2", "item_id": "f1"}).raise_for_status()
        assert "fallback" not in client.one(user_id="u2")


@pytest.mark.parametrize("file", FILES)
def test_a_release_folder_with_a_flipped_byte_is_never_served(world, serve, file):
    folder = world.home / "releases" / world.digest
    flip(folder / file)
    with pytest.raises(Refused, match="will not be loaded"), serve("", model_dir=folder):
        pass


def test_a_folder_that_holds_no_release_is_refused(tmp_path, serve):
    with pytest.raises(NotFound, match="it is no release"), serve("", model_dir=tmp_path):
        pass
