"""The prediction log: what is accepted reaches the sink, or is counted as dropped, whatever sink and disk do."""

import fcntl
import gzip
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from components.recsys.errors import StoreError
from components.recsys.predictions import PREDICTIONS, Prediction, Shown, prediction_of, read_predictions
from components.recsys.settings import LogSettings
from components.recsys.store import FolderStore, open_store
from serving.predictions import uploads
from serving.predictions.log import PredictionLog

QUICK = {"flush_seconds": 0.02, "segment_seconds": 0.05}


def record(number, day="2026-11-24", items=3):
    shown = tuple(Shown(f"item-{place}", 1.0, 0.25) for place in range(items))
    return Prediction(f"r{number}", f"{day}T10:00:00+00:00", "key", "rel", "champion", shown, ("a", "b"), items, 1.5)


class Dying(FolderStore):
    """A folder that is out of reach while `dead`."""

    dead = False

    def create(self, key, data):
        if self.dead:
            raise StoreError("the sink is dead")
        return super().create(key, data)


@pytest.fixture
def sink(tmp_path):
    return Dying(str(tmp_path / "home"))


@pytest.fixture
def made(tmp_path, sink):
    """A factory of logs, closed in the end."""
    logs = []

    def make(store=None, writer="gateway", **settings):
        registry = CollectorRegistry()
        log = PredictionLog(LogSettings(**{**QUICK, **settings}), store or sink, tmp_path / "spool", writer, registry)
        log.registry = registry
        logs.append(log)
        return log

    yield make
    for log in logs:
        log.close(seconds=1)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(uploads, "LONGEST", 0.1)
    monkeypatch.setattr(uploads, "LOOK", 0.1)


