import json

import pytest

from components.recsys.errors import InputError
from components.recsys.settings import Settings, TrainSettings, load_settings, parse


def test_defaults_survive_the_way_through_json() -> None:
    assert parse(Settings, json.loads(Settings().model_dump_json())) == Settings()


def test_numbers_that_a_pipeline_turned_into_floats_come_back_as_integers() -> None:
    assert parse(TrainSettings, {"seed": 7.0, "threads": 1.0}).seed == 7


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("train.sed=7", "did you mean 'seed'?"),
        ("trian.seed=7", "did you mean 'train'?"),
        ("quality.missing.severty=warn", "did you mean 'severity'?"),
        ("data.events.colums={}", "did you mean 'columns'?"),
    ],
)
def test_an_unknown_setting_names_the_nearest_known_one(override: str, hint: str) -> None:
    with pytest.raises(InputError, match="unknown setting") as caught:
        load_settings(None, [override])
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "override", ["train.seed=x", "evaluate.k=0", "evaluate.k=1001", "gate.alpha=0.7", "quality.missing.threshold=lots"]
)
def test_a_value_that_cannot_be_is_refused_with_the_settings_name(override: str) -> None:
    with pytest.raises(InputError, match=override.split("=")[0].replace(".", r"\.")):
        load_settings(None, [override])


@pytest.mark.parametrize("override", ["seed", "", "train.seed.deep=1"])
def test_a_malformed_override_is_refused(override: str) -> None:
    with pytest.raises(InputError):
        load_settings(None, [override])


def test_one_name_of_a_section_can_be_given_without_the_others(tmp_path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("quality: {missing: {severity: warn}}\ntrain: {seed: 1}\n")
    settings = load_settings(file, ["train.models.ease.l2=300"])
    assert settings.quality.missing.severity == "warn"
    assert settings.quality.missing.threshold == Settings().quality.missing.threshold
    assert settings.train.seed == 1
    assert settings.train.models == {"ease": {"l2": 300}}


@pytest.mark.parametrize(("text", "words"), [("- a\n- b\n", "mapping"), ("a: [", "cannot be read")])
def test_a_broken_settings_file_is_refused(tmp_path, text: str, words: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        load_settings(file)


def test_a_missing_settings_file_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_settings(tmp_path / "no.yaml")


def test_every_knob_says_what_it_is() -> None:
    def walk(schema: dict, path: str) -> list[str]:
        silent = []
        for name, field in schema.get("properties", {}).items():
            target = field.get("$ref", "").rpartition("/")[2]
            described = "description" in field or (target and definitions[target].get("properties"))
            silent += [] if described else [f"{path}.{name}"]
        return silent

    whole = Settings.model_json_schema()
    definitions = whole["$defs"]
    assert [name for section, schema in definitions.items() for name in walk(schema, section)] == []


def test_the_environment_stands_between_the_defaults_and_the_file(tmp_path, monkeypatch) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("train: {seed: 2}\n")
    monkeypatch.setenv(
        "EVERLOOP_SETTINGS", '{"train": {"seed": 1, "threads": 3}, "quality": {"missing": {"severity": "warn"}}}'
    )
    assert load_settings().train.seed == 1
    assert load_settings(file).train.seed == 2
    settings = load_settings(file, ["train.seed=3"])
    assert (settings.train.seed, settings.train.threads, settings.quality.missing.severity) == (3, 3, "warn")
    assert settings.quality.missing.threshold == Settings().quality.missing.threshold


def test_one_setting_can_come_by_a_variable_of_its_own(monkeypatch) -> None:
    """A pod gets a URL with its password from a Secret, the rest from a ConfigMap."""
    monkeypatch.setenv("EVERLOOP_SETTINGS", '{"serving": {"history": "memory://", "max_k": 7}}')
    monkeypatch.setenv("EVERLOOP_SERVING__HISTORY", "redis://:p#a: b@cache:6379/0")
    monkeypatch.setenv("EVERLOOP_SERVING__POLL_SECONDS", "2.5")
    monkeypatch.setenv("EVERLOOP_HOME", "s3://bucket/home")  # no setting, and none of Kubernetes' own variables is
    monkeypatch.setenv("EVERLOOP_GATEWAY_SERVICE_HOST", "10.0.0.7")
    settings = load_settings().serving
    assert (settings.history, settings.max_k, settings.poll_seconds) == ("redis://:p#a: b@cache:6379/0", 7, 2.5)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("EVERLOOP_SETTINGS", "[1]", "EVERLOOP_SETTINGS must hold sections"),
        ("EVERLOOP_SETTINGS", "{", "EVERLOOP_SETTINGS cannot be read"),
        ("EVERLOOP_SETTINGS", '{"train": {"sed": 1}}', "did you mean 'seed'"),
        ("EVERLOOP_TRAIN__SED", "1", "did you mean 'seed'"),
        ("EVERLOOP_TRAIN__SEED__DEEP", "1", "train.seed"),
    ],
)
def test_a_mistake_in_the_environment_is_refused(monkeypatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=words):
        load_settings()
