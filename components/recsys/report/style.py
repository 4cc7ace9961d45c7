"""The page's style sheet, read once from beside this file.

>>> style().splitlines()[0]
':root {'
"""

from functools import cache
from importlib.resources import files

from markupsafe import Markup


@cache
def style() -> Markup:
    return Markup(files(__package__ or "").joinpath("style.css").read_text(encoding="utf-8"))
