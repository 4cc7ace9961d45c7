"""The report of a run: one HTML file that opens anywhere, without a network.

>>> page = render(ReportData(quality=quality.to_dict(), evaluations=evaluations, verdict=verdict, manifest=manifest))
>>> Path("report.html").write_text(page)

Styles and plots (SVG) are inside the page, there are no scripts, and everything that came with the data is escaped.
Every part may be missing: a run that the data gate stopped gets a report of what is known.
"""

from functools import cache
from typing import Any

from components.recsys.report.data import ReportData, exposure_of
from components.recsys.report.view import view

__all__ = ["ReportData", "exposure_of", "render"]


def render(report: ReportData) -> str:
    """The page, complete and self-contained. Equal reports give equal bytes."""
    return str(_template().render(view(report)))


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("components.recsys.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,  # a misspelt name must fail in a test, not show as nothing
    )
    return environment.get_template("report.html.j2")
