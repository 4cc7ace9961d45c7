"""Configuration files of Prometheus and Alertmanager, for a laptop and for the drill.

>>> alertmanager_config("http://127.0.0.1:8090/webhook", "http://127.0.0.1:9999/page", token_file="token")
>>> prometheus_config({"gateway": "http://127.0.0.1:8000/metrics"}, Path("rules.yaml"), "127.0.0.1:9093",
...                   followed={"predictor": Path("targets/predictors.json")})

scale: as of the rules; waiting times shrink with it. On a cluster both are objects of their operators.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import yaml

from monitoring.alertmanager.routes import CONTROLLER, INHIBITIONS, NOBODY, PAGER, ROUTES
from monitoring.promql.lexer import milliseconds, spelled

SCRAPE = "15s"


def prometheus_config(
    targets: dict[str, str],
    rules: Path,
    alertmanager: str,
    scale: float = 1.0,
    followed: Mapping[str, Path] = MappingProxyType({}),
) -> str:
    """targets: job to URL of its metrics. alertmanager: host:port, empty for none. followed: job to a file that says who
    is to be scraped (file_sd_config); it may come later, its folder may not."""
    interval = _scaled(SCRAPE, scale, least_ms=1000)
    config: dict[str, Any] = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "rule_files": [str(rules.absolute())],
        "scrape_configs": [
            *(_job(name, url) for name, url in targets.items()),
            *(_followed(name, path, interval) for name, path in followed.items()),
        ],
    }
    if alertmanager:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return _yaml(config)


def _job(name: str, url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "job_name": name,
        "scheme": parts.scheme,
        "metrics_path": parts.path or "/metrics",
        "static_configs": [{"targets": [parts.netloc]}],
    }


def _followed(name: str, path: Path, interval: str) -> dict[str, Any]:
    # Changes are seen at once; the interval is for disks that do not tell of them.
    return {
        "job_name": name,
        "file_sd_configs": [{"files": [str(path.absolute())], "refresh_interval": interval}],
    }


def alertmanager_config(controller: str, pager: str, token_file: str | None, scale: float = 1.0) -> str:
    """controller, pager: URLs of webhooks; an empty pager tells nobody. token_file: what the controller asks callers to show."""
    authorization = (
        {"http_config": {"authorization": {"type": "Bearer", "credentials_file": str(Path(token_file).absolute())}}}
        if token_file
        else {}
    )
    receivers: dict[str, list[dict[str, Any]]] = {
        CONTROLLER: [{"url": controller, "send_resolved": True, **authorization}],
        PAGER: [{"url": pager, "send_resolved": True}] if pager else [],
        NOBODY: [],
    }
    return _yaml(
        {
            "route": {
                "receiver": NOBODY,
                "routes": [
                    {
                        "receiver": route.receiver,
                        "matchers": [f'{name}="{value}"' for name, value in route.labels.items()],
                        "continue": True,
                        "group_by": list(route.group_by),
                        "group_wait": _scaled(route.group_wait, scale),
                        "group_interval": _scaled(route.group_interval, scale, least_ms=1000),
                        "repeat_interval": _scaled(route.repeat_interval, scale, least_ms=5000),
                    }
                    for route in ROUTES
                ],
            },
            "inhibit_rules": [
                {
                    "source_matchers": [f'alertname="{rule.source}"'],
                    "target_matchers": [f'alertname=~"{"|".join(rule.targets)}"'],
                    "equal": ["model"],
                }
                for rule in INHIBITIONS
            ],
            "receivers": [
                {"name": name, **({"webhook_configs": hooks} if hooks else {})} for name, hooks in receivers.items()
            ],
        }
    )


def operator_routes() -> str:
    """What goes to the controller, as an AlertmanagerConfig of the Prometheus operator has it; the chart adds the receivers."""
    return _yaml(
        {
            "route": {
                "receiver": NOBODY,
                "routes": [
                    {
                        "receiver": route.receiver,
                        "matchers": [_equals(name, value) for name, value in route.labels.items()],
                        "continue": True,
                        "groupBy": list(route.group_by),
                        "groupWait": route.group_wait,
                        "groupInterval": route.group_interval,
                        "repeatInterval": route.repeat_interval,
                    }
                    for route in ROUTES
                    if route.receiver == CONTROLLER
                ],
            },
            "inhibitRules": [
                {
                    "sourceMatch": [_equals("alertname", rule.source)],
                    "targetMatch": [{"name": "alertname", "value": "|".join(rule.targets), "matchType": "=~"}],
                    "equal": ["model"],
                }
                for rule in INHIBITIONS
            ],
        }
    )


def _equals(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value, "matchType": "="}


def _scaled(duration: str, scale: float, least_ms: int = 0) -> str:
    return duration if scale == 1 else spelled(max(round(milliseconds(duration) * scale), least_ms))


def _yaml(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, width=120))
