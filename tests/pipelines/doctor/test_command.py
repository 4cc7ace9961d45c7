"""`everloop doctor` as people and programs call it."""

import io
import json
import sys
from pathlib import Path

import pytest
import yaml

from components.recsys.errors import InputError
from pipelines.cli import main
from pipelines.doctor.wants import read_wants

VALUES = {"home": "s3://bucket/home", "settings": {"kserve": {"mode": "knative"}, "rollout": {"steps": [0.1, 1.0]}}}


@pytest.fixture
def call(monkeypatch, capsys):
    """`everloop ARGUMENTS` in this process: (exit code, stdout, stderr)."""

    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["everloop", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return called


def test_all_well_is_0_with_a_next_step(installed, kubeconfig, call) -> None:
    installed("0.20.0", gateway_api=True)
    code, out, err = call("doctor")
    assert code == 0, err
    assert "ok       KServe · version" in out
    assert out.splitlines()[-1].startswith("next:")


def test_what_is_asked_and_cannot_work_is_1_and_named_for_machines(
    installed, kubeconfig, tmp_path, call, service
) -> None:
    installed("0.20.0", gateway_api=True)
    manifests = tmp_path / "m.yaml"
    manifests.write_text(
        yaml.safe_dump_all([service("Standard", canaryTrafficPercent=5), {"apiVersion": "v1", "kind": "Service"}])
    )
    code, out, _ = call("doctor", "--manifests", str(manifests), "--json")
    told = json.loads(out)
    assert (code, told["refused"], told["namespace"]) == (1, True, "team-a")
    assert [each["looked_at"] for each in told["findings"] if each["verdict"] == "no" and each["asked"]] == [
        "InferenceService m: canaryTrafficPercent"
    ]
    code, out, _ = call("doctor", "--manifests", str(manifests))
    assert (code, "leave it out" in out.splitlines()[-1]) == (1, True)


def test_a_cluster_that_cannot_be_asked_is_3(kubeconfig, call) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"]["token"] = "expired"
    kubeconfig.write_text(yaml.safe_dump(config))
    code, out, err = call("doctor", "--json")
    assert (code, json.loads(out)["code"], "log in again" in err) == (3, 3, True)


def test_a_context_that_is_not_there_is_2(kubeconfig, call) -> None:
    assert call("doctor", "--context", "there")[0] == 2


def test_values_bring_their_settings_and_the_charts_own_defaults(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(VALUES))
    wants = read_wants("team-a", values_file=str(file), overrides=["kserve.min_replicas=2"])
    assert (wants.home, wants.kserve, wants.kubeflow) == ("s3://bucket/home", True, True)
    settings = wants.settings
    assert (settings.kserve.mode, settings.kserve.min_replicas, settings.rollout.steps) == ("knative", 2, (0.1, 1.0))
    assert not read_wants("team-a").kserve


def test_settings_from_a_file_go_over_those_of_values(tmp_path: Path) -> None:
    values, settings = tmp_path / "values.yaml", tmp_path / "settings.yaml"
    values.write_text(yaml.safe_dump(VALUES))
    settings.write_text("kserve: {mode: standard}\n")
    assert read_wants("team-a", str(settings), values_file=str(values)).settings.kserve.mode == "standard"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gateway: {replica: 2}", "did you mean 'replicas'"),
        ("settings: {kserve: {mod: standard}}", "did you mean 'mode'"),
        ("- a list", "one mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_mistakes_in_values_are_one_sentence(text, words, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        read_wants("team-a", values_file=str(file))


def test_rendered_manifests_bring_the_settings_and_the_home_of_their_pods(tmp_path: Path) -> None:
    settings = {"rollout": {"predictors": "kserve", "kserve": "follow"}, "retrain": {"runner": "kubeflow"}}
    env = [{"name": "EVERLOOP_HOME", "value": "s3://bucket/home"}]
    made = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "s"},
            "data": {"settings.json": json.dumps(settings)},
        },
        {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"env": env}]}}}},
    ]
    file = tmp_path / "m.yaml"
    file.write_text(yaml.safe_dump_all(made))
    wants = read_wants("team-a", manifests=[str(file)])
    assert (wants.kserve, wants.kubeflow, wants.home) == (True, True, "s3://bucket/home")
    assert wants.settings.rollout.kserve == "follow"
    assert (
        read_wants("team-a", overrides=["rollout.kserve=create"], manifests=[str(file)]).settings.rollout.kserve
        == "create"
    )
    made[0]["data"]["settings.json"] = "{"
    file.write_text(yaml.safe_dump_all(made))
    with pytest.raises(InputError, match=r"settings\.json is no JSON object"):
        read_wants("team-a", manifests=[str(file)])


@pytest.mark.parametrize("text", ["", "---\n---\n", "# a comment\n"])
def test_nothing_on_stdin_is_a_fault_and_not_a_cluster_that_can_do_all(text, kubeconfig, call, monkeypatch) -> None:
    """helm that fails in a pipe writes nothing, and its exit code is lost."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    code, _, err = call("doctor", "--manifests", "-")
    assert (code, "did what should write it fail?" in err) == (2, True)


def test_manifests_must_be_objects(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("kind: Service\n---\napiVersion: v1\n")
    with pytest.raises(InputError, match="no Kubernetes object"):
        read_wants("team-a", manifests=[str(file)])
    with pytest.raises(InputError, match="does not exist"):
        read_wants("team-a", manifests=[str(tmp_path / "missing.yaml")])
    file.write_text("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Service, metadata: {name: a}}]\n---\n")
    assert [each["kind"] for each in read_wants("team-a", manifests=[str(file)]).objects] == ["Service"]
