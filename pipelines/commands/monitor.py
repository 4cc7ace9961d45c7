"""`everloop monitor`."""

import sys
from typing import Annotated

import typer

from components.recsys.home import DEFAULT, Home
from components.recsys.settings import load_settings
from pipelines.console import HomeOption, JsonOption, SetOption, SettingsOption, answer, giving_way, out, say, table

EXAMPLES = """[bold]Examples[/]

everloop monitor                       [dim]looks every 30 s; metrics at http://127.0.0.1:8091/metrics[/]

everloop monitor --once --json         [dim]one look, for cron; exit 1 when something drifts or people click less[/]

everloop monitor --report              [dim]one look with an Evidently report for people[/]
"""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(monitor)


def monitor(
    once: Annotated[
        bool, typer.Option("--once", help="Look once and exit: 0 all is steady, 1 something drifts, 3 the look failed.")
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="Look once and render an Evidently report.")] = False,
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Watch what people do, what they are shown and what they click, and say when it drifts."""
    chosen, place = load_settings(settings, set_), Home(home)
    if once or report:
        from monitoring.watching.watch import Watch

        facts = Watch(place, chosen).look(report=report, wait=True)
        if not answer(facts, json):
            rows = [
                [
                    each["feature"],
                    each["kind"],
                    "no data" if each["distance"] is None else f"{each['distance']:.3f}",
                    "-" if each["limit"] is None else f"{each['limit']:.3f}",
                    "-" if each["p_value"] is None else f"{each['p_value']:.4f}",
                    "drifts" if each["detected"] else "steady" if each["judged"] else each["untested"],
                ]
                for each in facts["drift"]
            ]
            out.print(giving_way(table("Drift", ["feature", "kind", "distance", "limit", "p", ""], rows)))
            out.print(facts["drift_sentence"], markup=False)
            out.print(facts["quality"].get("sentence", ""), markup=False)
            for note in (facts["report"], facts["report_note"], *facts["faults"]):
                if note:
                    say(note)
        return 3 if facts["faults"] else 1 if facts["detected"] or facts["quality"].get("alarm") else 0
    from monitoring.watching.server import main

    def ready(url: str) -> None:
        if answer({"url": url, "metrics": f"{url}/metrics"}, json):
            sys.stdout.flush()

    return main(place, chosen, told=say, ready=ready)
