"""How commands talk to people: progress and errors on stderr, answers on stdout.

>>> answer({"digest": digest}, as_json=True)
{"digest":"9f2c..."}
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PIPED_WIDTH = 300  # nobody's terminal: a table in a file or a pipe keeps all of its columns
out = Console(
    highlight=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH,
)
err = Console(stderr=True, highlight=False, soft_wrap=True)

HomeOption = Annotated[
    str,
    typer.Option(
        "--home",
        envvar="EVERLOOP_HOME",
        help="Where tables, releases and the ledger lie: a folder or s3://bucket/prefix.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One machine-readable object on stdout.")]
SettingsOption = Annotated[
    str | None, typer.Option("--settings", help="A YAML or JSON file of settings; see docs/reference/settings.md.")
]
SetOption = Annotated[list[str], typer.Option("--set", help="One setting, as SECTION.NAME=VALUE; may be repeated.")]


def answer(value: dict[str, Any], as_json: bool) -> bool:
    """Print `value` as JSON when asked to; returns whether it did."""
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    return as_json


def say(text: str) -> None:
    err.print(text, markup=False)


def next_step(text: str) -> None:
    """What people most likely want to do now, as it can be pasted."""
    text = re.sub(r"(?<!\S)everloop(?= )", program(), text)
    out.print(f"[dim]next:[/] {escape(text)}")


def program() -> str:
    """How this shell calls us: `everloop` where it finds that (an activated environment), else by path: `.venv/bin/everloop`."""
    called = Path(sys.argv[0])
    if called.name != "everloop" or shutil.which("everloop"):
        return "everloop"
    return os.path.relpath(called) if called.absolute().is_relative_to(Path.cwd()) else str(called.absolute())


def say_error(text: str, as_json: bool, code: int = 2, stage: str = "") -> None:
    """code: the command's exit code. stage: the pipeline's step that failed."""
    if as_json:
        answer({"error": text, "code": code, **({"stage": stage} if stage else {})}, as_json)
    err.print(f"[bold red]error:[/] {escape(text)}")


def figure(value: dict[str, Any] | None, digits: int = 3) -> str:
    """A metric with its 95 % interval: 0.241 [0.232, 0.250]."""
    if not value or value.get("value") is None:
        return "-"
    text = f"{value['value']:.{digits}f}"
    if value.get("low") is not None and value.get("high") is not None:
        text += f" [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"
    return text


def table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    made = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        title_justify="left",
        title_style="bold",
        header_style="bold",
    )
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    return made


def giving_way(made: Table) -> Table:
    """The last column holds sentences: it takes as many lines as it needs, so that the others stay whole."""
    made.columns[-1].no_wrap, made.columns[-1].justify, made.columns[-1].overflow = False, "left", "fold"
    return made