def until(what, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def ids(store):
    return sorted(int(each.request_id[1:]) for each in read_predictions(store, set()))


def spooled(folder):
    """Ids of the records on disk, as the next start would find them."""
    lines = [line for path in folder.glob("*.*") for line in path.read_bytes().split(b"\n")[:-1]]
    return sorted(int(prediction_of(line).request_id[1:]) for line in lines)


def count(log, outcome):
    return log.registry.get_sample_value("everloop_log_records_total", {"outcome": outcome})


def test_what_is_appended_lies_in_the_home_under_its_day_and_nothing_stays_behind(made, sink, tmp_path):
    log = made(writer="gateway.1")
    for number in range(10):
        assert log.append(record(number, day="2026-11-23" if number < 4 else "2026-11-24"))
    log.close()
    keys = sink.list(PREDICTIONS)
    assert [key.rsplit("-", 1)[0] for key in keys] == [f"{PREDICTIONS}/2026-11-{day}/gateway-1" for day in (23, 24)]
    assert next(read_predictions(sink, set())) == record(0, day="2026-11-23")
    assert ids(sink) == list(range(10))
    assert spooled(tmp_path / "spool") == []
    facts = log.facts()
    assert (facts["spooled"], facts["queued"], facts["spool_bytes"], facts["dropped"]) == (10, 0, 0, 0)
    assert facts["fault"] == ""
    assert log.registry.get_sample_value("everloop_log_uploads_total", {"outcome": "ok"}) == 2
    assert not log.append(record(11))


def test_segments_close_by_age_without_being_told_to(made, sink):
    log = made()
    log.append(record(0))
    until(lambda: ids(sink) == [0])
    assert log.facts()["upload_age_seconds"] < 5


def test_segments_close_by_size(made, sink):
    log = made(segment_seconds=60, segment_bytes=1024)
    for number in range(50):
        log.append(record(number))
    log.close()
    sizes = [len(gzip.decompress(sink.read(key))) for key in sink.list(PREDICTIONS)]
    assert len(sizes) > 5
    assert max(sizes) <= 1024
    assert ids(sink) == list(range(50))


def test_while_the_sink_is_dead_the_spool_keeps_everything_and_appending_notices_nothing(made, sink, tmp_path):
    sink.dead = True
    log = made()
    for number in range(300):
        began = time.perf_counter()
        assert log.append(record(number))
        assert time.perf_counter() - began < 0.05
        if number % 100 == 0:
            assert log.flush()
    until(lambda: log.facts()["fault"] == "the sink is dead")
    assert sink.list(PREDICTIONS) == []
    assert log.registry.get_sample_value("everloop_log_uploads_total", {"outcome": "failed"}) >= 1
    assert log.flush()
    assert spooled(tmp_path / "spool") == list(range(300))
    assert log.facts()["spool_bytes"] > 300 * 100

    sink.dead = False
    until(lambda: ids(sink) == list(range(300)))
    until(lambda: (log.facts()["spool_bytes"], log.facts()["fault"]) == (0, ""))
    assert log.facts()["dropped"] == 0


def test_an_s3_sink_that_is_dead_and_comes_back_gets_everything(s3_url, monkeypatch, made, tmp_path):
    """The sink's own URL, over real sockets: first nothing listens there."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    log = made(sink=s3_url)
    for number in range(20):
        assert log.append(record(number))
    until(lambda: log.facts()["fault"], seconds=30)
    assert log.flush()
    assert spooled(tmp_path / "spool") == list(range(20))
    log.close(seconds=0.1)

    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    back = made(sink=s3_url)
    until(lambda: ids(open_store(s3_url)) == list(range(20)))
    until(lambda: back.facts()["spool_bytes"] == 0)


def test_closing_does_not_wait_for_a_sink_that_hangs(made, sink, tmp_path):
    """As SIGTERM does: everything on disk, one try, and the rest at the next start."""
    asked, answered = threading.Event(), threading.Event()

    class Hanging(Dying):
        def create(self, key, data):
            asked.set()
            answered.wait(20)
            return super().create(key, data)

    log = made(store=Hanging(sink.url))
    log.append(record(0))
    assert asked.wait(10)
    log.append(record(1))
    began = time.monotonic()
    log.close(seconds=0.2)
    assert time.monotonic() - began < 5
    assert spooled(tmp_path / "spool") == [0, 1]
    answered.set()
    log.uploader.thread.join(10)
    made()
    until(lambda: ids(sink) == [0, 1])


def test_beyond_the_spools_limit_records_are_dropped_and_counted_and_it_goes_on_when_there_is_room(made, sink):
    sink.dead = True
    size = len(record(0).to_json()) + 1
    log = made(spool_bytes=10 * size + size // 2)
    for number in range(10):
        log.append(record(number))
    assert log.flush()
    assert log.facts()["dropped"] == 0
    for number in range(10, 25):
        assert log.append(record(number % 10)), "memory is not full"
    assert log.flush()
    assert log.facts()["dropped_by"]["spool"] == 15
    assert count(log, "dropped_spool") == 15
    assert log.facts()["spool_bytes"] <= log.settings.spool_bytes
    sink.dead = False
    until(lambda: ids(sink) == list(range(10)))
    until(lambda: log.facts()["spool_bytes"] == 0)
    log.append(record(99))
    until(lambda: 99 in ids(sink))


def test_memory_holds_no_more_than_its_limit(made, tmp_path, sink):
    """The writer is held up: somebody else has the spool's lock."""
    (tmp_path / "spool").mkdir()
    with (tmp_path / "spool" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        log = made(memory_records=50)
        kept = [log.append(record(number)) for number in range(80)]
        assert kept == [True] * 50 + [False] * 30
        assert log.facts()["queued"] == 50
        assert count(log, "dropped_memory") == log.facts()["dropped"] == 30
    until(lambda: ids(sink) == list(range(50)))
    assert log.append(record(50))


def test_an_id_that_is_no_text_is_dropped_and_counted_and_the_next_record_is_kept(made, sink):
    log = made()
    broken = Prediction("r\ud800", "2026-11-24T10:00:00+00:00", "key", "rel", "champion", (), (), 0, 1.0)
    log.append(broken)
    log.append(record(1))
    until(lambda: ids(sink) == [1])
    assert log.facts()["dropped_by"]["invalid"] == 1


def test_what_a_dead_process_left_is_adopted_without_its_torn_last_line(made, sink, tmp_path):
    (tmp_path / "spool").mkdir()
    left = tmp_path / "spool" / "2026-11-20.gateway-7.open"
    left.write_bytes(
        record(1).to_json() + b"\n" + b"\x00" * 20 + b"\n" + record(2).to_json() + b"\n" + b'{"request_id":"r3"'
    )
    (tmp_path / "spool" / "2026-11-20.gateway-8.open").write_bytes(b'{"torn')
    log = made()
    until(lambda: ids(sink) == [1, 2])
    assert sink.list(PREDICTIONS) == [f"{PREDICTIONS}/2026-11-20/gateway-7.jsonl.gz"]
    until(lambda: log.facts()["spool_bytes"] == 0)


def test_after_a_crash_between_upload_and_delete_nothing_is_there_twice(made, sink, tmp_path):
    (tmp_path / "spool").mkdir()
    line = record(1).to_json() + b"\n"
    (tmp_path / "spool" / "2026-11-20.gateway-7.jsonl").write_bytes(line)
    key = f"{PREDICTIONS}/2026-11-20/gateway-7.jsonl.gz"
    sink.create(key, gzip.compress(line, compresslevel=1))  # by another version of zlib, say
    log = made()
    until(lambda: log.facts()["spool_bytes"] == 0 and not list((tmp_path / "spool").glob("*.jsonl")))
    assert sink.list(PREDICTIONS) == [key]
    assert log.registry.get_sample_value("everloop_log_uploads_total", {"outcome": "known"}) == 1


def test_a_name_that_another_writer_has_taken_is_changed_and_not_overwritten(made, sink, tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "2026-11-20.gateway-7.jsonl").write_bytes(record(1).to_json() + b"\n")
    sink.create(f"{PREDICTIONS}/2026-11-20/gateway-7.jsonl.gz", gzip.compress(record(2).to_json() + b"\n"))
    made()
    until(lambda: ids(sink) == [1, 2])


def test_two_writers_share_a_home_and_a_spool(made, sink, tmp_path):
    first, second = made(writer="same"), made(writer="same")
    for number in range(0, 200, 2):
        assert first.append(record(number))
        assert second.append(record(number + 1))
    first.close()
    second.close()
    assert ids(sink) == list(range(200))
    assert len(list(read_predictions(sink, set()))) == 200
    assert spooled(tmp_path / "spool") == []


def test_a_spool_that_cannot_be_made_stops_nobody_and_is_used_once_it_can(made, sink, tmp_path):
    (tmp_path / "spool").write_text("a file where the folder should be")
    log = made(memory_records=5)
    assert all(log.append(record(number)) for number in range(5))
    until(lambda: log.facts()["fault"])
    assert not log.flush(seconds=0.2)
    assert not log.append(record(5))
    assert count(log, "dropped_disk") == 1
    (tmp_path / "spool").unlink()
    until(lambda: ids(sink) == list(range(5)))
    assert log.facts()["fault"] == ""


FULL = """
import resource, signal, sys, time
from pathlib import Path
from prometheus_client import CollectorRegistry
from components.recsys.predictions import Prediction, Shown
from components.recsys.settings import LogSettings
from components.recsys.store import open_store
from serving.predictions.log import PredictionLog

def record(number):
    shown = (Shown("a", 1.0, 0.5),)
    return Prediction(f"r{number}", "2026-11-24T10:00:00+00:00", "key", "rel", "champion", shown, ("a",), 1, 1.5)

folder = Path(sys.argv[1])
settings = LogSettings(flush_seconds=0.02, segment_seconds=60, memory_records=100)
log = PredictionLog(settings, open_store(str(folder / "home")), folder / "spool", "gateway", CollectorRegistry())
"""


def run(program, folder):
    command = [sys.executable, "-c", FULL + program, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path.cwd())


def test_a_full_disk_never_reaches_the_gateway_and_what_memory_held_is_kept(tmp_path, sink):
    """The kernel refuses every byte that would make a file longer (RLIMIT_FSIZE), then no more."""
    program = """
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
for number in range(50): assert log.append(record(number))
assert log.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))
kept = [log.append(record(number)) for number in range(50, 200)]
assert kept[:100] == [True] * 100, kept
assert not log.flush(0.3)
assert log.facts()["fault"], log.facts()
assert not log.append(record(200))
facts = log.facts()
assert facts["dropped_by"]["disk"] >= 1 and facts["spooled"] == 50 and facts["queued"] == 100, facts
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
assert log.flush()
assert log.fault == ""
log.append(record(999))
log.close()
print(log.facts()["spooled"])
"""
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["151"]
    assert ids(sink) == [*range(150), 999]


def test_what_was_on_disk_survives_a_kill_at_any_moment(made, sink, tmp_path):
    program = """
for number in range(100000):
    assert log.append(record(number))
    if number % 40 == 39:
        assert log.flush()
        print(number, flush=True)
    if number == 400:
        open(folder / "ready", "w").close()
"""
    command = [sys.executable, "-c", FULL + program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        until(lambda: (tmp_path / "ready").exists(), seconds=60)
        process.send_signal(signal.SIGKILL)
        confirmed = [int(line) for line in process.stdout.read().split()]
    assert process.returncode == -signal.SIGKILL
    made()
    until(lambda: not list((tmp_path / "spool").glob("*.open")) and not list((tmp_path / "spool").glob("*.jsonl")))
    found = ids(sink)
    assert len(confirmed) >= 10
    assert found == list(range(len(found)))
    assert len(found) > confirmed[-1]


def test_the_limit_on_open_files_is_a_fault_of_the_disk_and_passes(made, sink, tmp_path):
    """No new segment can be opened while every descriptor is taken."""
    log = made(segment_seconds=60)
    log.append(record(0))
    assert log.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert log.append(record(1, day="2026-11-25"))
        until(lambda: log.facts()["fault"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    log.close()
    assert ids(sink) == [0, 1]
