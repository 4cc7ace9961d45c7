import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.recsys.errors import InputError, NotFound, StoreError
from components.recsys.store import FolderStore, S3Store, open_store, storage_options

names = st.text(st.sampled_from("abcü %+.-_1é漢"), min_size=1, max_size=8).filter(lambda name: name.strip(". ") == name)
keys = st.builds("{}/{}".format, names, names)
actions = st.tuples(st.sampled_from(["write", "create", "delete", "upload"]), keys, st.binary(max_size=64))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(actions, max_size=12))
def test_a_store_does_what_a_dict_does(
    store_url: str, tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    store = open_store(f"{store_url}/{time.monotonic_ns()}")
    model: dict[str, bytes] = {}
    file = tmp_path_factory.mktemp("upload") / "file"
    for action, key, data in steps:
        if action == "create":
            assert store.create(key, data) == (key not in model)
            model.setdefault(key, data)
        elif action == "delete":
            store.delete(key)
            model.pop(key, None)
        elif action == "upload":
            file.write_bytes(data)
            store.upload(key, file)
            model[key] = data
        else:
            store.write(key, data)
            model[key] = data
    assert store.list() == sorted(model)
    assert {key: store.read(key) for key in store.list()} == model
    for folder in {key.split("/")[0] for key in model}:
        assert store.list(folder) == sorted(key for key in model if key.startswith(folder + "/"))


def test_a_missing_key_is_not_found_by_name(store_url: str) -> None:
    with pytest.raises(NotFound, match=r"runs/none/result\.json does not exist"):
        open_store(store_url).read("runs/none/result.json")
    assert open_store(store_url).list("runs") == []


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(store_url: str) -> None:
    store = open_store(store_url)
    for key in ("ab/x", "abc/x", "ab/y/z"):
        store.write(key, b"1")
    assert store.list("ab") == store.list("ab/") == ["ab/x", "ab/y/z"]


def test_a_file_larger_than_one_part_arrives_whole(store_url: str, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 17  # boto3 sends parts of 8 MiB
    (tmp_path / "large").write_bytes(data)
    open_store(store_url).upload("landing/large", tmp_path / "large")
    assert open_store(store_url).read("landing/large") == data


RACE = """
import sys, time
from components.recsys.store import open_store
store, start = open_store(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0, start - time.time()))
print(sum(store.create(f"race/{number}", sys.argv[3].encode()) for number in range(20)))
"""


def test_of_several_processes_that_create_the_same_key_exactly_one_wins(store_url: str) -> None:
    start = str(time.time() + 2)
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, store_url, start, name], stdout=subprocess.PIPE, text=True)
        for name in ("a", "b", "c")
    ]
    wins = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(wins) == 20
    store = open_store(store_url)
    assert [sum(store.read(key) == name for key in store.list("race")) for name in (b"a", b"b", b"c")] == wins


def test_a_creation_whose_answer_was_lost_still_counts_as_ours(s3_url: str) -> None:
    store = S3Store(s3_url)
    _lose_first_answer(store)
    assert store.create("ledger/1", b"ours")
    assert store.read("ledger/1") == b"ours"
    assert not store.create("ledger/1", b"ours")


def _lose_first_answer(store: S3Store) -> None:
    """The first PutObject reaches the server, and the connection breaks before the answer."""
    from botocore.httpsession import URLLib3Session

    lost: list[str] = []

    def send(request: Any, **_: Any) -> None:
        if not lost:
            lost.append(request.url)
            session = URLLib3Session()
            session.send(request)
            session.close()
            raise ConnectionClosedError(endpoint_url=request.url)

    store.client.meta.events.register("before-send.s3.PutObject", send)


def test_a_full_disk_is_one_sentence_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(str(tmp_path))
    store.write("a/b", b"old")
    monkeypatch.setattr(os, "fsync", _raising(errno.ENOSPC))
    for act in (lambda: store.write("a/b", b"new"), lambda: store.create("a/c", b"new")):
        with pytest.raises(StoreError, match=r"no space left under .*: nothing was changed"):
            act()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert store.read("a/b") == b"old"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_folder_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "fsync", _raising(number))
    with pytest.raises(StoreError, match=r"cannot be written .*choose another --home"):
        FolderStore(str(tmp_path)).write("a", b"1")


def test_a_home_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/below"):
        with pytest.raises(StoreError, match="a file and not a folder; choose another --home"):
            FolderStore(str(tmp_path / folder)).write("a", b"1")


def _raising(number: int) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


WRITER = """
import sys
from components.recsys.store import open_store
store = open_store(sys.argv[1])
store.write("key", bytes(300_000))
print("ready", flush=True)
for number in range(10**9):
    store.write("key", bytes([number % 251]) * 300_000)
"""


def test_a_writer_killed_midway_leaves_the_old_bytes_or_the_new_and_nothing_else(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(0.3)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    data = FolderStore(str(tmp_path)).read("key")
    assert len(data) == 300_000
    assert len(set(data)) == 1
    assert FolderStore(str(tmp_path)).list() == ["key"]


@pytest.mark.parametrize("url", ["ftp://host/x", "gs://bucket/x", "S4://x"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(url: str) -> None:
    with pytest.raises(InputError, match="known are file://, s3:// and plain paths"):
        open_store(url)


def test_an_s3_url_without_a_bucket_is_refused(s3_url: str) -> None:
    with pytest.raises(InputError, match="name a bucket"):
        open_store("s3://")


def test_a_missing_bucket_is_one_sentence(s3_url: str) -> None:
    store = open_store("s3://no-such-bucket-here/home")
    for act in (lambda: store.write("a", b"1"), lambda: store.list(), lambda: store.create("a", b"1")):
        with pytest.raises(StoreError, match="the bucket does not exist"):
            act()


def test_an_unreachable_store_is_one_sentence(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(StoreError, match="Could not connect to the endpoint"):
        open_store("s3://bucket/home").read("a")


def test_file_urls_with_blanks_and_plain_paths_name_the_same_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my home"
    open_store(folder.as_uri()).write("a", b"1")
    assert open_store(str(folder)).read("a") == b"1"


def test_deltalake_is_told_the_endpoint_and_to_put_conditionally(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = storage_options(s3_url)
    assert options is not None
    assert options["AWS_ENDPOINT_URL"] == os.environ["AWS_ENDPOINT_URL"]
    assert (options["AWS_ALLOW_HTTP"], options["aws_conditional_put"]) == ("true", "etag")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.org")
    assert (storage_options(s3_url) or {})["AWS_ENDPOINT_URL"] == "https://s3.example.org"
    assert storage_options("/a/folder") is None
