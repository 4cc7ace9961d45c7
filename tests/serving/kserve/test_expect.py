"""`everloop serve --expect`: the very release that was asked for answers, or nothing does and the process says why."""

import hashlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.recsys.errors import InputError, NotFound, Refused, StoreError
from components.recsys.release import MANIFEST, load_at
from components.recsys.settings import ServingSettings, Settings
from components.recsys.store import open_store
from serving.server import prepared, running

ANY_PORT = Settings(serving=ServingSettings(port=0, history="memory://"))


@pytest.fixture
def folder(small_world: Any, tmp_path: Path) -> Path:
    """A copy of the release, as a storage initializer leaves it: without the digest in the path."""
    return Path(shutil.copytree(small_world.home / "releases" / small_world.digest, tmp_path / "models"))


@pytest.fixture
def in_bucket(folder: Path, s3_url: str) -> str:
    store = open_store(s3_url)
    for file in folder.iterdir():
        store.write(f"releases/it/{file.name}", file.read_bytes())
    return f"{s3_url}/releases/it"


def start(place: Path | str, expect: str) -> None:
    """What the process does before it is ready."""
    with prepared("", ANY_PORT, str(place), lambda text: None, expect):
        pass


def test_the_release_that_was_asked_for_is_served(folder: Path, small_world: Any) -> None:
    with running("", ANY_PORT, str(folder), expect=small_world.digest) as url:
        assert httpx.get(f"{url}/readyz").status_code == 200
        assert httpx.get(f"{url}/v1/models/everloop").json()["release"] == small_world.digest


def test_it_is_read_straight_from_object_storage(in_bucket: str, small_world: Any) -> None:
    with running("", ANY_PORT, in_bucket, expect=small_world.digest) as url:
        body = {"instances": [{"history": ["f2"], "k": 3}]}
        answer = httpx.post(f"{url}/v1/models/everloop:predict", json=body).json()["predictions"][0]
    assert answer["release"] == small_world.digest
    assert len(answer["items"]) == 3


@pytest.mark.parametrize("name", ["weights.safetensors", "catalogue.parquet", "card.md", MANIFEST])
def test_a_file_that_was_tampered_with(name: str, folder: Path, small_world: Any) -> None:
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(raw)
    with pytest.raises(Refused, match="not what was released"):
        start(folder, small_world.digest)


def test_a_manifest_that_was_made_to_fit_the_tampered_file(folder: Path, small_world: Any) -> None:
    """Whoever can write there can write a new manifest, too; the digest that was asked for then is another one."""
    from components.recsys.release import _digest, _seal, _written

    (folder / "card.md").write_bytes(b"# Trust me\n")
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"]["card.md"] = hashlib.sha256(b"# Trust me\n").hexdigest()
    manifest["digest"] = _digest(manifest)
    manifest["seal"] = _seal(manifest)
    (folder / MANIFEST).write_bytes(_written(manifest))
    assert load_at(str(folder)).digest == manifest["digest"]  # sound by itself
    with pytest.raises(Refused, match=r"not .* that was asked for"):
        start(folder, small_world.digest)
    manifest["digest"] = small_world.digest  # and one that lies about its digest
    manifest["seal"] = _seal(manifest)
    (folder / MANIFEST).write_bytes(_written(manifest))
    with pytest.raises(Refused, match="not what was released"):
        start(folder, small_world.digest)


def test_another_release(folder: Path, small_world: Any) -> None:
    asked = "ab" * 32
    with pytest.raises(Refused, match=f"holds release {small_world.digest[:12]}, not abababababab") as refusal:
        start(folder, asked)
    assert refusal.value.exit_code == 1


def test_a_missing_file(folder: Path, small_world: Any) -> None:
    (folder / "catalogue.parquet").unlink()
    with pytest.raises(Refused, match=r"lacks catalogue.parquet: it is incomplete"):
        start(folder, small_world.digest)


@pytest.mark.parametrize("bytes_kept", [0, 1, 100])
def test_a_file_of_which_a_part_was_downloaded(bytes_kept: int, folder: Path, small_world: Any) -> None:
    raw = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(raw[:bytes_kept])
    with pytest.raises(Refused, match=r"weights.safetensors is not what was released"):
        start(folder, small_world.digest)


def test_a_download_that_was_cut_off_before_the_manifest(folder: Path, small_world: Any) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(
        NotFound, match=r"holds no release.json: only card.md, catalogue.parquet, reference.json; it was not copied"
    ):
        start(folder, small_world.digest)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="it is no release"):
        start(tmp_path, "ab" * 32)


def test_an_upload_that_is_under_way(in_bucket: str, s3_url: str, small_world: Any) -> None:
    open_store(s3_url).delete("releases/it/release.json")
    with pytest.raises(NotFound, match="was not copied there whole"):
        start(in_bucket, small_world.digest)


def test_a_bucket_that_is_not_there(in_bucket: str, small_world: Any) -> None:
    with pytest.raises(StoreError, match="the bucket does not exist"):
        start("s3://nobody-made-this/home/releases/it", small_world.digest)


def test_expect_without_a_place(small_world: Any) -> None:
    with (
        pytest.raises(InputError, match="--model-dir"),
        prepared(str(small_world.home), ANY_PORT, None, print, "ab" * 32),
    ):
        pass


def test_it_is_not_ready_before_it_is_verified(folder: Path, small_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow store: the port is open from the first moment, and nothing answers on it until the last byte was checked."""
    import serving.server

    go_on = threading.Event()

    def slowly(place: str, expect: str) -> Any:
        assert go_on.wait(20)
        return load_at(place, expect)

    monkeypatch.setattr(serving.server, "load_at", slowly)
    settings = Settings(serving=ServingSettings(port=_free_port(), history="memory://"))
    url = f"http://127.0.0.1:{settings.serving.port}"
    ready: list[str] = []

    def serve() -> None:
        with running("", settings, str(folder), expect=small_world.digest) as told:
            ready.append(told)
            done.wait(20)

    done = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/readyz", timeout=0.5)
        assert ready == []
        go_on.set()
        deadline = time.monotonic() + 20
        while not ready and time.monotonic() < deadline:
            time.sleep(0.01)
        assert httpx.get(f"{url}/readyz", timeout=20).status_code == 200
    finally:
        go_on.set()
        done.set()
        thread.join()


def test_the_process_ends_with_a_code_and_its_last_line_says_why(folder: Path, small_world: Any) -> None:
    """Kubernetes keeps the last lines of the log as the pod's status, from which the rollout engine reads the reason."""
    command = [sys.executable, "-m", "pipelines.cli", "serve", "--port", "0", "--model-dir", str(folder)]
    ended = subprocess.run([*command, "--expect", "ab" * 32], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "not abababababab that was asked for" in last
    assert "Traceback" not in ended.stderr


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
