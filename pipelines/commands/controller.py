"""`everloop controller`: the part of the loop that turns alerts into training runs, and what people tell it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.markup import escape

from components.recsys.errors import InputError
from components.recsys.home import DEFAULT, Home
from components.recsys.ledger import actor_here
from components.recsys.settings import Settings, load_settings
from components.recsys.statuses import Statuses
from monitoring.controller.launcher import Launcher
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import Triggers
from pipelines.console import HomeOption, JsonOption, SetOption, SettingsOption, answer, next_step, out, say

DECISION_SECONDS = 5.0  # a living controller decides within a second; a busy machine takes longer
SILENT = "no controller runs on this home; what is asked is stored, and decided when one does: everloop controller run"


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        name="controller", help="Alerts become training runs, one for each reason.", no_args_is_help=True
    )
    group.command(
        epilog="[bold]Examples[/]\n\neverloop controller run\n\n"
        "everloop controller run --set retrain.runner=kubeflow --endpoint http://localhost:8888"
    )(run)
    group.command(epilog="[bold]Example[/]\n\neverloop controller status")(status)
    group.command(epilog="[bold]Example[/]\n\neverloop controller runs --all --json")(runs)
    group.command(epilog="[bold]Example[/]\n\neverloop controller pause --reason 'the catalogue is being moved'")(pause)
    group.command(epilog="[bold]Example[/]\n\neverloop controller resume --data-quality")(resume)
    group.command(epilog="[bold]Example[/]\n\neverloop controller trigger --reason 'a new catalogue'")(trigger)
    app.add_typer(group)


@contextmanager
def opened(home: str, settings: Settings) -> Iterator[tuple[Home, Triggers, Switches]]:
    from monitoring.controller.server import database_of

    place = Home(home)
    database = database_of(place, settings)
    try:
        yield place, Triggers(database, settings.retrain.cooldown_seconds), Switches(database)
    finally:
        database.close()


def run(
    host: Annotated[str, typer.Option("--host", help="Address to listen on (setting retrain.host).")] = "",
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 takes a free one (setting retrain.port).")] = None,
    endpoint: Annotated[
        str, typer.Option("--endpoint", envvar="KUBEFLOW_ENDPOINT", help="Kubeflow's API, for retrain.runner=kubeflow.")
    ] = "",
    token: Annotated[
        str,
        typer.Option("--token", envvar="KUBEFLOW_TOKEN", help="Bearer token of that endpoint.", show_default=False),
    ] = "",
    namespace: Annotated[
        str, typer.Option("--namespace", envvar="KUBEFLOW_NAMESPACE", help="Your profile in Kubeflow.")
    ] = "",
    service_account: Annotated[
        str,
        typer.Option("--service-account", envvar="KUBEFLOW_SERVICE_ACCOUNT", help="Of the pods of runs in Kubeflow."),
    ] = "",
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Take Alertmanager's webhooks at POST /v1/alerts, decide, start runs and follow them, until SIGTERM."""
    from monitoring.controller.server import main

    given = [f"retrain.host={host}"] if host else []
    given += [f"retrain.port={port}"] if port is not None else []
    chosen, place = load_settings(settings, [*set_, *given]), Home(home)
    launcher = launcher_of(place, chosen, settings, set_, (endpoint, token, namespace), service_account)

    def ready(url: str) -> None:
        if answer({"url": url, "alerts": f"{url}/v1/alerts"}, json):
            sys.stdout.flush()

    return main(place, chosen, launcher, told=say, ready=ready)


def launcher_of(
    home: Home,
    settings: Settings,
    file: str | None,
    sets: list[str],
    kubeflow: tuple[str, str, str],
    service_account: str = "",
) -> Launcher:
    """The runner that retrain.runner names."""
    from pipelines.kubeflow import Kubeflow
    from pipelines.launching import KubeflowLauncher, LocalLauncher, NewFeedback

    feedback = NewFeedback(home)
    if settings.retrain.runner == "local":
        return LocalLauncher(home, file, sets, feedback.count)
    endpoint, token, namespace = kubeflow
    if not endpoint:
        raise InputError("retrain.runner is kubeflow: give --endpoint http://HOST:8888 or set KUBEFLOW_ENDPOINT")
    return KubeflowLauncher(
        lambda: Kubeflow(endpoint, token, namespace),
        home,
        settings,
        feedback.sources,
        feedback.count,
        service_account,
    )


