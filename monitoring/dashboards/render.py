"""The rules, their routes and the dashboards as files of the Helm chart, which makes objects of them.

>>> write_monitoring(Path("helm/everloop/files"))
[PosixPath('helm/everloop/files/rules.yaml'), PosixPath('helm/everloop/files/dashboards/serving.json'), ...]

Where runbooks and the console lie is the chart's to say: the rules hold RUNBOOKS and CONSOLE in their place.
"""

import json
from pathlib import Path

from monitoring.alertmanager.config import operator_routes
from monitoring.dashboards.drift import drift
from monitoring.dashboards.loop import loop
from monitoring.dashboards.panel import Dashboard
from monitoring.dashboards.serving import serving
from monitoring.rules.render import HEADER, render_rules

RUNBOOKS, CONSOLE = "{runbooks}", "{console}"


def dashboards() -> tuple[Dashboard, ...]:
    return serving(), drift(), loop()


def write_monitoring(target: Path) -> list[Path]:
    """rules.yaml, routes.yaml for an AlertmanagerConfig, and a JSON file for each dashboard."""
    files = {
        "rules.yaml": render_rules(runbooks=RUNBOOKS, console=CONSOLE),
        "routes.yaml": HEADER + operator_routes(),
    }
    for dashboard in dashboards():
        text = json.dumps(dashboard.json(), indent=2, ensure_ascii=False)
        files[f"dashboards/{dashboard.name}.json"] = text + "\n"
    (target / "dashboards").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
    return [target / name for name in files]
