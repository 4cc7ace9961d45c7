"""The reference page of the chart's values: docs/reference/values.md.

>>> values_page().splitlines()[1]
'# Values of the chart'

What can be said of every part's pods stands there once; a part's own table has what is its own.
"""

import json
from collections.abc import Iterator

from pipelines.chart.base import Values
from pipelines.chart.pods import Part
from pipelines.chart.values import Chart
from pipelines.chart.writing import is_group, plain

HEAD = ["| value | default | what |", "| - | - | - |"]


def values_page() -> str:
    chart = Chart()
    single = [name for name in type(chart).model_fields if not is_group(getattr(chart, name))]
    lines = [
        "# Values of the chart\n",
        "As in [`values.yaml`](../../helm/everloop/values.yaml), which is made from the same source, and its closed",
        "[schema](../../helm/everloop/values.schema.json). How to install: [Helm](../kubernetes/helm.md).\n",
        *table(row for name in single for row in rows(chart, "", only=name)),
        "## Every part\n",
        "The same for `gateway`, `rollout`, `monitor` and `controller`; each is its own. Written as `PART.NAME`.\n",
        *table(rows(Part(), "PART.")),
    ]
    for name, field in type(chart).model_fields.items():
        group = getattr(chart, name)
        if is_group(group):
            key = field.alias or name
            lines += [f"## {key}\n", f"{field.description}\n", *table(rows(group, f"{key}."))]
    return "\n".join(lines)


def table(found: Iterator[tuple[str, str, str]]) -> list[str]:
    return [*HEAD, *(f"| `{path}` | `{default}` | {text} |" for path, default, text in found), ""]


def rows(values: Values, prefix: str, only: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in type(values).model_fields.items():
        value, path = getattr(values, name), f"{prefix}{field.alias or name}"
        if only and name != only:
            continue
        if type(values) is not Part and isinstance(values, Part) and getattr(Part(), name, None) == value:
            continue  # stands under "Every part"
        if is_group(value):
            yield from rows(value, f"{path}.")
        else:
            default = json.dumps(plain(value), ensure_ascii=False).replace("|", "\\|")
            yield path, default, (field.description or "").replace("|", "\\|")
