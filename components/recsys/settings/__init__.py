"""Every knob of Everloop, typed, with its default, unit and reason; written once.

>>> settings = load_settings("settings.yaml", overrides=["train.seed=7"])
>>> settings.train.seed
7

The sections are the pipeline's parameters (one dict each), the JSON is one environment variable of the services,
the JSON Schema (`Settings.model_json_schema()`) is the reference in the docs and the chart's schema.
"""

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
]


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
    """Settings from a YAML or JSON file, then `section.name=value` overrides (values are YAML).

    Raises InputError with the nearest known name for an unknown one.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            loaded = yaml.safe_load(Path(file).read_text())
        except FileNotFoundError:
            raise InputError(f"settings file {file} does not exist") from None
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise InputError(f"settings file {file} cannot be read: {str(error).splitlines()[0]}") from None
        if not isinstance(loaded, dict | None):
            raise InputError(f"settings file {file} must hold sections (a mapping), not {type(loaded).__name__}")
        values = loaded or {}
    for override in overrides:
        path, separator, text = override.partition("=")
        if not separator:
            raise InputError(f"--set {override}: write it as SECTION.NAME=VALUE")
        _put(values, path.strip().split(PATH_SEPARATOR), yaml.safe_load(text), override)
    return parse(Settings, _merge(Settings().model_dump(mode="json"), values))


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """So that one name of a section can be given without the others: {quality: {missing: {severity: warn}}}."""
    merged = dict(base)
    for key, value in over.items():
        below = base.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _put(values: dict[str, Any], path: list[str], value: Any, override: str) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise InputError(f"--set {override}: {part} is not a section")
    values[path[-1]] = value
