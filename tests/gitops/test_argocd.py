"""What root.yaml brings: one place that names the repository, an Application an environment, and no fight over a canary."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.gitops.environments import NAMES, OVERLAYS, ROOT, kustomized, of

ARGOCD = ROOT / "manifests" / "argocd"
OURS = {"everloop.dev/repository": "ssh://git@git.example.org:2222/shop/deploy.git", "everloop.dev/branch": "release"}


@pytest.fixture(autouse=True)
def tools(tool) -> None:
    tool("kubectl")


def by_kind(folder: Path = ARGOCD) -> dict[str, dict]:
    return {one["kind"]: one for one in kustomized(folder)}


def test_the_repository_is_written_once_and_argo_cd_puts_it_everywhere(tmp_path: Path) -> None:
    """As Argo CD does it: root.yaml's annotations, filled in, replace those of kustomization.yaml."""
    folder = Path(shutil.copytree(ARGOCD, tmp_path / "argocd"))
    file = folder / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    root = yaml.safe_load((ARGOCD / "root.yaml").read_text())["spec"]["source"]["kustomize"]
    assert root["commonAnnotationsEnvsubst"]
    assert root["forceCommonAnnotations"]
    assert kustomization["commonAnnotations"].keys() == root["commonAnnotations"].keys() == OURS.keys()
    file.write_text(yaml.safe_dump({**kustomization, "commonAnnotations": OURS}))
    made = by_kind(folder)
    url, branch = OURS.values()
    (generator,), template = (
        made["ApplicationSet"]["spec"]["generators"],
        made["ApplicationSet"]["spec"]["template"]["spec"],
    )
    places = [
        generator["git"]["repoURL"],
        *(source["repoURL"] for source in template["sources"]),
        made["Application"]["spec"]["source"]["repoURL"],
        *made["AppProject"]["spec"]["sourceRepos"],
    ]
    assert places == [url] * 5
    branches = [
        generator["git"]["revision"],
        *(source["targetRevision"] for source in template["sources"]),
        made["Application"]["spec"]["source"]["targetRevision"],
    ]
    assert branches == [branch] * 4


def test_each_environment_becomes_an_application_of_the_chart_and_its_overlay() -> None:
    spec = by_kind()["ApplicationSet"]["spec"]
    (files,) = (one["path"] for one in spec["generators"][0]["git"]["files"])
    found = sorted(ROOT.glob(files))
    assert [path.parent.name for path in found] == NAMES
    chart, overlay = spec["template"]["spec"]["sources"]
    assert (ROOT / chart["path"] / "Chart.yaml").is_file()
    for name in NAMES:
        values = chart["helm"]["valueFiles"][0].replace("{{ .path.basename }}", name)
        assert (ROOT / values.removeprefix(f"${overlay['ref']}/")) == OVERLAYS / name / "values.yaml"
        assert ROOT / overlay["path"].replace("{{ .path.basename }}", name) == OVERLAYS / name
        facts = yaml.safe_load((OVERLAYS / name / "environment.yaml").read_text())
        assert facts.keys() == {"namespace", "cluster", "promotion"}


def test_every_environment_is_a_destination_of_the_project() -> None:
    project = by_kind()["AppProject"]["spec"]
    for name in NAMES:
        facts = yaml.safe_load((OVERLAYS / name / "environment.yaml").read_text())
        assert {"server": facts["cluster"], "namespace": "everloop-*"} in project["destinations"]
        assert of(name).namespace.startswith("everloop-")
    assert not any(one["namespace"] == "*" for one in project["destinations"])


def test_drift_is_undone_and_a_failed_sync_tried_again() -> None:
    for made in (by_kind()["ApplicationSet"]["spec"]["template"], yaml.safe_load((ARGOCD / "root.yaml").read_text())):
        policy = made["spec"]["syncPolicy"]
        assert policy["automated"] == {"prune": True, "selfHeal": True}
        assert policy["retry"]["limit"] > 1
        assert policy["retry"]["refresh"] is True
        assert "ServerSideApply=true" in policy["syncOptions"]
    assert by_kind()["Application"]["spec"]["syncPolicy"]["automated"] == {"prune": False, "selfHeal": True}


def test_what_the_api_server_fills_in_is_no_difference() -> None:
    annotations = by_kind()["ApplicationSet"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/compare-options"] == "ServerSideDiff=true"


def test_weights_that_move_during_a_canary_are_nobodys_drift() -> None:
    """The rule that Argo CD gets leaves the weights out and nothing else."""
    spec = by_kind()["ApplicationSet"]["spec"]["template"]["spec"]
    assert "RespectIgnoreDifferences=true" in spec["syncPolicy"]["syncOptions"]
    (rule,) = spec["ignoreDifferences"]
    assert (rule["group"], rule["kind"]) == ("gateway.networking.k8s.io", "HTTPRoute")
    assert rule["jqPathExpressions"] == [".spec.rules[]?.backendRefs[]?.weight"]


def test_the_smoke_test_runs_after_each_sync_and_its_last_log_stays() -> None:
    (job,) = (one for one in kustomized(ROOT / "manifests" / "base") if one["kind"] == "Job")
    annotations = job["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/hook"] == "PostSync"
    assert annotations["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"
    assert job["spec"]["backoffLimit"] > 0
    asked = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert asked[:2] == ["gitops", "smoke"]
