"""Every knob of Everloop, typed, with its default, unit and reason; written once.

>>> settings = load_settings("settings.yaml", overrides=["train.seed=7"])
>>> settings.train.seed
7

The sections are the pipeline's parameters (one dict each), the JSON is one environment variable of the services,
the JSON Schema (`Settings.model_json_schema()`) is the reference in the docs and the chart's schema.

Defaults, then $EVERLOOP_SETTINGS (JSON, or YAML), then $EVERLOOP_SECTION__NAME one by one, as a pod gets a URL with its
password from a Secret, then the file, then the overrides: what comes later wins.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from components.recsys.errors import InputError
from components.recsys.settings.base import PATH_SEPARATOR, Section, Share, parse
from components.recsys.settings.kserve import KServeSettings
from components.recsys.settings.loop import (
    DriftSettings,
    FeedbackSettings,
    GatewaySettings,
    LogSettings,
    RetrainSettings,
    RolloutSettings,
)
from components.recsys.settings.pipeline import (
    Check,
    DataSettings,
    EvaluateSettings,
    EventSource,
    GateSettings,
    PrepareSettings,
    QualitySettings,
    Severity,
    Source,
    TrainSettings,
)
from components.recsys.settings.serving import ServingSettings, TrackingSettings

__all__ = [
    "Check",
    "DataSettings",
    "DriftSettings",
    "EvaluateSettings",
    "EventSource",
    "FeedbackSettings",
    "GateSettings",
    "GatewaySettings",
    "KServeSettings",
    "LogSettings",
    "PrepareSettings",
    "QualitySettings",
    "RetrainSettings",
    "RolloutSettings",
    "Section",
    "ServingSettings",
    "Settings",
    "Severity",
    "Share",
    "Source",
    "TrackingSettings",
    "TrainSettings",
    "load_settings",
    "parse",
    "settings_of",
]


ALL, ONE = "EVERLOOP_SETTINGS", "EVERLOOP_"


class Settings(Section):
    """All of it. `everloop run --set SECTION.NAME=VALUE`, or a YAML or JSON file with `--settings FILE`."""

    data: DataSettings = DataSettings()
    quality: QualitySettings = QualitySettings()
    prepare: PrepareSettings = PrepareSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    gate: GateSettings = GateSettings()
    serving: ServingSettings = ServingSettings()
    gateway: GatewaySettings = GatewaySettings()
    log: LogSettings = LogSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    drift: DriftSettings = DriftSettings()
    rollout: RolloutSettings = RolloutSettings()
    kserve: KServeSettings = KServeSettings()
    retrain: RetrainSettings = RetrainSettings()
    tracking: TrackingSettings = TrackingSettings()


def load_settings(file: str | Path | None = None, overrides: Iterable[str] = ()) -> Settings:
    """Settings from the environment, a YAML or JSON file, then `section.name=value` overrides (values are YAML).

    Raises InputError with the nearest known name for an unknown one.
    """
    values = _merge(Settings().model_dump(mode="json"), _of_environment())
    if file is not None:
        try:
            text = Path(file).read_text()
        except FileNotFoundError:
            raise InputError(f"settings file {file} does not exist") from None
        except (UnicodeDecodeError, OSError) as error:
            raise InputError(f"settings file {file} cannot be read: {str(error).splitlines()[0]}") from None
        values = _merge(values, _sections(text, f"settings file {file}"))
    given: dict[str, Any] = {}
    for override in overrides:
        path, separator, text = override.partition("=")
        if not separator:
            raise InputError(f"--set {override}: write it as SECTION.NAME=VALUE")
        _put(given, path.strip().split(PATH_SEPARATOR), yaml.safe_load(text), f"--set {override}")
    return parse(Settings, _merge(values, given))


def settings_of(sections: Mapping[str, Any]) -> Settings:
    """Settings from sections alone, whatever the environment says; what is left out has its default. Raises InputError."""
    return parse(Settings, _merge(Settings().model_dump(mode="json"), sections))


def _of_environment() -> dict[str, Any]:
    values = _sections(os.environ.get(ALL, ""), ALL)
    given: dict[str, Any] = {}
    for name, value in os.environ.items():
        path = name.removeprefix(ONE).lower().split("__")
        if name.startswith(ONE) and len(path) > 1:
            _put(given, path, _plain(value), name)
    return _merge(values, given)


def _plain(text: str) -> Any:
    """A value of the environment. A secret may hold anything: what is no YAML, or no simple value of it, is the text itself."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, int | float | bool | list) else text


def _sections(text: str, where: str) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(loaded, dict | None):
        raise InputError(f"{where} must hold sections (a mapping), not {type(loaded).__name__}")
    return loaded or {}


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """So that one name of a section can be given without the others: {quality: {missing: {severity: warn}}}."""
    merged = dict(base)
    for key, value in over.items():
        below = base.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _put(values: dict[str, Any], path: list[str], value: Any, where: str) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise InputError(f"{where}: {part} is not a section")
    values[path[-1]] = value
