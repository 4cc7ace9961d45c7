"""Ingesting: each event once, whatever is repeated, killed, run at once or refused by the disk."""

import json
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.recsys.errors import InputError, Refused, StoreError
from components.recsys.events import (
    Ingested,
    fingerprint,
    ingest,
    read_events,
    read_items,
    read_latest_events,
    read_quarantine,
    read_user_ids,
    read_users,
    try_read_events_file,
    withdraw,
)
from components.recsys.home import Home
from components.recsys.intake import batches, tables
from components.recsys.settings import DataSettings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
START = 1_704_067_200


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def table(first: int, last: int) -> str:
    rows = (f"u{n % 7},i{n % 11},{n % 5 + 1},{START + 60 * n}" for n in range(first, last))
    return "\n".join(["user_id,item_id,value,timestamp", *rows, ""])


def put(tmp_path: Path, name: str, text: str) -> str:
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def take(home: Home, *paths: str, settings: DataSettings | None = None, **others: str) -> Ingested:
    return ingest(home, {"events": list(paths), **others}, settings or DataSettings(), now=NOW)


def test_a_second_ingest_of_the_same_file_adds_nothing_and_says_so(tmp_path: Path, home: Home) -> None:
    path = put(tmp_path, "ratings.csv", table(0, 100))
    first, second = take(home, path), take(home, path)
    assert (first.added, second.added) == (100, 0)
    assert first.data == second.data
    assert first.batch == second.batch
    assert second.messages == [f"ratings.csv was ingested before (batch {first.batch[:12]}, version 0): nothing added"]


def test_a_renamed_copy_is_the_same_batch_and_another_mapping_is_not(tmp_path: Path, home: Home) -> None:
    first = take(home, put(tmp_path, "a.csv", table(0, 50)))
    copy = put(tmp_path, "b.csv", table(0, 50))
    assert take(home, copy).batch == first.batch
    other = take(home, copy, settings=DataSettings(near_duplicate_seconds=5))
    assert other.batch != first.batch
    assert (other.added, other.counts["known_before"]) == (0, 50)


@pytest.mark.parametrize("name", ["a home", "größe#1"])
def test_a_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name)
    take(home, put(tmp_path, "a.csv", table(0, 20)))
    done = take(home, put(tmp_path, "b.csv", table(10, 30)))
    assert done.added == 10
    assert read_latest_events(home).height == 30