def status(
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """What holds the controller back, what runs, and the latest decisions with their reasons."""
    from monitoring.controller.facts import facts

    chosen = load_settings(settings, set_)
    with opened(home, chosen) as (place, triggers, switches):
        word = Statuses(place.store).read("controller")
        value = facts(triggers, switches, chosen.retrain)
        value |= {"alive": not word.stale, "since": word.time, "trouble": word.facts.get("trouble", "")}
    if answer(value, json):
        return 0
    show_status(value)
    next_step("everloop controller runs   ·   everloop controller pause --reason TEXT")
    return 0


def show_status(value: dict[str, Any]) -> None:
    alive = "alive" if value["alive"] else f"silent since {value['since']}" if value["since"] else "never started"
    out.print(f"[bold]controller[/] {alive}")
    show_held(value)
    budget = value["budget"]
    out.print(
        f"[bold]budget[/]     {budget['used']} of {budget['of']} runs in the last 24 hours; {value['active']} under way"
    )
    show_decisions(value["decisions"])


def show_held(value: dict[str, Any]) -> None:
    """What keeps runs from being started, a sentence each."""
    said = [
        value.get("trouble"),
        value["paused"] and f"paused: {value['paused']}",
        value["breaker"].get("open") and f"circuit breaker open: {value['breaker']['failures']} runs failed in a row",
        value["data_quality"] and f"the newest data did not pass the data gate: {value['data_quality']}",
        value.get("blocks") and f"alerts that forbid training: {', '.join(each['alert'] for each in value['blocks'])}",
        value.get("dry_run") and "dry run: decisions are recorded and nothing is started",
    ]
    for sentence in filter(None, said):
        out.print(f"  [yellow]{escape(str(sentence))}[/]")


def show_decisions(decisions: list[dict[str, Any]]) -> None:
    """Two lines each, the newest first: who asked and what became of it, and why."""
    for each in decisions:
        copies = f" ({each['copies']} times)" if each.get("copies", 1) > 1 else ""
        colour = {"PROMOTED": "green", "FAILED": "red", "SUPPRESSED": "yellow"}.get(each["state"], "cyan")
        word = each["outcome"] or each["state"].lower()
        out.print(f"{each['time'][:19]}  [{colour}]{word:<10}[/]  {escape(each['alert'])}{copies}")
        more = " · ".join(filter(None, (each["run"], each["reason"])))
        if more:
            out.print(f"{'':21}[dim]{escape(more)}[/]")


def runs(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many.")] = 20,
    all_: Annotated[bool, typer.Option("--all", help="What was suppressed too.")] = False,
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Runs that the controller started, the newest first; with --json also the alerts that asked for each."""
    from monitoring.controller.facts import plain_trigger, told_decision

    with opened(home, load_settings(settings, set_)) as (_, triggers, _switches):
        rows = triggers.latest(limit) if all_ else triggers.runs(limit)
    if not answer({"runs": [plain_trigger(row, evidence=True) for row in rows]}, json):
        show_decisions([told_decision(row) for row in rows])
    return 0


def pause(
    reason: Annotated[str, typer.Option("--reason", help="Why; it is shown wherever a run is suppressed.")],
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Start no run until somebody resumes. Runs under way go on."""
    with opened(home, load_settings(settings, set_)) as (_, _triggers, switches):
        switches.pause(reason, actor_here())
    if not answer({"paused": reason}, json):
        out.print(f"paused: {escape(reason)}")
        next_step("everloop controller resume")
    return 0


def resume(
    data_quality: Annotated[
        bool, typer.Option("--data-quality", help="The data is mended: forget what the gate said, close its alerts.")
    ] = False,
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """End a pause and close the circuit breaker."""
    with opened(home, load_settings(settings, set_)) as (_, _triggers, switches):
        switches.resume(actor_here(), data_quality)
        held = switches.read()
    value = {"paused": held.paused, "failures": held.failures, "data_quality": held.data_quality}
    if not answer(value, json):
        out.print("resumed: the next alert may start a run")
        if held.data_quality or held.blocks:
            out.print("[yellow]the newest data did not pass the data gate; when it is mended, add --data-quality[/]")
        next_step("everloop controller status")
    return 0


def trigger(
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the record.")],
    force: Annotated[bool, typer.Option("--force", help="Over all guards; the record says which said no.")] = False,
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Ask for a run by hand. The same guards decide, but for the cooldown. Exit code 1: a guard said no."""
    from monitoring.controller.facts import told_decision
    from monitoring.controller.records import MANUAL, MODEL, Intent, State

    wish = Intent(MODEL, MANUAL, actor_here(), note=reason[:500], forced=force)
    with opened(home, load_settings(settings, set_)) as (place, triggers, _switches):
        (number,) = triggers.receive([wish])
        row, alive = triggers.get(number), not Statuses(place.store).read("controller").stale
        patience = time.monotonic() + DECISION_SECONDS
        while alive and row.state is State.RECEIVED and time.monotonic() < patience:
            time.sleep(0.1)
            row = triggers.get(number)
    suppressed, told = row.state is State.SUPPRESSED, told_decision(row)
    if not alive:
        say(SILENT)
    value = {
        "trigger": number,
        "key": row.key,
        "state": str(row.state),
        "reason": told["reason"],
        "controller_alive": alive,
    }
    if not answer(value, json):
        show_decisions([told])
        again = "see why with: everloop controller status   ·   over the guards: everloop controller trigger --force --reason TEXT"
        next_step(again if suppressed else "everloop controller runs --all")
    return int(suppressed)
