"""`everloop up`: the whole loop on one machine."""

import signal
import threading
from types import FrameType
from typing import Annotated

import typer

from components.recsys.home import DEFAULT, Home
from components.recsys.ledger import Ledger
from components.recsys.settings import load_settings
from pipelines.commands.run import DataOption, EventsOption, ItemsOption, UsersOption, chosen_sources
from pipelines.console import HomeOption, JsonOption, SetOption, SettingsOption, answer, next_step, out, say

EXAMPLES = """[bold]Examples[/]

everloop up                                     [dim]after everloop run; the console is at http://127.0.0.1:8000[/]

everloop up --events clicks.csv --items products.csv --set gateway.port=9000 --set rollout.bake_seconds=600
"""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(up)


def up(
    events: EventsOption = [],  # noqa: B006
    items: ItemsOption = [],  # noqa: B006
    users: UsersOption = [],  # noqa: B006
    data: DataOption = "",
    builtin: Annotated[
        bool,
        typer.Option("--builtin", help="Use the built-in evaluator of the rules even where Prometheus is installed."),
    ] = False,
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Keep a recommender alive: serve, log, watch, retrain, release gradually. Without a champion it runs the pipeline first."""
    from pipelines.loop.loop import Loop

    chosen = load_settings(settings, set_)
    place = Home(home)
    if not Ledger(place).champion():
        from pipelines.local import run_local

        say("no champion yet: the pipeline runs first")
        run_local(place, chosen_sources(events, items, users, data), chosen)
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with Loop(place, chosen, told=say, builtin=builtin) as loop:
        console = loop.places.url("gateway")
        names = (*loop.parts, *(["evaluator"] if loop.evaluating else []))
        if not answer({"console": console, "parts": {n: loop.places.url(n) for n in loop.parts}}, json):
            out.print(f"[bold]the loop is up[/]: {', '.join(names)}\n[bold]console[/] {console}")
            next_step(f"open {console}   ·   everloop status   ·   Ctrl-C ends it all in order")
        ended.wait()
        say("ending: requests in flight finish, logs are written")
    say("everything has ended; nothing that was accepted is lost")
    return 0
