"""A release: an immutable model directory named by its digest.

>>> release = save(folder, model, catalogue, content={...}, provenance={...})
>>> load(folder / release.digest).model.score(histories)

releases/<digest>/
  release.json         format, model, settings, data and its hashes, code version, split, metrics, parent, sha256 of every file
  weights.safetensors  the model's arrays          catalogue.parquet  the vocabulary and what is known of its items
  reference.json       statistics for drift        card.md            the model card

The digest covers everything but PROVENANCE (times and circumstances), so the same data, settings and seed give the same
digest; the seal covers PROVENANCE too, so no byte can be changed unseen. No pickle anywhere; loading verifies before it parses.
"""

import hashlib
import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.recsys.errors import InputError, NotFound, Refused
from components.recsys.frames import Catalogue
from components.recsys.home import Home
from components.recsys.models import MODELS
from components.recsys.models.base import Model
from components.recsys.settings import parse
from components.recsys.store import Store, open_store, told_as_store_error

FORMAT = 1
MANIFEST = "release.json"
FILES = {"weights.safetensors", "catalogue.parquet", "reference.json", "card.md"}  # and no others: a name is a path
PROVENANCE = ("created", "parent", "run", "data_version", "source_digest")  # sealed, but not part of the digest
SHORT = 12  # characters of a digest that people read


@dataclass(frozen=True)
class Release:
    """A verified release. manifest: release.json as a dict."""

    digest: str
    manifest: dict[str, Any]
    model: Model
    catalogue: Catalogue
    reference: dict[str, Any]
    card: str


def save(
    store: Store,
    model: Model,
    catalogue: Catalogue,
    content: Mapping[str, Any],
    provenance: Mapping[str, Any],
    reference: Mapping[str, Any] | None = None,
    card: str = "",
) -> str:
    """Write a release under `<digest>/` of a store and return the digest. release.json goes last: without it there is no release.

    content: what the digest covers beside the files (settings, data, code_version, split, metrics ...), JSON only.
    provenance: keys of PROVENANCE; `created` is now when not given.
    """
    from safetensors.numpy import save as tensors

    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(model.weights().items())}
    parquet = io.BytesIO()
    catalogue.frame.write_parquet(parquet, compression="zstd", statistics=False)
    files = {
        "weights.safetensors": tensors(arrays),
        "catalogue.parquet": parquet.getvalue(),
        "reference.json": canonical(dict(reference or {})),
        "card.md": card.encode(),
    }
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "model": model.name,
        "config": model.config.model_dump(mode="json"),
        **content,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    digest = _digest(manifest)
    unknown = set(provenance) - set(PROVENANCE)
    assert not unknown, f"not provenance: {unknown}"
    manifest |= {"created": datetime.now(UTC).isoformat(timespec="seconds"), **provenance, "digest": digest}
    manifest["seal"] = _seal(manifest)
    existing = store.list(digest)
    if f"{digest}/{MANIFEST}" in existing:
        verify(store, digest)
        return digest
    for name, data in files.items():
        store.write(f"{digest}/{name}", data)
    store.write(f"{digest}/{MANIFEST}", _written(manifest))
    return digest


def save_folder(folder: Path, *arguments: Any) -> str:
    """A release right in `folder` (no digest in its path), for one model by hand. Arguments as for `save`, without the store."""
    with tempfile.TemporaryDirectory(dir=_made(folder).parent, prefix=".release-") as staged:
        digest = save(open_store(staged), *arguments)
        for file in sorted((Path(staged) / digest).iterdir(), key=lambda path: path.name == MANIFEST):
            file.replace(folder / file.name)
    return digest


def load_folder(folder: Path) -> Release:
    """A verified release from any folder that holds one, as KServe's storage initializer gives it."""
    return load_at(str(folder))


def load_at(place: str, expect: str = "") -> Release:
    """A verified release from any folder or s3:// prefix that holds one. expect: the digest that it must have.

    Raises NotFound when nothing, or only a part, has arrived there, Refused when it is something else.
    """
    store = open_store(place)
    try:
        digest = str(json.loads(store.read(MANIFEST))["digest"])
    except NotFound:
        found = ", ".join(store.list()[:3])
        why = f"only {found}; it was not copied there whole" if found else "it is no release"
        raise NotFound(f"{place} holds no {MANIFEST}: {why}") from None
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{place}/{MANIFEST} is not what was released, so it will not be loaded") from None
    read_manifest(store, digest, "")  # a manifest that is damaged is told as such, not as another release
    if expect and digest != expect:
        raise Refused(
            f"{place} holds release {digest[:SHORT]}, not {expect[:SHORT]} that was asked for: it will not be served"
        )
    return load(store, digest, "")


