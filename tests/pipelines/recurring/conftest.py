"""Declared runs, and applying them to the Kubeflow of the tests around."""

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.kubeflow import Kubeflow
from pipelines.recurring import reconcile as reconciling
from pipelines.recurring.declared import Declared
from pipelines.recurring.schedules import Wanted, wanted_of

HOME = "s3://bucket/home"


@pytest.fixture(scope="session")
def package() -> bytes:
    """A pipeline to Kubeflow, which looks for a name and no further; a small one, since it is compared at every turn."""
    return b"pipelineInfo: {name: everloop-training}\n---\nplatforms: {kubernetes: {}}\n"


@pytest.fixture
def want(package: bytes) -> Callable[..., Wanted]:
    """A declared run as it should be there."""

    def wanted(name: str = "nightly", cron: str = "0 3 * * *", **declared: Any) -> Wanted:
        return wanted_of("prod", Declared.model_validate({"name": name, "cron": cron, **declared}), HOME, package)

    return wanted


@pytest.fixture
def apply(endpoint: str, package: bytes, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Reconcile; what became of each name's schedules."""
    monkeypatch.setattr(reconciling, "SETTLE_SECONDS", 0.0)

    def applied(*wanted: Wanted, prune: bool = True) -> dict[str, str]:
        changes = reconciling.reconcile(Kubeflow(endpoint), wanted, "prod", package, prune)
        return {change.schedule: change.what for change in changes}

    return applied
