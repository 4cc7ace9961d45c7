"""The training pipeline on Kubeflow: upload what pods cannot reach, and start one run a key.

>>> kubeflow = Kubeflow("http://localhost:8888")
>>> submit(kubeflow, Home("s3://bucket/home"), {"events": ["events.csv"]}, Settings()).name
'everloop-training-1f2e3d4c5b6a'

Kubeflow's CreateRun is not idempotent, so a run's name is made from all that decides its result; a run with that name
is looked for before one is created, and again when the answer to creating it was lost.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from components.recsys.errors import InputError, StoreError
from components.recsys.feedback.segments import FEEDBACK, resolved
from components.recsys.home import Home
from components.recsys.progress import Told
from components.recsys.release import SHORT, canonical
from components.recsys.settings import Settings
from components.recsys.store import Store
from components.recsys.version import VERSION, source_digest
from pipelines.compile import compile_package, version_name
from pipelines.kubeflow import ENDED_BADLY, Kubeflow, found_or_made
from pipelines.training import NAME, arguments

Json = dict[str, Any]
LANDING = "landing"
SETTLE_SECONDS = 2.0  # Kubeflow's times have seconds: later than this, two submits at once see each other's run


@dataclass(frozen=True)
class Submitted:
    """created: False when a run with this key was there already."""

    run_id: str
    name: str
    key: str
    created: bool


def submit(
    kubeflow: Kubeflow,
    home: Home,
    sources: Mapping[str, list[str]],
    settings: Settings,
    name: str = "",
    fresh: bool = False,
    told: Told = lambda text: None,
    service_account: str = "",
) -> Submitted:
    """Start the training pipeline, or find the run that the same data, settings and version started before.

    name: instead of the one made from the key. fresh: do not take steps from Kubeflow's cache. service_account: of the pods.
    Raises InputError for a home or a file that will not do, StoreError when Kubeflow or the store fails.
    """
    seen_by_pods(home)
    landed = upload_sources(home, sources, told)
    package = compile_package(NAME, fresh)
    parameters = arguments(home.url, landed, settings)
    key = _key({**parameters, "sources": resolved(home, landed)}, package)
    name = name or f"{NAME}-{key[:SHORT]}"
    experiment = kubeflow.experiment(settings.tracking.experiment)
    before = kubeflow.runs_named(name, experiment)
    standing = [run for run in before if run.get("state") not in ENDED_BADLY]
    if standing and f"key {key[:SHORT]}" not in standing[0].get("description", ""):
        raise InputError(f"a run named {name} was made from other data or settings; choose another --name, or none")
    if standing:
        return Submitted(standing[0]["run_id"], name, key, created=False)
    pipeline = kubeflow.pipeline(NAME)
    version = version_of(kubeflow, pipeline, package, told)
    description = f"Everloop {VERSION} ({source_digest()[:SHORT]}), key {key[:SHORT]}, home {home.url}"
    known = {run["run_id"] for run in before}
    try:
        kubeflow.create_run(name, experiment, pipeline, version, parameters, description, service_account)
        lost = None
    except StoreError as error:  # whether it was created is open: look
        lost = error
    time.sleep(SETTLE_SECONDS)
    ours = [run for run in kubeflow.runs_named(name, experiment) if run["run_id"] not in known]
    if not ours:
        raise lost or StoreError(f"Kubeflow took the run {name} and does not list it; submit again to find it")
    for rival in ours[1:]:  # another submit at the same moment: the oldest run stays, for all who see them
        kubeflow.terminate(rival["run_id"])
    _record(home.store, key, ours[0]["run_id"], name, kubeflow.endpoint, parameters)
    return Submitted(ours[0]["run_id"], name, key, created=True)


def seen_by_pods(home: Home) -> None:
    """Raises InputError for a home that only this machine sees."""
    if home.local is not None:
        raise InputError(
            f"--home {home.url} is a folder of this machine, which pods do not see: give s3://bucket/prefix"
        )


def upload_sources(
    home: Home, sources: Mapping[str, list[str]], told: Told = lambda text: None
) -> dict[str, list[str]]:
    """Files and folders of this machine into `landing/<sha256>/<name>` of the home; URLs, and the word `feedback`, stay.

    Named by content: the same file gives the same URL, and is not sent twice.
    """
    return {kind: [_land(home, path, told) for path in paths] for kind, paths in sources.items()}


def _land(home: Home, path: str, told: Told) -> str:
    if path == FEEDBACK or ("://" in path and not path.startswith("file://")):
        return path
    source = Path(path.removeprefix("file://"))
    if not source.exists():
        raise InputError(f"{source} does not exist")
    files = sorted(file for file in source.rglob("*") if file.is_file()) if source.is_dir() else [source]
    if not files:
        raise InputError(f"{source} is an empty folder")
    hashes = {file.relative_to(source.parent).as_posix(): _sha256(file) for file in files}
    digest = next(iter(hashes.values())) if source.is_file() else hashlib.sha256(canonical(hashes)).hexdigest()
    folder = f"{LANDING}/{digest}"
    there = set(home.store.list(folder))
    # Delta's log goes last: until it is there, a reader sees no table rather than half of one.
    for file in sorted(files, key=lambda file: ("_delta_log" in file.parts, file)):
        key = f"{folder}/{file.relative_to(source.parent).as_posix()}"
        if key not in there:
            home.store.upload(key, file)
            told(f"uploaded {file.name} ({file.stat().st_size / 1e6:.1f} MB)")
    return f"{home.url}/{folder}/{source.name}"


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror})") from None


def _key(parameters: Json, package: bytes) -> str:
    """What decides a run's result: data and settings (the parameters, the feedback of now among them), pipeline and code."""
    pipeline = hashlib.sha256(package).hexdigest()
    decides = {"parameters": parameters, "pipeline": pipeline, "code": source_digest()}
    return hashlib.sha256(canonical(decides)).hexdigest()


def version_of(kubeflow: Kubeflow, pipeline_id: str, package: bytes, told: Told = lambda text: None) -> str:
    """Id of the version with exactly our definition, uploaded when there is none."""
    spec, *platform = yaml.safe_load_all(package)
    wanted = {"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec

    def find() -> Json | None:
        return next((each for each in kubeflow.versions(pipeline_id) if each["pipeline_spec"] == wanted), None)

    def make() -> Json:
        name, display = version_name(NAME), f"{NAME} {VERSION}"
        if name in {each.get("name") for each in kubeflow.versions(pipeline_id)}:
            build = hashlib.sha256(package).hexdigest()[:8]
            told(
                f"version {name} has another definition there, and a version cannot be changed: this build goes beside it"
            )
            name, display = f"{name}-{build}", f"{display} ({build})"
        told(f"uploading the pipeline as {name}")
        return kubeflow.upload_version(pipeline_id, name, display, package)

    return str(found_or_made(find, make)["pipeline_version_id"])


def _record(store: Store, key: str, run_id: str, name: str, endpoint: str, parameters: Json) -> None:
    entry = {"run": run_id, "name": name, "key": key, "endpoint": endpoint, "parameters": parameters}
    entry["submitted"] = datetime.now(UTC).isoformat(timespec="seconds")
    store.write(f"submissions/{key}.json", json.dumps(entry, indent=1, sort_keys=True, ensure_ascii=False).encode())
