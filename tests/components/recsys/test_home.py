import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from components.recsys.errors import InputError, StoreError
from components.recsys.home import TABLES, Home
from components.recsys.intake.tables import append_once, frame_of, open_table

HOLDER = """
import sys, time
from components.recsys.home import Home
with Home(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def _holder(folder: Path) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    holder.stdout.close()
    return holder


def test_a_second_run_on_the_same_home_says_who_holds_it_and_gives_up_in_time(tmp_path: Path) -> None:
    holder, told = _holder(tmp_path), list[str]()
    try:
        with (
            pytest.raises(StoreError, match=rf"another run \(process {holder.pid}\) holds .*use another --home"),
            Home(tmp_path).lock(wait_seconds=0.5, told=told.append),
        ):
            raise AssertionError("two runs at once")
    finally:
        holder.kill()
        holder.wait()
    assert len(told) == 1
    assert "waiting" in told[0]


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    holder = _holder(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with Home(tmp_path).lock(wait_seconds=0):
        assert (tmp_path / "run.lock").read_text() == f"process {os.getpid()}"


def test_a_waiting_run_goes_on_when_the_first_is_done(tmp_path: Path) -> None:
    holder, told = _holder(tmp_path), list[str]()

    def release(text: str) -> None:
        told.append(text)
        holder.kill()

    with Home(tmp_path).lock(wait_seconds=30, told=release):
        assert told
    holder.wait()


def test_locks_of_different_names_do_not_meet(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.lock("run", wait_seconds=0), home.lock("serve", wait_seconds=0):
        pass
    with home.lock("run", wait_seconds=0):
        pass


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another --home"), Home(tmp_path / "file" / "home").lock():
        raise AssertionError


def test_a_home_in_object_storage_has_no_folder_and_needs_no_lock(s3_url: str) -> None:
    home = Home(s3_url + "/")
    assert (home.url, home.local) == (s3_url, None)
    assert home.table("events") == f"{s3_url}/tables/events"
    with home.lock(), home.lock():
        pass


def test_tables_keep_versions_and_transactions_in_a_folder_and_in_object_storage(store_url: str) -> None:
    home = Home(store_url)
    for number in range(2):
        write_deltalake(
            home.table("events"), pl.DataFrame({"n": [number]}), mode="append", storage_options=home.storage_options
        )
    table = DeltaTable(home.table("events"), storage_options=home.storage_options)
    assert table.version() == 1
    old = DeltaTable(home.table("events"), version=0, storage_options=home.storage_options)
    assert pl.read_delta(old)["n"].to_list() == [0]
    assert pl.read_delta(home.table("events"), storage_options=home.storage_options)["n"].sort().to_list() == [0, 1]


APPENDER = """
import sys, time
import polars as pl
from deltalake import write_deltalake
from components.recsys.home import Home
home, start, name = Home(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
time.sleep(max(0, start - time.time()))
for number in range(5):
    frame = pl.DataFrame({"n": [10 * name + number]})
    write_deltalake(home.table("events"), frame, mode="append", storage_options=home.storage_options)
"""


def test_two_processes_that_append_to_one_table_lose_no_row(store_url: str) -> None:
    home = Home(store_url)
    write_deltalake(home.table("events"), pl.DataFrame({"n": [0]}), storage_options=home.storage_options)
    start = str(time.time() + 3)
    appenders = [
        subprocess.Popen([sys.executable, "-c", APPENDER, store_url, start, name], stderr=subprocess.PIPE)
        for name in ("1", "2")
    ]
    assert [appender.communicate(timeout=120)[1] for appender in appenders] == [b"", b""]
    rows = pl.read_delta(home.table("events"), storage_options=home.storage_options)["n"].sort().to_list()
    assert rows == [0, *range(10, 15), *range(20, 25)]


def test_only_known_tables_have_a_place(tmp_path: Path) -> None:
    assert {Path(Home(tmp_path).table(name)).name for name in TABLES} == set(TABLES)
    with pytest.raises(AssertionError):
        Home(tmp_path).table("evnets")


@pytest.mark.parametrize(
    "name", ["a b", "100%", "a%zz", "a?b", "a#b", "\u00e4", "a{b}", "~", 'a"b', "a+b", "a*b", "\u65e5\u672c"]
)
def test_a_home_may_lie_in_a_folder_of_almost_any_name(name: str, tmp_path: Path) -> None:
    home = Home(tmp_path / name)
    for number in range(2):
        append_once(
            home, "items", f"run-{number}", 1, lambda _, number=number: pl.DataFrame({"item_id": [str(number)]})
        )
    assert frame_of(home, open_table(home, "items")).height == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "name", ["a%20b", "%41", "a[b", "a[b]", "a]b", "a\\b", "a^b", "a|b", "a\tb", "a\nb", "a\x7fb", "a%2Fb/c"]
)
def test_a_path_that_delta_tables_cannot_lie_in_is_refused_before_anything_is_written(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="choose another --home"):
        Home(tmp_path / name)
    with pytest.raises(InputError, match="choose another --home"):
        Home(str(tmp_path / name / "below"))
    assert list(tmp_path.iterdir()) == []


def test_keys_in_object_storage_are_no_paths_of_this_machine(s3_url: str) -> None:
    assert Home(f"{s3_url}/a|b").url.endswith("/a|b")
