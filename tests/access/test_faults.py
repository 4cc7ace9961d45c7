"""What people are told when the store refuses, is not there, is slow or breaks off; and that nothing is served by halves.

The server is real, its policies are those that are handed out, and each part asks with a key of its own.
"""

import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from components.recsys import store as stores
from components.recsys.errors import NotFound, Refused, StoreError
from components.recsys.events import ingest
from components.recsys.frames import Catalogue, Interactions
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.models.base import Training
from components.recsys.models.ease import EASE
from components.recsys.release import load_at, releases_of, save
from components.recsys.settings import Settings, load_settings
from components.recsys.store import open_store
from pipelines import cli
from pipelines.access.uses import PARTS, USES, Action, allowed
from serving.gateway.server import running as gateway
from serving.server import running as predictor
from tests.access.s3 import ADMIN, BUCKET, Place

Json = dict[str, Any]
KEYS = sorted({f"{use.path}tried" if use.path.endswith("/") else use.path for use in USES})

# What somebody has is tried with everybody's key; reading and writing everywhere.
TRIED: dict[str, tuple[Action, ...]] = {
    key: (
        "read",
        "write",
        *(action for action in ("list", "delete") if any(allowed(part, action, key) for part in PARTS)),
    )  # type: ignore[arg-type, misc]
    for key in KEYS
}


@pytest.fixture
def place(policed_s3: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield policed_s3
    policed_s3.spoil = None
    policed_s3.lose.clear()
    policed_s3.cut.clear()


@pytest.fixture
def everloop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """A command's exit code and the sentence that it ends with."""

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["everloop", *words, "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        value = json.loads(said.out) if said.out.strip() else {}
        return int(ended.value.code or 0), str(value.get("error", ""))

    return call


@pytest.fixture
def home(place: Place, tmp_path: Path) -> str:
    """A home with a champion of no merit, under a prefix of its own where the policies do not reach: for an administrator."""
    url = f"s3://{BUCKET.name}/{tmp_path.name}"
    with place.acting(ADMIN):
        release(Home(url))
    return url


def release(home: Home) -> str:
    """A small one, and the ledger's line that makes it champion."""
    day = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        (f"u{user}", f"i{(user % 3) * 3 + item}", day + timedelta(hours=item))
        for user in range(12)
        for item in range(3)
    ]
    interactions = Interactions.from_frame(pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row"))
    catalogue = Catalogue.empty(interactions.items)
    model = EASE(EASE.Config(l2=10, half_life=None)).fit(Training(interactions, catalogue))
    digest = save(releases_of(home), model, catalogue, {"settings": {}}, {}, card="# Small")
    Ledger(home).append("promote", digest, "the first")
    return digest


def client(place: Place, part: str) -> Any:
    environment = place.environment(part)
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )


@pytest.mark.parametrize("part", PARTS)
def test_the_server_gives_a_key_exactly_the_rights_of_its_part(part: str, place: Place) -> None:
    """Every path of every part, asked with this part's key: where the table says no, the server says 403."""
    s3, wrong = client(place, part), []

    def granted(action: Action, key: str) -> bool:
        name = BUCKET.key(key)
        try:
            if action == "list":
                s3.list_objects_v2(Bucket=BUCKET.name, Prefix=name, MaxKeys=1)
            elif action == "read":
                s3.head_object(Bucket=BUCKET.name, Key=name)
            elif action == "delete":
                s3.delete_object(Bucket=BUCKET.name, Key=name + ".tried")
            else:
                s3.put_object(Bucket=BUCKET.name, Key=name + ".tried", Body=b"")
        except ClientError as error:
            return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] != 403)
        return True

    for key in KEYS:
        for action in TRIED[key]:
            asked = key if action in ("list", "read") else f"{key}.tried"
            # Of a server that knows no condition on If-None-Match, who may create may replace.
            expected = allowed(part, action, asked) or (action == "write" and allowed(part, "create", asked))  # type: ignore[arg-type]
            if granted(action, key) is not expected:  # type: ignore[arg-type]
                wrong.append((action, key, expected))
    s3.close()
    assert wrong == []


@pytest.mark.parametrize(
    ("part", "words", "sentence"),
    [
        ("predictor", ["releases"], "this key may not list ledger/"),
        ("predictor", ["rollback"], "this key may not list ledger/"),
        ("controller", ["rollout", "policy", "direct"], "this key may not write policy.json"),
        ("auditor", ["rollout", "policy", "direct"], "this key may not write policy.json"),
        ("monitor", ["rollout", "status"], "this key may not"),
        ("gateway", ["rollout", "policy"], "this key may not read policy.json"),
        ("steps", ["status"], "this key may not read status/"),
    ],
)
def test_with_another_parts_key_a_command_says_what_it_may_not(
    place: Place, everloop: Any, part: str, words: list[str], sentence: str
) -> None:
    with place.acting(part):
        code, said = everloop(*words, "--home", place.home)
    assert code == StoreError.exit_code
    assert said.startswith(f"{place.home}: access denied (")
    assert sentence in said
    assert said.endswith("docs/kubernetes/access.md has the rights of each part")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("part", ["monitor", "predictor"])
