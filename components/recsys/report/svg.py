"""Plots as inline SVG that follow the page's colours, in the dark too.

>>> with drawing(5, 3, "Events per day", "A bar per day.") as (figure, axes):
...     axes.bar([1, 2], [3, 4], color=SERIES[0])
>>> figure.markup

matplotlib draws with stand-in colours, which are then replaced by CSS variables. Text stays text, so it can be found,
copied and read aloud. Equal plots give equal bytes.
"""

import io
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

# Stand-ins, and the variables of style.css that they become.
INK, FAINT, PAPER = "#010203", "#020304", "#030405"
SERIES = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06")
MARKERS = ("o", "s", "^", "D", "v", "P")  # shapes as well as colours tell candidates apart
VARIABLES = {INK: "--ink", FAINT: "--faint", PAPER: "--paper"} | {c: f"--series-{n}" for n, c in enumerate(SERIES)}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "everloop",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.titlesize": 10,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 9,
}
METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@dataclass
class Drawn:
    """A plot; `markup` is there once the drawing is done."""

    markup: Markup = field(default_factory=Markup)


@contextmanager
def drawing(width: float, height: float, title: str, description: str, **subplots: Any) -> Iterator[tuple[Drawn, Any]]:
    """Axes to draw on (inches; one, or an array of them with nrows, ncols). title and description are read aloud."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    drawn = Drawn()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # The browser has the glyphs of all scripts; here the font only measures.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield drawn, figure.subplots(**subplots)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=METADATA)
    drawn.markup = _inline(out.getvalue(), title, description)


def safe(text: Any, longest: int = 28) -> str:
    """A label that matplotlib takes literally ($ starts a formula), and that leaves room for the plot."""
    text = " ".join(str(text).split())
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return str(text).replace("\\", "\\\\").replace("$", r"\$")


def _inline(svg: str, title: str, description: str) -> Markup:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+(xmlns(:\w+)?|version)="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    svg = svg.replace("'DejaVu Sans'", "var(--font)")
    # Ids are unique within a plot only; what the plot says makes them unique within the page.
    prefix = f"plot-{zlib.crc32(f'{title} {description}'.encode()):08x}"
    svg = re.sub(r'(\sid="|\shref="#|url\(#)', rf"\g<1>{prefix}-", svg)
    label = f"{escape(title)}. {escape(description)}"
    size = re.search(r'viewBox="[^"]*"', svg)
    box = size.group(0) if size else ""
    body = svg[svg.index(">") + 1 :]
    return Markup(f'<svg role="img" aria-label="{label}" {box}><title>{escape(title)}</title>{body}')
