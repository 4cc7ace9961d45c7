"""The file as people write it, and the sentences for what will not do."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.recsys.errors import InputError
from pipelines.recurring.declared import Declared, load
from pipelines.recurring.schedules import MARK, wanted_of


def write(folder: Path, *runs: dict[str, Any], **rest: Any) -> Path:
    path = folder / "recurring-runs.yaml"
    path.write_text(yaml.safe_dump({"set": "prod", "recurring": list(runs), **rest}))
    return path


def test_little_need_be_written(tmp_path: Path) -> None:
    (declared,) = load(write(tmp_path, {"name": "nightly", "cron": "0 3 * * *"})).recurring
    assert (declared.cron, declared.enabled, declared.catchup, declared.max_concurrency) == (
        "0 0 3 * * *",
        True,
        False,
        1,
    )
    assert declared.sources == {"events": ("feedback",)}


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        ({"cron": "0 3 * * *"}, "setting 'recurring.0.name': field required"),
        ({"name": "Nightly!", "cron": "@daily"}, "setting 'recurring.0.name': string should match pattern"),
        ({"name": "a"}, "give either cron or interval_seconds"),
        ({"name": "a", "cron": "@daily", "interval_seconds": 60}, "give either cron or interval_seconds"),
        ({"name": "a", "interval_seconds": 5}, "greater than or equal to 60"),
        ({"name": "a", "cron": "0 3 * *"}, "has 4 fields; write minute, hour, day of month"),
        ({"name": "a", "cron": "@daily", "crom": 1}, "unknown setting 'recurring.0.crom'; did you mean 'cron'"),
        ({"name": "a", "cron": "@daily", "max_concurrency": 11}, "less than or equal to 10"),
        ({"name": "a", "cron": "@daily", "sources": {"events": ["/data/clicks.csv"]}}, "pods see s3:// URLs"),
        ({"name": "a", "cron": "@daily", "sources": {"items": ["feedback"]}}, "pods see s3:// URLs"),
        ({"name": "a", "cron": "@daily", "sources": {"clicks": ["s3://b/c"]}}, "name files of events, items or users"),
        ({"name": "a", "cron": "@daily", "starts": "2026-12-01", "ends": "2026-11-01"}, "ends lies before starts"),
        (
            {"name": "a", "cron": "@daily", "settings": {"train": {"sed": 7}}},
            "unknown setting 'train.sed'; did you mean",
        ),
        (
            {"name": "a", "cron": "@daily", "settings": {"rollout": {"shadow": True}}},
            "settings.rollout has no effect on a run",
        ),
        ({"name": "a", "cron": "@daily", "settings": {"train": {"candidates": ["eese"]}}}, "eese"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, run: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load(write(tmp_path, run))


def test_a_file_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "nowhere.yaml")
    (tmp_path / "list.yaml").write_text("- nightly")
    with pytest.raises(InputError, match="must hold `recurring:`"):
        load(tmp_path / "list.yaml")
    twice = {"name": "nightly", "cron": "@daily"}
    with pytest.raises(InputError, match="'nightly' is there twice"):
        load(write(tmp_path, twice, twice))


def test_the_environment_of_a_pod_does_not_leak_into_a_schedule(
    monkeypatch: pytest.MonkeyPatch, package: bytes
) -> None:
    declared = Declared(name="nightly", cron="@daily", settings={"train": {"seed": 7}})
    here = wanted_of("prod", declared, "s3://b/home", package)
    monkeypatch.setenv("EVERLOOP_SETTINGS", '{"gate": {"alpha": 0.2}}')
    assert wanted_of("prod", declared, "s3://b/home", package).spec == here.spec
    assert here.content["parameters"]["train"]["seed"] == 7


def test_whatever_decides_what_a_schedule_does_is_in_its_digest(package: bytes) -> None:
    def spec(changed: dict[str, Any], home: str = "s3://b/home", account: str = "", pipeline: bytes = package) -> str:
        declared = Declared.model_validate({"name": "nightly", "cron": "0 3 * * *", **changed})
        return wanted_of("prod", declared, home, pipeline, account).spec

    first = spec({})
    assert spec({"enabled": False}) == spec({"description": "words"}) == spec({"cron": "0 0 3 * * *"}) == first
    others = [
        spec({"cron": "0 4 * * *"}),
        spec({"cron": "", "interval_seconds": 3600}),
        spec({"starts": "2026-12-01"}),
        spec({"catchup": True}),
        spec({"max_concurrency": 2}),
        spec({"settings": {"train": {"seed": 7}}}),
        spec({"settings": {"tracking": {"experiment": "other"}}}),
        spec({"sources": {"events": ["s3://b/clicks"]}}),
        spec({"home": "s3://b/other"}),
        spec({"service_account": "mine"}),
        spec({}, home="s3://b/third"),
        spec({}, account="theirs"),
        spec({}, pipeline=package + b"#"),
    ]
    assert len({first, *others}) == len(others) + 1


def test_a_description_that_looks_like_our_mark_does_not_pass_for_it(package: bytes) -> None:
    forged = "everloop set=dev name=other spec=000000000000"
    wanted = wanted_of("prod", Declared(name="nightly", cron="@daily", description=forged), "s3://b/h", package)
    marks = MARK.findall(wanted.body("e", "p", "v", None)["description"])
    assert marks[-1] == ("prod", "nightly", wanted.spec)