def test_overlapping_exports_add_each_event_once(tmp_path: Path, home: Home) -> None:
    take(home, put(tmp_path, "monday.csv", table(0, 60)))
    done = take(home, put(tmp_path, "tuesday.csv", table(40, 100)))
    assert (done.added, done.counts["known_before"]) == (40, 20)
    assert read_events(home, done.data)["event_id"].n_unique() == done.data["events"]["rows"] == 100


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=4))
def test_any_overlapping_exports_in_any_order_give_the_union(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("union")
    for number, (first, rows) in enumerate(cuts):
        done = take(Home(folder / "home"), put(folder, f"{number}.csv", table(first, first + rows)))
    wanted = {n for first, rows in cuts for n in range(first, first + rows)}
    events = read_events(Home(folder / "home"), done.data)
    assert {(int(time.timestamp()) - START) // 60 for time in events["timestamp"]} == wanted
    assert events.height == len(wanted)
    whole = take(
        Home(folder / "other"),
        put(folder, "whole.csv", "\n".join([table(0, 0).strip(), *(table(n, n + 1).splitlines()[1] for n in wanted)])),
    )
    assert whole.data["events"]["sha256"] == done.data["events"]["sha256"]


def test_a_growing_file_without_times_keeps_the_times_of_its_old_rows(tmp_path: Path, home: Home) -> None:
    order = DataSettings(events={"time_unit": "order"})  # type: ignore[arg-type]
    take(home, put(tmp_path, "log.csv", "user,item\na,x\na,x\nb,y\n"), settings=order)
    done = take(home, put(tmp_path, "log.csv", "user,item\na,x\na,x\nb,y\nb,z\n"), settings=order)
    assert (done.added, done.counts["known_before"]) == (1, 3)
    assert read_events(home, done.data).sort("timestamp")["item_id"].to_list() == ["x", "x", "y", "z"]


def test_cleaning_counts_every_change(tmp_path: Path, home: Home) -> None:
    rows = [
        "user_id,item_id,event,timestamp",
        f" u  1,i1,click,{START}",
        f"u 1,i1,click,{START}",
        f"u 1,i1,click,{START + 1}",
        f"u 1,i1,,{START + 500}",
        f",i1,click,{START}",
        ",,,",
        f"u2,i1,click,{START},extra",
        f"u2,i1,click,{START + 900}",
    ]
    done = take(home, put(tmp_path, "log.csv", "\n".join(rows)))
    assert done.counts == {
        "rows_read": 7,
        "blank_rows": 1,
        "broken_lines": 1,
        "text_normalised": 1,
        "ids_from_floats": 0,
        "event_filled": 1,
        "quarantined": 2,
        "exact_duplicates": 1,
        "near_duplicates": 1,
        "known_before": 0,
        "added": 3,
    }
    events = read_events(home, done.data).sort("timestamp")
    assert events["user_id"].to_list() == ["u 1", "u 1", "u2"]
    assert events["event"].to_list() == ["click", "interaction", "click"]
    assert read_quarantine(home).sort("row").select("row", "check", "reason").rows() == [
        (5, "missing", "no user_id"),
        (7, "invalid", "5 fields, not 4"),
    ]


def test_near_duplicates_stay_when_settings_say_so(tmp_path: Path, home: Home) -> None:
    path = put(tmp_path, "log.csv", f"user_id,item_id,timestamp\na,x,{START}\na,x,{START + 1}\na,x,{START + 1}\n")
    done = take(home, path, settings=DataSettings(near_duplicate_seconds=0))
    assert (done.added, done.counts["exact_duplicates"], done.counts["near_duplicates"]) == (2, 1, 0)


def test_event_ids_are_the_same_on_every_machine(tmp_path: Path, home: Home) -> None:
    done = take(home, put(tmp_path, "log.csv", f"user_id,item_id,value,timestamp\nZoë,7,4.5,{START}\n"))
    assert read_events(home, done.data)["event_id"].to_list() == ["244f8540c068cb470d862abffcc86692"]


def test_read_events_refuses_a_table_that_was_changed_by_hand(tmp_path: Path, home: Home) -> None:
    done = take(home, put(tmp_path, "log.csv", table(0, 50)))
    part = next((Path(home.url) / "tables/events").glob("*.parquet"))
    pl.read_parquet(part).with_columns(user_id=pl.lit("mallory")).write_parquet(part)
    with pytest.raises(
        (Refused, StoreError), match=r"the events table is not what was recorded|damaged and cannot be read"
    ):
        read_events(home, done.data)


def test_an_old_data_version_reads_as_it_was(tmp_path: Path, home: Home) -> None:
    old = take(home, put(tmp_path, "a.csv", table(0, 50)), items=put(tmp_path, "items.csv", "item_id,title\ni1,Old\n"))
    new = take(home, put(tmp_path, "b.csv", table(50, 90)), items=put(tmp_path, "items.csv", "item_id,title\ni1,New\n"))
    assert (read_events(home, old.data).height, read_events(home, new.data).height) == (50, 90)
    titles = [read_items(home, done.data)["title"].to_list() for done in (old, new)]  # type: ignore[index]
    assert titles == [["Old"], ["New"]]


def test_items_keep_the_latest_row_and_are_written_only_when_they_differ(tmp_path: Path, home: Home) -> None:
    events = put(tmp_path, "log.csv", table(0, 50))
    first = take(
        home,
        events,
        items=put(tmp_path, "i.csv", "item_id,title,genres,year\ni1,A,sea|city,1999\ni2,B,,2001\ni1,C,sea,1999\n"),
    )
    items = read_items(home, first.data)
    assert items is not None
    assert items.rows() == [("i1", "C", ["sea"], 1999), ("i2", "B", None, 2001)]
    assert first.counts["items_repeated"] == 1
    again = take(home, events, items=put(tmp_path, "j.csv", "item_id,title,genres,year\ni2,B,,2001\ni1,C,sea,1999\n"))
    assert again.data["items"] == first.data["items"]
    changed = take(home, events, items=put(tmp_path, "k.csv", "item_id,title,year\ni3,D,unknown\n"))
    assert changed.data["items"]["version"] == 1
    assert read_items(home, changed.data)["year"].to_list() == ["1999", "2001", "unknown"]  # type: ignore[index]


def test_without_items_there_are_none_and_without_events_nothing_starts(tmp_path: Path, home: Home) -> None:
    done = take(home, put(tmp_path, "log.csv", table(0, 50)))
    assert done.data["items"] is None
    assert read_items(home, done.data) is None
    assert read_users(home, done.data) is None
    with pytest.raises(InputError, match="no events yet"):
        ingest(Home(tmp_path / "other"), {"items": put(tmp_path, "i.csv", "item_id\ni1\n")}, DataSettings())
    with pytest.raises(InputError, match="unknown kind of data 'clicks'"):
        ingest(home, {"clicks": "x.csv"}, DataSettings())


def test_a_withdrawn_batch_is_in_quarantine_and_can_be_ingested_again(tmp_path: Path, home: Home) -> None:
    kept = take(home, put(tmp_path, "a.csv", table(0, 50)))
    path = put(tmp_path, "b.csv", table(50, 90))
    done = take(home, path)
    assert withdraw(home, done.batch, "too few users") == 40
    assert withdraw(home, done.batch, "too few users") == 0
    assert read_latest_events(home)["batch"].unique().to_list() == [kept.batch]
    quarantine = read_quarantine(home, done.batch)
    assert quarantine["reason"].unique().to_list() == ["too few users"]
    assert {json.loads(raw)["user_id"] for raw in quarantine["raw"]} <= {f"u{n}" for n in range(7)}
    assert batches.read_facts(home, done.batch)["withdrawn"] == "too few users"  # type: ignore[index]
    again = take(home, path)
    assert (again.added, again.data["events"]["rows"]) == (40, 90)
    assert take(home, path).added == 0
    assert withdraw(home, again.batch, "once more") == 40


def test_the_quarantine_takes_each_bad_row_once(tmp_path: Path, home: Home) -> None:
    path = put(tmp_path, "a.csv", table(0, 50) + ",i1,3,1704067200\n")
    take(home, path)
    take(home, path)
    assert read_quarantine(home).height == 1


def test_several_files_and_globs_are_one_batch(tmp_path: Path, home: Home) -> None:
    put(tmp_path, "log-1.csv", table(0, 30))
    put(tmp_path, "log-2.csv", table(30, 70).replace("user_id", "userId"))
    done = take(home, str(tmp_path / "log-*.csv"))
    assert done.added == 70
    assert fingerprint(str(tmp_path / "log-*.csv")) == fingerprint(
        [str(tmp_path / "log-1.csv"), str(tmp_path / "log-2.csv")]
    )
    assert fingerprint(str(tmp_path / "log-1.csv")) != fingerprint(str(tmp_path / "log-2.csv"))


def test_users_and_events_of_a_file_without_a_home(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", table(0, 10))
    assert read_user_ids(path, DataSettings()) == [f"u{n}" for n in range(7)]
    events = try_read_events_file(path, DataSettings())
    assert events is not None
    assert events.height == 10
    assert try_read_events_file(put(tmp_path, "users.csv", "user_id\na\n"), DataSettings()) is None


CHILD = textwrap.dedent(
    """
    import os, random, signal, sys
    from datetime import UTC, datetime
    import deltalake
    from components.recsys.intake import batches, tables
    from components.recsys.events import ingest, withdraw
    from components.recsys.home import Home
    from components.recsys.settings import DataSettings

    home, events, items, point, mode = sys.argv[1:]
    state = {"left": int(point)}

    def deadly(function):
        def step(*arguments, **options):
            for _ in range(2):  # before it and after it
                if state["left"] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                state["left"] -= 1
                if _ == 0:
                    result = function(*arguments, **options)
            return result
        return step

    deltalake.write_deltalake = deadly(deltalake.write_deltalake)
    deltalake.DeltaTable.delete = deadly(deltalake.DeltaTable.delete)
    batches.write_facts = deadly(batches.write_facts)
    done = ingest(Home(home), {"events": events, "items": items}, DataSettings(), now=datetime(2026, 6, 1, tzinfo=UTC))
    if mode == "withdraw":
        withdraw(Home(home), done.batch, "no good")
    print(state["left"])
    """
)
STEPS = {"ingest": 10, "withdraw": 16}  # writes of one run, each killed before and after


def child(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
    )


@pytest.mark.parametrize(
    ("mode", "point"), [("ingest", n) for n in range(10)] + [("withdraw", n) for n in range(10, 16)]
)
def test_after_a_kill_at_any_write_the_next_run_converges(tmp_path: Path, mode: str, point: int) -> None:
    events = put(tmp_path, "a.csv", table(0, 50) + ",i1,3,1704067200\n")
    items = put(tmp_path, "items.csv", "item_id,title\ni1,A\n")
    url = str(tmp_path / "home")
    killed = child(url, events, items, str(point), mode)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    home = Home(url)
    if mode == "withdraw":
        batch = read_quarantine(home)["batch"][0]
        withdraw(home, batch, "no good")
        assert read_latest_events(home).is_empty()
        assert read_quarantine(home).filter(pl.col("reason") == "no good").height == 50
    done = take(home, events, items=items)
    assert done.data["events"]["rows"] == 50
    assert read_events(home, done.data)["event_id"].n_unique() == 50
    assert read_quarantine(home).filter(pl.col("reason") == "no user_id").height == 1
    assert read_items(home, done.data).rows() == [("i1", "A")]  # type: ignore[union-attr]
    assert batches.read_facts(home, done.batch)["usable"] == 50  # type: ignore[index]
    assert take(home, events, items=items).added == 0


def test_the_kills_above_reach_every_write(tmp_path: Path) -> None:
    events = put(tmp_path, "a.csv", table(0, 50) + ",i1,3,1704067200\n")
    items = put(tmp_path, "items.csv", "item_id,title\ni1,A\n")
    for mode, steps in STEPS.items():
        left = child(str(tmp_path / mode), events, items, "1000", mode)
        assert left.stdout.strip() == str(1000 - steps), left.stderr


def test_two_writers_at_once_add_every_event_once(tmp_path: Path, home: Home) -> None:
    parts = [put(tmp_path, f"{n}.csv", table(20 * n, 20 * n + 60)) for n in range(4)]
    script = textwrap.dedent(
        """
        import sys, time
        from datetime import UTC, datetime
        from components.recsys.events import ingest
        from components.recsys.home import Home
        from components.recsys.settings import DataSettings
        import deltalake
        home, start, *files = sys.argv[1:]
        time.sleep(max(0.0, float(start) - time.time()))
        for file in files:
            ingest(Home(home), {"events": file}, DataSettings(), now=datetime(2026, 6, 1, tzinfo=UTC))
        """
    )
    start = str(datetime.now(UTC).timestamp() + 3)
    command = [sys.executable, "-c", script, home.url, start]
    running = [
        subprocess.Popen([*command, *order], stderr=subprocess.PIPE, text=True) for order in (parts, parts[::-1])
    ]
    for process in running:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    events = read_latest_events(home)
    assert events.height == events["event_id"].n_unique() == 120


def test_a_full_disk_is_told_in_one_sentence_and_loses_nothing(tmp_path: Path, home: Home) -> None:
    before = take(home, put(tmp_path, "a.csv", table(0, 50)))
    path = put(tmp_path, "b.csv", table(0, 20_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(
            StoreError, match=r"no space left under .*: nothing was changed; free some and run again"
        ) as told:
            take(home, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(told.value)
    assert read_events(home, before.data).height == 50
    assert take(home, path).data["events"]["rows"] == 20_000


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_read_only_home_is_told_in_one_sentence(open_folder: Path) -> None:
    tmp_path = open_folder
    path = put(tmp_path, "a.csv", table(0, 50))
    home = tmp_path / "home"
    take(Home(home), path)
    newer = put(tmp_path, "b.csv", table(0, 60))
    script = textwrap.dedent(
        """
        import os, sys
        from components.recsys.errors import StoreError
        from components.recsys.events import ingest
        from components.recsys.home import Home
        from components.recsys.settings import DataSettings
        import deltalake
        home, path = sys.argv[1:]
        for folder, _, files in os.walk(home):
            os.chmod(folder, 0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            ingest(Home(home), {"events": path}, DataSettings())
        except StoreError as error:
            print(error)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(home), newer],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
    )
    for folder in [home, *home.rglob("*/")]:
        folder.chmod(0o755)
    assert done.stdout.strip() == f"{home} cannot be written (read-only or not yours); choose another --home", (
        done.stderr
    )
    assert take(Home(home), path).data["events"]["rows"] == 50


def test_a_lost_race_is_retried_with_the_table_as_it_is_then(home: Home) -> None:
    frame = pl.DataFrame({"event_id": ["a"], "n": [1]})
    tables.append_once(home, "events", "x", 1, lambda table: frame)
    seen: list[int] = []

    def rows(table: object) -> pl.DataFrame:
        seen.append(tables.frame_of(home, table).height)
        if len(seen) == 1:
            tables.append_once(home, "events", "other", 1, lambda table: frame)
        return frame

    assert tables.append_once(home, "events", "y", 1, rows).version == 2
    assert seen == [1, 2]