def test_steps_with_another_parts_key_change_nothing(place: Place, part: str, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\nu,i,1700000000\n")
    with place.acting(ADMIN):
        before = open_store(place.home).list()
    with place.acting(part), pytest.raises(StoreError) as refused:
        ingest(Home(place.home), {"events": str(tmp_path / "events.csv")}, Settings().data)
    assert len(str(refused.value).splitlines()) == 1
    with place.acting(ADMIN):
        assert open_store(place.home).list() == before


@pytest.mark.parametrize(
    ("key", "secret", "sentence"),
    [
        ("nobody", "", "access denied (InvalidAccessKeyId): the store knows no such key; check AWS_ACCESS_KEY_ID"),
        (ADMIN, "wrong", "access denied (SignatureDoesNotMatch): the secret does not belong to the key; check AWS_SECRET_ACCESS_KEY"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_told_from_a_wrong_secret(
    place: Place, everloop: Any, key: str, secret: str, sentence: str
) -> None:
    with place.acting(key, secret):
        code, said = everloop("releases", "--home", place.home)
        assert (code, said) == (3, f"{place.home}: {sentence}")
        with pytest.raises(StoreError, match="access denied"), gateway(place.home, Settings()):
            pass


def test_no_key_at_all_is_one_sentence(place: Place, everloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with place.acting(ADMIN):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del os.environ[name]
        code, said = everloop("releases", "--home", place.home)
    assert code == 3
    assert "there is no key; set AWS_ACCESS_KEY_ID" in said


def test_a_missing_bucket_is_one_sentence(place: Place, everloop: Any) -> None:
    with place.acting(ADMIN):
        code, said = everloop("releases", "--home", "s3://everloop-no-such-bucket/home")
    assert (code, said) == (
        3,
        "s3://everloop-no-such-bucket/home: the bucket does not exist; make it, or name another --home",
    )


def test_a_slow_store_is_waited_for_and_a_silent_one_given_up_with_a_sentence(
    place: Place, everloop: Any, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "ANSWER_SECONDS", 0.4)
    monkeypatch.setattr(stores, "ATTEMPTS", 2)
    never = threading.Event()

    def slow(action: str, key: str, handler: Any) -> bool:
        return bool(never.wait(0.1))  # each answer comes late, but comes

    def silent(action: str, key: str, handler: Any) -> bool:
        never.wait(3)
        handler.close_connection = True
        return True

    with place.acting(ADMIN):
        place.spoil = slow
        code, said = everloop("releases", "--home", home)
        assert (code, said) == (0, "")
        place.spoil = silent
        code, said = everloop("releases", "--home", home)
    never.set()
    assert code == 3
    assert "the store was silent for 0.4 seconds, 2 times, when asked to list ledger/" in said


def test_a_release_whose_upload_broke_off_is_never_served(place: Place, tmp_path: Path) -> None:
    """The manifest goes last: until it is there, there is no release, no ledger entry, and nothing to load."""
    url = f"s3://{BUCKET.name}/{tmp_path.name}"

    def breaks_off(action: str, key: str, handler: Any) -> bool:
        if key.endswith("release.json") and handler.command == "PUT":
            handler.send_error(500)
            handler.close_connection = True
            return True
        return False

    with place.acting(ADMIN):
        home = Home(url)
        place.spoil = breaks_off
        with pytest.raises(StoreError):
            release(home)
        place.spoil = None
        [digest] = {key.split("/")[0] for key in releases_of(home).list()}
        assert Ledger(home).entries() == []
        with pytest.raises(NotFound, match=r"holds no release.json: only .* it was not copied there whole"):
            load_at(f"{url}/releases/{digest}", digest)
        settings = load_settings(None, ["serving.port=0", "serving.history=memory://"])
        with (
            pytest.raises(NotFound, match="it was not copied there whole"),
            predictor(url, settings, f"{url}/releases/{digest}", expect=digest),
        ):
            pass
        assert release(home) == digest  # run again: the same release, whole
        assert load_at(f"{url}/releases/{digest}", digest).digest == digest


def test_a_large_file_whose_upload_broke_off_is_not_there(place: Place, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(20_000_000))  # above boto3's limit for one request

    def breaks_off(action: str, key: str, handler: Any) -> bool:
        if "partNumber=2" in handler.path:
            handler.send_error(500)
            handler.close_connection = True
            return True
        return False

    with place.acting("operator"):
        store = open_store(place.home)
        place.spoil = breaks_off
        with pytest.raises(StoreError):
            store.upload("landing/large/events.csv", tmp_path / "large")
        place.spoil = None
        assert store.list("landing/large") == []
        store.upload("landing/large/events.csv", tmp_path / "large")
    with place.acting("steps"):
        read = open_store(place.home).read("landing/large/events.csv")
    assert hashlib.sha256(read).digest() == hashlib.sha256((tmp_path / "large").read_bytes()).digest()


def test_a_body_that_breaks_off_is_read_again_and_given_up_with_a_sentence(place: Place) -> None:
    with place.acting(ADMIN):
        store = open_store(place.home)
        store.write("whole", os.urandom(100_000))
        place.cut["whole"] = 2
        assert len(store.read("whole")) == 100_000
        place.cut["whole"] = 9
        with pytest.raises(StoreError, match="whole broke off while it was read, 3 times"):
            store.read("whole")
        store.delete("whole")


def test_bytes_that_changed_on_their_way_are_refused(place: Place, home: str) -> None:
    """Read whole, but not what was released: by the digest, and with its name."""
    with place.acting(ADMIN):
        releases = releases_of(Home(home))
        digest = next(key.split("/")[0] for key in releases.list())
        whole = releases.read(f"{digest}/card.md")
        releases.write(f"{digest}/card.md", whole + b" ")
        with pytest.raises(Refused, match=r"card.md is not what was released"):
            load_at(f"{home}/releases/{digest}", digest)
        releases.write(f"{digest}/card.md", whole)
        assert load_at(f"{home}/releases/{digest}", digest).digest == digest
