"""`everloop drill`: the whole story, played unattended."""

import json as json_
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from pipelines.console import JsonOption, answer, next_step, out, say, table

EXAMPLES = """[bold]Examples[/]

everloop drill                       [dim]all scenes, under ten minutes on two cores[/]

everloop drill steady shift          [dim]some of them[/]

everloop drill --builtin --json      [dim]without Prometheus, for a machine to read[/]
"""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(drill)


def drill(
    scenes: Annotated[
        list[str] | None,
        typer.Argument(
            help="steady, shift, inverted, broken, storm, bad-data, rollback; by default all. And soak, on request."
        ),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where it is played; a drill that lies there is replaced.")
    ] = Path(".everloop/drill"),
    builtin: Annotated[
        bool, typer.Option("--builtin", help="The built-in evaluator of the rules even where Prometheus is installed.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the world.")] = 7,
    soak_seconds: Annotated[float, typer.Option("--soak-seconds", help="How long the soak lasts.")] = 300.0,
    json: JsonOption = False,
) -> int:
    """Play the loop's story on this machine: drift, retraining, canary, bad releases, alert storm, bad data, rollback.

    Real processes and HTTP on a synthetic travel world whose days pass in seconds. Exit 1 when a scene is not ok.
    """
    from components.recsys.report.drill import drill_page
    from pipelines.drill.story import play

    # As Ctrl-C: everything that was started is ended before we are.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    result = play(folder, scenes or [], builtin, say, seed, soak_seconds)
    report = folder / "report.html"
    report.write_text(drill_page(result), encoding="utf-8")
    (folder / "result.json").write_text(json_.dumps(result, indent=1, default=str))
    result["report"] = str(report)
    if not answer(result, json):
        show(result)
    return 0 if result["ok"] else 1


def show(result: dict[str, Any]) -> None:
    rows = [
        [scene["title"], "ok" if scene["ok"] else "NOT OK", f"{scene['seconds']:.0f} s", words(scene["figures"])]
        for scene in result["scenes"]
    ]
    made = table(
        f"The drill ({result['label']}; watched by {result['watched_by']})", ["scene", "", "took", "figures"], rows
    )
    made.columns[-1].justify, made.columns[-1].no_wrap = "left", False
    out.print(made)
    for scene in result["scenes"]:
        for line in scene["evidence"] if not scene["ok"] else []:
            out.print(f"  [red]{escape(scene['name'])}[/] {escape(line)}")
    out.print(
        f"\n[bold]failed requests[/] {result['failed_requests']} of {result['requests']:,}   "
        f"[bold]report[/] {escape(result['report'])}   ({result['seconds']:.0f} s)"
    )
    next_step(f"open {result['report']}   ·   everloop up")


def words(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
