"""A bare repository with three environments, a home in object storage with a few releases, and `everloop` called in it."""

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import boto3
import numpy as np
import polars as pl
import pytest

from components.recsys.frames import Catalogue, Interactions
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.models import MODELS
from components.recsys.models.base import Training
from components.recsys.release import releases_of, save
from pipelines.cli import main
from pipelines.gitops.environments import Environment, model_path
from pipelines.gitops.model import Model, parsed, rendered
from tests.answers import Answer

PROMOTIONS = {"dev": "engine", "staging": "direct", "prod": "pull-request"}


BUCKET = "gitops"  # one for all tests, emptied before each: its name stands in the repository, which is made once
HOME = f"s3://{BUCKET}/home"


def as_ann(folder: Path, environment: pytest.MonkeyPatch) -> None:
    """A name for commits, and no configuration of the machine's."""
    config = folder / "gitconfig"
    config.write_text("[user]\nname = Ann\nemail = ann@example.com\n[init]\ndefaultBranch = main\n")
    environment.setenv("GIT_CONFIG_GLOBAL", str(config))
    environment.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture(autouse=True)
def as_somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_ann(tmp_path, monkeypatch)
    monkeypatch.setenv("EVERLOOP_ACTOR", "ann")
    for name in ("EVERLOOP_REGISTRY", "EVERLOOP_GIT", "EVERLOOP_GIT_BRANCH"):
        monkeypatch.delenv(name, raising=False)


def git(folder: Path, *arguments: str, stdin: str | None = None) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Repository:
    """bare: what everybody pushes to. home: of staging and prod."""

    bare: Path
    work: Path
    home: str

    def text(self, env: str, branch: str = "main") -> str:
        return git(self.bare, "show", f"{branch}:{model_path(env)}") + "\n"

    def model(self, env: str, branch: str = "main") -> Model:
        return parsed(self.text(env, branch), model_path(env))

    def commits(self, branch: str = "main") -> int:
        return int(git(self.bare, "rev-list", "--count", branch))

    def message(self, branch: str = "main") -> str:
        return git(self.bare, "log", "-1", "--format=%B", branch)

    def change(self, path: str, text: str | None, message: str = "By hand") -> None:
        """Somebody's commit."""
        git(self.work, "pull", "-q", "--rebase", "origin", "main")
        file = self.work / path
        if text is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", message)
        git(self.work, "push", "-q", "origin", "HEAD:main")

    def order(self, env: str, **releases: str) -> None:
        """A model.yaml as `everloop gitops` would have written it."""
        environment = Environment(env, f"everloop-{env}", "direct", self.home, {"home": self.home})
        self.change(model_path(env), rendered(Model(home=self.home, by="before", **releases), environment), "Before")


def make_repository(folder: Path, home: str) -> Repository:
    bare, work = folder / "deploy.git", folder / "work"
    git(folder, "init", "-q", "--bare", "--initial-branch=main", str(bare))
    git(folder, "clone", "-q", str(bare), str(work))
    for env, promotion in PROMOTIONS.items():
        overlay = work / "manifests" / "overlays" / env
        overlay.mkdir(parents=True)
        (overlay / "environment.yaml").write_text(f"namespace: everloop-{env}\npromotion: {promotion}\n")
        (overlay / "values.yaml").write_text(json.dumps({"home": home, "settings": {"rollout": {"kserve": "follow"}}}))
        if promotion != "engine":
            environment = Environment(env, f"everloop-{env}", "direct", home, {"home": home})
            (overlay / "model.yaml").write_text(rendered(Model(home=home), environment))
    (work / "README.md").write_text("Deployments\n")
    git(work, "checkout", "-q", "-b", "main")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Environments")
    git(work, "push", "-q", "origin", "main")
    return Repository(bare, work, home)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that each test copies."""
    folder = tmp_path_factory.mktemp("repository")
    with pytest.MonkeyPatch.context() as environment:
        as_ann(folder, environment)
        make_repository(folder, HOME)
    return folder


def copied(template: Path, folder: Path) -> Repository:
    for part in ("deploy.git", "work"):
        shutil.copytree(template / part, folder / part)
    git(folder / "work", "remote", "set-url", "origin", str(folder / "deploy.git"))
    return Repository(folder / "deploy.git", folder / "work", HOME)


@pytest.fixture
def repository(template: Path, tmp_path: Path) -> Repository:
    return copied(template, tmp_path)


@pytest.fixture
def home(s3_url: str) -> Home:
    """The environments' home, empty; the environment of this process reaches it."""
    client = boto3.client("s3", region_name="us-east-1")
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=BUCKET)
    client.close()
    found = Home(HOME)
    for key in found.store.list():
        found.store.delete(key)
    return found


def make_release(home: Home, number: int) -> str:
    """A release that differs from others by its number; its digest."""
    frame = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"], "timestamp": [1, 2, 3]})
    interactions = Interactions.from_frame(frame.with_columns(pl.from_epoch("timestamp").dt.replace_time_zone("UTC")))
    kind = MODELS["popularity"]
    catalogue = Catalogue.align(interactions.items, None)
    model = kind(kind.Config()).fit(Training(interactions, catalogue))
    assert np.isfinite(next(iter(model.weights().values()))).all()
    return save(releases_of(home), model, catalogue, {"settings": {}, "data": {}, "number": number}, {})


@pytest.fixture
def releases(home: Home) -> Callable[[], str]:
    """Another release with each call."""
    numbers = itertools.count()
    return lambda: make_release(home, next(numbers))


@pytest.fixture
def champion(home: Home, releases: Callable[[], str], repository: Repository) -> str:
    """The first release, which the ledger and staging agree on."""
    digest = releases()
    Ledger(home).append("promote", digest, "the first", run="run-1")
    repository.order("staging", stable=digest)
    return digest


@pytest.fixture
def approved(home: Home, releases: Callable[[], str], champion: str) -> str:
    """A second release that waits for its rollout."""
    digest = releases()
    Ledger(home).append("approve", digest, "beats the champion: nDCG +0.012 [0.004, 0.020]", run="run-2")
    return digest


@pytest.fixture
def gitops(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """`everloop gitops ARGUMENTS` on the repository, in this process."""

    def call(*arguments: str, repo: str | None = None) -> Answer:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["everloop", "gitops", *arguments, "--repo", repo or str(repository.bare)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Answer(int(str(left.value.code)), said.out, said.err)

    return call
