"""One panel, and a dashboard of rows of them, as Grafana's classic JSON (schemaVersion 42).

>>> panel = Panel("Lists a second", "Lists given to people.", {"sum(rate(everloop_gateway_lists_total[$__rate_interval]))": "all"})
>>> Dashboard("serving", "Everloop: serving", "...", {"People": (panel,)}).json()["uid"]
'everloop-serving'

The grid is 24 wide; panels share it evenly, three side by side at most, unless they say their width. Units are Grafana's names.
"""

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
HEIGHTS = {"timeseries": 8, "stat": 4, "state-timeline": 8}


@dataclass(frozen=True)
class Panel:
    """queries: expression to legend ({{label}} is replaced). limit: a line above which values are bad; bad_below turns it
    round. words: names of values (0: "no")."""

    title: str
    description: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "state-timeline"] = "timeseries"
    width: int = 0
    limit: float | None = None
    bad_below: bool = False
    lowest: float | None = 0
    highest: float | None = None
    stacked: bool = False
    words: dict[int, str] | None = None

    def json(self, number: int, x: int, y: int, width: int) -> dict[str, Any]:
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"h": HEIGHTS[self.kind], "w": width, "x": x, "y": y},
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": _options(self.kind),
            "targets": [
                {
                    "refId": string.ascii_uppercase[index],
                    "datasource": DATASOURCE,
                    "expr": expr,
                    "legendFormat": legend,
                    "range": self.kind != "stat",
                    "instant": self.kind == "stat",
                }
                for index, (expr, legend) in enumerate(self.queries.items())
            ],
        }

    def _defaults(self) -> dict[str, Any]:
        good, bad = ("red", "green") if self.bad_below else ("green", "red")
        steps: list[dict[str, Any]] = [{"color": good if self.limit is not None else "text", "value": None}]
        if self.limit is not None:
            steps.append({"color": bad, "value": self.limit})
        defaults: dict[str, Any] = {
            "unit": self.unit,
            "thresholds": {"mode": "absolute", "steps": steps},
            "color": {"mode": "thresholds" if self.kind != "timeseries" else "palette-classic"},
        }
        bounds = {"min": self.lowest, "max": self.highest}
        defaults |= {name: bound for name, bound in bounds.items() if bound is not None}
        if self.words:
            named = {str(value): {"text": text, "index": i} for i, (value, text) in enumerate(self.words.items())}
            defaults["mappings"] = [{"type": "value", "options": named}]
        if self.kind == "timeseries":
            defaults["custom"] = {
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": 30 if self.stacked else 0,
                "showPoints": "never",
                "spanNulls": False,  # a gap is a gap: nobody may take silence for health
                "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "line" if self.limit is not None else "off"},
            }
        return defaults


def _options(kind: str) -> dict[str, Any]:
    if kind == "stat":
        return {
            "colorMode": "value",
            "graphMode": "none",
            "textMode": "value_and_name",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    if kind == "state-timeline":
        return {"legend": legend, "mergeValues": True, "showValue": "never", "rowHeight": 0.8}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


@dataclass(frozen=True)
class Dashboard:
    """rows: a heading to its panels."""

    name: str
    title: str
    description: str
    rows: dict[str, tuple[Panel, ...]]

    @property
    def uid(self) -> str:
        return f"everloop-{self.name}"

    def panels(self) -> Iterator[Panel]:
        for row in self.rows.values():
            yield from row

    def json(self) -> dict[str, Any]:
        return {
            "id": None,
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["everloop"],
            "schemaVersion": 42,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "links": [
                {
                    "type": "dashboards",
                    "tags": ["everloop"],
                    "title": "Everloop",
                    "asDropdown": False,
                    "includeVars": True,
                    "keepTime": True,
                }
            ],
            "annotations": {"list": []},
            "templating": {
                "list": [
                    {
                        "name": "datasource",
                        "label": "Prometheus",
                        "type": "datasource",
                        "query": "prometheus",
                        "current": {},
                        "hide": 0,
                    }
                ]
            },
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[dict[str, Any]]:
        number, y = 1, 0
        for heading, row in self.rows.items():
            yield {
                "id": number,
                "type": "row",
                "title": heading,
                "collapsed": False,
                "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
                "panels": [],
            }
            number, y, x, tallest = number + 1, y + 1, 0, 0
            for panel in row:
                width = panel.width or WIDTH // (len(row) if panel.kind == "stat" else min(len(row), 3))
                if x + width > WIDTH:
                    x, y, tallest = 0, y + tallest, 0
                yield panel.json(number, x, y, width)
                number, x, tallest = number + 1, x + width, max(tallest, HEIGHTS[panel.kind])
            y += tallest
