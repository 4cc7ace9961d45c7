import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.recsys.errors import InputError, NotFound, Refused, StoreError
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models.base import Model, Training
from components.recsys.models.ease import EASE
from components.recsys.release import MANIFEST, load, load_folder, read_manifest, resolve, save, save_folder, verify
from components.recsys.store import FolderStore, Store, open_store

T0 = datetime(2026, 1, 1, tzinfo=UTC)
FILES = ("card.md", "catalogue.parquet", "reference.json", MANIFEST, "weights.safetensors")
CONTENT = {"settings": {"train": {"seed": 42}}, "code_version": "0.1.0", "metrics": {"ndcg": {"value": 0.25}}}


@pytest.fixture(scope="module")
def model() -> Model:
    """Three tastes that never mix."""
    rows = [
        (f"u{user}", f"i{(user % 3) * 3 + item}", T0 + timedelta(days=user, hours=item))
        for user in range(12)
        for item in range(3)
    ]
    interactions = Interactions.from_frame(pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row"))
    return EASE(EASE.Config(l2=10, half_life=None)).fit(Training(interactions, Catalogue.empty(interactions.items)))


@pytest.fixture
def store(store_url: str) -> Store:
    return open_store(f"{store_url}/releases")


def _save(store: Store, model: Model, content: dict[str, Any] = CONTENT, **provenance: Any) -> str:
    catalogue = Catalogue.align(model.items, pl.DataFrame({"item_id": ["i0", "i1"], "title": ["Zürich", "漢字"]}))
    return save(store, model, catalogue, content, provenance, {"popularity": [1, 2, 3]}, "# Card")


def test_a_loaded_release_scores_to_the_last_digit_what_was_saved(store: Store, model: Model) -> None:
    release = load(store, _save(store, model))
    histories = Histories.of([["i0"], ["i4", "i5"], []], model.items)
    assert np.array_equal(release.model.score(histories), model.score(histories))
    assert release.catalogue.titles()[:3] == ["Zürich", "漢字", "i2"]
    assert (release.reference, release.card) == ({"popularity": [1, 2, 3]}, "# Card")


def test_the_digest_is_of_the_content_and_not_of_times_or_circumstances(
    store: Store, tmp_path: Path, model: Model
) -> None:
    digest = _save(store, model, created="2026-01-01T00:00:00+00:00", run="one", parent="p")
    other = open_store(str(tmp_path / "other"))
    assert _save(other, model, created="2030-01-01T00:00:00+00:00", run="two") == digest
    assert _save(other, model, {**CONTENT, "code_version": "0.1.1"}) != digest
    assert read_manifest(store, digest)["run"] == "one"


def test_saving_the_same_again_keeps_what_is_there(store: Store, model: Model) -> None:
    digest = _save(store, model, run="one")
    before = {key: store.read(key) for key in store.list()}
    assert _save(store, model, run="two") == digest
    assert {key: store.read(key) for key in store.list()} == before
    assert sorted(before) == [f"{digest}/{name}" for name in FILES]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), position=st.integers(0, 10**9), flip=st.integers(1, 255))
