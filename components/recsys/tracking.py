"""Experiment tracking in MLflow: every run and candidate, comparable side by side, by user group too.

>>> untracked = track(TrackingSettings(), home, run, evaluations, verdict, manifest)
>>> untracked
''

Tracking never stops a run: what could not be tracked is returned as a sentence.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from components.recsys.home import Home
from components.recsys.settings import TrackingSettings

DATABASE = "mlflow.db"
METRIC_NAME = re.compile(r"[^A-Za-z0-9_\-./ ]")


def uri_of(settings: TrackingSettings, home: Home) -> str:
    """Where to track: the server in the settings, else a SQLite file in a local home, else nowhere (empty)."""
    if settings.uri:
        return settings.uri
    return f"sqlite:///{home.local / DATABASE}" if home.local is not None else ""


def warm(settings: TrackingSettings, home: Home) -> subprocess.Popen[bytes] | None:
    """Begin to make a new home's database, in the background: its first migration takes ten seconds, while the steps before work.

    Returns the process, or None where there is nothing to make.
    """
    if settings.uri or home.local is None or (home.local / DATABASE).exists():
        return None
    command = [sys.executable, "-m", "components.recsys.tracking", home.url]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def _client(uri: str, home: Home) -> Any:
    """An MLflow client; one process at a time makes the database."""
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with home.lock("tracking", wait_seconds=60):
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


def track(
    settings: TrackingSettings,
    home: Home,
    run: str,
    evaluations: Mapping[str, Mapping[str, Any]],
    verdict: Mapping[str, Any],
    manifest: Mapping[str, Any],
    report: str,
) -> str:
    """One parent run with a child a candidate. evaluations: name -> Evaluation.to_dict(). Returns what was not tracked, or ''."""
    uri = uri_of(settings, home)
    if not uri:
        return "not tracked: the home is in object storage and no MLflow server is set (--set tracking.uri=http://...)"
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(settings.timeout_seconds)))
    tracked: list[str] = []
    try:
        _send(uri, settings.experiment, home, run, evaluations, verdict, manifest, report, tracked)
    except Exception as error:  # noqa: BLE001 - whatever breaks in tracking must not break the run
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        missing = [f"run {run}", *(name for name in evaluations if name not in tracked)]
        what = f"{', '.join(missing)}, since " if tracked else ""
        return f"not tracked: {what}MLflow at {uri} failed ({why}); the run is complete without it"
    return ""


def _send(
    uri: str,
    experiment: str,
    home: Home,
    run: str,
    evaluations: Mapping[str, Mapping[str, Any]],
    verdict: Mapping[str, Any],
    manifest: Mapping[str, Any],
    report: str,
    tracked: list[str],
) -> None:
    """tracked: grows by each candidate that is there, whole."""
    from mlflow.entities import Metric, Param, RunTag

    client = _client(uri, home)
    found = client.get_experiment_by_name(experiment)
    location = (home.local / "mlflow").as_uri() if home.local is not None and uri.startswith("sqlite:") else None
    identity = found.experiment_id if found else client.create_experiment(experiment, artifact_location=location)
    data = {f"data.{kind}.sha256": part["sha256"] for kind, part in manifest["data"].items() if part}
    common = {"everloop.run": run, "everloop.code_version": manifest["code_version"], **data}
    parent = client.create_run(
        identity,
        run_name=run,
        tags={**common, "everloop.outcome": verdict["outcome"], "everloop.release": manifest["digest"]},
    )
    chosen = verdict["chosen"]
    for name, evaluation in evaluations.items():
        tags = {**common, "mlflow.parentRunId": parent.info.run_id, "everloop.chosen": str(name == chosen).lower()}
        child = client.create_run(identity, run_name=name, tags=tags)
        params = {"model": name, "seed": manifest["settings"]["train"].get("seed"), **evaluation.get("learnt", {})}
        stamp = child.info.start_time
        metrics = [Metric(metric, value, stamp, 0) for metric, value in _flat(evaluation)]
        client.log_batch(child.info.run_id, metrics, [Param(k, str(v)[:500]) for k, v in params.items()], [])
        client.set_terminated(child.info.run_id)
        tracked.append(name)
    metrics = [Metric(metric, value, parent.info.start_time, 0) for metric, value in _flat(evaluations[chosen])]
    reasons = RunTag("mlflow.note.content", "\n\n".join(verdict["reasons"])[:5000])
    client.log_batch(parent.info.run_id, metrics, [Param("model", chosen)], [reasons])
    client.log_text(parent.info.run_id, report, "report.html")
    client.set_terminated(parent.info.run_id)


def _flat(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(name, value) of every metric, its interval and its slices: ndcg, ndcg.low, ndcg/gender/F."""
    for metric, figure in evaluation["metrics"].items():
        for part in ("value", "low", "high"):
            if figure.get(part) is not None:
                yield metric if part == "value" else f"{metric}.{part}", float(figure[part])
    for piece in evaluation["slices"]:
        for metric, figure in piece["metrics"].items():
            if figure.get("value") is not None:
                yield (
                    METRIC_NAME.sub("_", f"{metric}/{piece['attribute']}/{piece['group']}")[:250],
                    float(figure["value"]),
                )


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    place = Home(sys.argv[1])
    _client(uri_of(TrackingSettings(), place), place)