def verify(store: Store, digest: str, prefix: str | None = None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the files' bytes, each checked against the digest. Raises Refused when a byte differs, NotFound without it.

    prefix: the folder in the store, the digest by default.
    """
    manifest = read_manifest(store, digest, prefix)
    if not isinstance(manifest.get("files"), dict) or set(manifest["files"]) != FILES:
        raise Refused(
            f"release {digest[:SHORT]} names other files than {', '.join(sorted(FILES))}: it will not be loaded"
        )
    files = {}
    for name, expected in sorted(manifest["files"].items()):
        try:
            data = store.read(_key(prefix, digest, name))
        except NotFound:
            raise Refused(f"release {digest[:SHORT]} lacks {name}: it is incomplete and will not be loaded") from None
        if hashlib.sha256(data).hexdigest() != expected:
            raise Refused(
                f"release {digest[:SHORT]}: {name} is not what was released (its hash differs), so it will not be loaded"
            )
        files[name] = data
    return manifest, files


def read_manifest(store: Store, digest: str, prefix: str | None = None) -> dict[str, Any]:
    """release.json, its seal and digest checked; the other files are not read."""
    try:
        raw = store.read(_key(prefix, digest, MANIFEST))
    except NotFound:
        raise NotFound(f"there is no release {digest[:SHORT]}; see `everloop releases`") from None
    try:
        manifest = json.loads(raw)
        sound = (
            raw == _written(manifest)
            and manifest["seal"] == _seal(manifest)
            and manifest["digest"] == _digest(manifest)
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound or manifest["digest"] != digest:
        raise Refused(
            f"release {digest[:SHORT]}: {MANIFEST} is not what was released (its seal differs), so it will not be loaded"
        )
    if manifest.get("format") != FORMAT:
        raise Refused(
            f"release {digest[:SHORT]} has format {manifest.get('format')}; this Everloop reads format {FORMAT}"
        )
    return dict(manifest)


def load(store: Store, digest: str, prefix: str | None = None) -> Release:
    """A verified release, ready to score."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as tensors

    manifest, files = verify(store, digest, prefix)
    try:
        kind = MODELS[manifest["model"]]
    except (KeyError, TypeError):
        raise Refused(
            f"release {digest[:SHORT]} holds a {str(manifest.get('model'))[:40]!r}, which this Everloop does not know"
        ) from None
    try:
        catalogue = Catalogue(pl.read_parquet(io.BytesIO(files["catalogue.parquet"])))
        model = kind(parse(kind.Config, manifest["config"]), items=catalogue.items)
        model = model.load(tensors(files["weights.safetensors"]))
        reference, text = json.loads(files["reference.json"]), files["card.md"].decode()
    except (InputError, KeyError, TypeError, ValueError, SafetensorError, pl.exceptions.PolarsError) as error:
        raise Refused(
            f"release {digest[:SHORT]} cannot be read ({str(error).splitlines()[0][:120]}): it was not made by this Everloop"
        ) from None
    return Release(digest, manifest, model, catalogue, reference, text)


def releases_of(home: Home) -> Store:
    """The store of a home's releases."""
    return open_store(f"{home.url}/releases")


def judged_of(home: Home) -> Store:
    """The store of the fits that the gate judged: same recipe and format as a release, without the test part."""
    return open_store(f"{home.url}/judged")


def resolve(store: Store, prefix: str) -> str:
    """The one digest that starts with `prefix`. Raises NotFound or InputError when none or several do."""
    if len(prefix) < 4 or any(c not in "0123456789abcdef" for c in prefix):
        raise InputError(
            f"'{prefix}' is no digest: give at least its first 4 characters, as shown by `everloop releases`"
        )
    found = sorted(
        {key.split("/")[0] for key in store.list() if key.startswith(prefix) and key.endswith("/" + MANIFEST)}
    )
    if not found:
        raise NotFound(f"there is no release {prefix}; see `everloop releases`")
    if len(found) > 1:
        raise InputError(f"'{prefix}' is the beginning of {len(found)} releases; give more of it")
    return found[0]


def canonical(value: Any) -> bytes:
    """JSON with one spelling: sorted keys, no blanks, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _written(manifest: Mapping[str, Any]) -> bytes:
    """release.json's bytes: one spelling, for people."""
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode()


def _key(prefix: str | None, digest: str, name: str) -> str:
    folder = digest if prefix is None else prefix
    return f"{folder}/{name}" if folder else name


def _made(folder: Path) -> Path:
    folder = folder.absolute()
    with told_as_store_error(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(
        canonical({k: v for k, v in manifest.items() if k not in (*PROVENANCE, "digest", "seal")})
    ).hexdigest()


def _seal(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical({k: v for k, v in manifest.items() if k != "seal"})).hexdigest()