def test_a_changed_byte_in_any_file_is_refused(store: Store, model: Model, name: str, position: int, flip: int) -> None:
    key = next((key for key in store.list() if key.endswith(name)), "") or f"{_save(store, model)}/{name}"
    whole = store.read(key)
    changed = bytearray(whole)
    changed[position % len(whole)] ^= flip
    store.write(key, bytes(changed))
    try:
        with pytest.raises(Refused, match=r"is not what was released .*so it will not be loaded"):
            load(store, key.split("/")[0])
    finally:
        store.write(key, whole)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(store: Store, model: Model, name: str) -> None:
    key = f"{_save(store, model)}/{name}"
    whole = store.read(key)
    for length in (0, len(whole) // 2, len(whole) - 1):
        store.write(key, whole[:length])
        with pytest.raises(Refused):
            load(store, key.split("/")[0])


@pytest.mark.parametrize("name", FILES[:3] + FILES[4:])
def test_a_missing_file_is_refused_by_name(store: Store, model: Model, name: str) -> None:
    digest = _save(store, model)
    store.delete(f"{digest}/{name}")
    with pytest.raises(Refused, match=f"lacks {name}: it is incomplete"):
        load(store, digest)


def test_a_manifest_of_another_release_is_refused(store: Store, model: Model) -> None:
    digest, other = _save(store, model), _save(store, model, {**CONTENT, "code_version": "9"})
    store.write(f"{digest}/{MANIFEST}", store.read(f"{other}/{MANIFEST}"))
    with pytest.raises(Refused, match=r"release\.json is not what was released"):
        verify(store, digest)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"null", b"3", b'"x"', b"{}", b'{"seal": "x", "digest": "y"}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_manifest_that_is_none_is_refused(store: Store, model: Model, raw: bytes) -> None:
    digest = _save(store, model)
    store.write(f"{digest}/{MANIFEST}", raw)
    with pytest.raises(Refused):
        read_manifest(store, digest)


def test_a_save_that_breaks_off_leaves_no_release_and_the_next_one_completes_it(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(str(tmp_path))
    write, left = FolderStore.write, [3]

    def break_off(self: FolderStore, key: str, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise StoreError("no space left")
        write(self, key, data)

    monkeypatch.setattr(FolderStore, "write", break_off)
    with pytest.raises(StoreError):
        _save(store, model)
    monkeypatch.setattr(FolderStore, "write", write)
    broken = store.list()[0].split("/")[0]
    with pytest.raises(NotFound, match=f"there is no release {broken[:12]}"):
        load(store, broken)
    assert _save(store, model) == broken
    load(store, broken)


def test_a_release_folder_by_itself_loads_from_anywhere(tmp_path: Path, model: Model) -> None:
    digest = save_folder(tmp_path / "a", model, Catalogue.empty(model.items), CONTENT, {})
    (tmp_path / "a").rename(tmp_path / "moved")
    assert load_folder(tmp_path / "moved").digest == digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved"]
    with pytest.raises(NotFound, match=r"holds no release\.json"):
        load_folder(tmp_path)
    (tmp_path / "moved" / MANIFEST).write_bytes(b"{}")
    with pytest.raises(Refused):
        load_folder(tmp_path / "moved")


def test_a_digest_is_found_by_its_beginning(store: Store, model: Model) -> None:
    started = time.monotonic()
    digests = [_save(store, model, {**CONTENT, "number": number}) for number in range(2)]
    assert [resolve(store, digest[:12]) for digest in digests] == digests
    with pytest.raises(NotFound, match="there is no release 0000ffff0000"):
        resolve(store, "0000ffff0000")
    for bad in ("", "abc", "ABCDEF", "../../etc", digests[0] + "z"):
        with pytest.raises(InputError, match="is no digest"):
            resolve(store, bad)
    assert time.monotonic() - started < 60


def test_two_releases_with_the_same_beginning_must_be_told_apart(store: Store) -> None:
    for end in ("0", "1"):
        store.write(f"{'abcd' * 15}000{end}/{MANIFEST}", b"{}")
    with pytest.raises(InputError, match="is the beginning of 2 releases; give more of it"):
        resolve(store, "abcdabcd")


def test_what_is_not_json_cannot_become_part_of_a_release(store: Store, model: Model) -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        _save(store, model, {**CONTENT, "metrics": {"ndcg": float("nan")}})
    assert store.list() == []


def test_the_manifest_names_format_model_settings_and_the_hash_of_every_file(store: Store, model: Model) -> None:
    manifest = json.loads(store.read(f"{_save(store, model)}/{MANIFEST}"))
    assert (manifest["format"], manifest["model"], manifest["settings"]) == (1, "ease", CONTENT["settings"])
    assert sorted(manifest["files"]) == sorted(set(FILES) - {MANIFEST})


def test_a_sealed_folder_that_is_no_release_of_ours_is_refused_without_a_traceback(tmp_path) -> None:
    """The seal is no signature: anybody can make one, so what is inside is not trusted either."""
    import hashlib

    from components.recsys.release import _digest, _seal, load_folder

    files = dict.fromkeys(("weights.safetensors", "catalogue.parquet", "reference.json", "card.md"), b"x")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    outside = {**hashes, "../../etc/hostname": "0" * 64}
    for number, content in enumerate(
        [
            {},
            {"format": 1},
            {"format": 1, "model": ["ease"], "files": hashes},
            {"format": 1, "model": "ease", "config": {}, "files": hashes},
            {"format": 1, "model": "ease", "config": {}, "files": outside},
            {"format": 1, "model": "ease", "config": {}, "files": []},
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        manifest = {**content, "digest": _digest(content)}
        sealed = {**manifest, "seal": _seal(manifest)}
        (folder / "release.json").write_text(json.dumps(sealed, indent=1, sort_keys=True, ensure_ascii=False))
        with pytest.raises(Refused):
            load_folder(folder)


@pytest.mark.parametrize("key", ["../escaped", "a/../../b", "/etc/hostname"])
def test_no_key_leads_out_of_a_folder(tmp_path, key: str) -> None:
    from components.recsys.store import open_store

    store = open_store(str(tmp_path / "store"))
    for use in (
        store.read,
        store.list,
        store.delete,
        lambda name: store.write(name, b""),
        lambda name: store.create(name, b""),
    ):
        with pytest.raises(InputError, match="no key"):
            use(key)
