"""`everloop rollout`: run the engine, look at it, start, pause, resume and abort rollouts."""

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape

from components.recsys.errors import InputError, Refused
from components.recsys.home import DEFAULT, Home
from components.recsys.ledger import Ledger
from components.recsys.policy import gradual, set_gradual
from components.recsys.release import SHORT, judged_of, releases_of, resolve, verify
from components.recsys.settings import load_settings
from components.recsys.statuses import Statuses
from pipelines.console import (
    HomeOption,
    JsonOption,
    SetOption,
    SettingsOption,
    answer,
    giving_way,
    next_step,
    out,
    say,
    table,
)
from serving.rollout.state import Rollout, Rollouts, Wish, id_of

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it goes into the ledger.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(name="rollout", help="Gradual releases: a few people first.", no_args_is_help=True)
    group.command(
        epilog="[bold]Examples[/]\n\neverloop rollout run\n\neverloop rollout run --set rollout.bake_seconds=600"
    )(run)
    group.command(epilog="[bold]Example[/]\n\neverloop rollout status")(status)
    group.command(epilog="[bold]Example[/]\n\neverloop rollout start 9f2c4a --reason 'approved by the travel team'")(
        start
    )
    group.command(epilog="[bold]Example[/]\n\neverloop rollout pause --reason 'a sale is on'")(pause)
    group.command(epilog="[bold]Example[/]\n\neverloop rollout resume")(resume)
    group.command(epilog="[bold]Example[/]\n\neverloop rollout abort --reason 'complaints'")(abort)
    group.command(epilog="[bold]Examples[/]\n\neverloop rollout policy\n\neverloop rollout policy direct")(policy)
    app.add_typer(group)


def run(
    stop_predictors: Annotated[
        bool, typer.Option("--stop-predictors", help="End the predictors too when the engine ends.")
    ] = False,
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Run the engine: a predictor for each release in use, routes for the gateways, and every rollout from 5 % to its end."""
    from serving.rollout.server import main

    def ready(url: str) -> None:
        if answer({"metrics": f"{url}/metrics"}, json):
            sys.stdout.flush()

    return main(home, load_settings(settings, set_), told=say, ready=ready, stop_predictors=stop_predictors)


def policy(
    wanted: Annotated[
        str, typer.Argument(help="gradual: a rollout for what passes the gate. direct: at once. By default it is told.")
    ] = "",
    home: HomeOption = DEFAULT,
    json: JsonOption = False,
) -> int:
    """How releases of this home go out; `everloop up` makes it gradual."""
    if wanted not in ("", "gradual", "direct"):
        raise InputError(f"'{wanted}' is no policy; known are gradual and direct")
    place = Home(home)
    if wanted:
        set_gradual(place.store, wanted == "gradual")
    now = "gradual" if gradual(place.store) else "direct"
    if not answer({"policy": now}, json):
        out.print(
            "what passes the gate is given to a few people first, by the rollout engine"
            if now == "gradual"
            else "what passes the gate is the champion at once"
        )
        next_step(
            "everloop rollout status" if now == "gradual" else "everloop rollout policy gradual   ·   everloop up"
        )
    return 0


def status(home: HomeOption = DEFAULT, json: JsonOption = False) -> int:
    """The last rollout: its state, its guards, and whether the engine runs."""
    place = Home(home)
    told, rollout = Statuses(place.store).read("rollout"), Rollouts(place.store).newest()
    value: dict[str, Any] = {
        "engine": {"running": not told.stale, "time": told.time, "fault": told.facts.get("fault", "")},
        "champion": Ledger(place).champion(),
        "gradual": gradual(place.store),
        "rollout": asdict(rollout) if rollout else None,
        "guards": guards_of(rollout, told.facts),
        "predictors": told.facts.get("predictors", []),
    }
    if answer(value, json):
        return 0
    if told.stale:
        out.print("[yellow]the engine does not run[/]" + (f"; its last word is from {told.time}" if told.time else ""))
    elif value["engine"]["fault"]:
        out.print(f"[yellow]the engine has a fault:[/] {escape(value['engine']['fault'])}")
    if told.facts.get("waits_for"):
        out.print(f"[yellow]waiting[/] {escape(told.facts['waits_for'])}")
    if rollout is None:
        out.print("there was no rollout yet")
        next_step("everloop rollout start DIGEST --reason WHY")
        return 0
    state = f"step {rollout.step + 1}" if rollout.state == "step" else rollout.state
    paused = ", paused" if rollout.paused else ""
    out.print(
        f"rollout {rollout.id} of release [bold]{rollout.candidate[:SHORT]}[/] "
        f"against {rollout.champion[:SHORT]}: [bold]{state}[/], share {rollout.share:.0%}{paused}"
    )
    rows = [[verdict["guard"], verdict["state"], verdict["sentence"]] for verdict in value["guards"]]
    if rows:
        out.print(giving_way(table("Guards", ["guard", "state", "why"], rows)))
    moves = [[move.time[:19], move.state, f"{move.share:.0%}", move.why] for move in rollout.moves]
    out.print(giving_way(table("Story", ["time", "state", "share", "why"], moves)))
    if rollout.active:
        next_step("everloop rollout pause   ·   everloop rollout abort --reason WHY")
    else:
        next_step("everloop releases   ·   everloop rollback")
    return 0


def guards_of(rollout: Rollout | None, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """What guards say now, or said when the rollout ended."""
    if rollout is None:
        return []
    if rollout.active:
        return list(facts.get("guards", [])) if facts.get("rollout") == rollout.id else []
    return next((move.guards for move in reversed(rollout.moves) if move.guards), [])


def start(
    digest: Annotated[str, typer.Argument(help="A release's digest, or its first characters.")],
    reason: ReasonOption = "started by hand",
    force: Annotated[bool, typer.Option("--force", help="Also a release that the gate rejected.")] = False,
    home: HomeOption = DEFAULT,
    json: JsonOption = False,
) -> int:
    """Give a release to a few people first, then to more, while guards watch."""
    place = Home(home)
    store, ledger = releases_of(place), Ledger(place)
    digest = resolve(store, digest)
    manifest, _ = verify(store, digest)
    if "judged" in manifest:
        verify(judged_of(place), manifest["judged"])
    entries = ledger.entries()
    champion = entries[-1].champion if entries else ""
    if not champion:
        raise Refused(f"there is no champion to compare with; `everloop promote {digest[:SHORT]}` makes the first")
    if digest == champion:
        raise Refused(f"release {digest[:SHORT]} is the champion already")
    under_way = Rollouts(place.store).newest()
    if under_way and under_way.active:
        raise Refused(
            f"rollout {under_way.id} of {under_way.candidate[:SHORT]} is under way; `everloop rollout abort` ends it"
        )
    verdicts = [
        entry for entry in entries if entry.release == digest and entry.action in ("approve", "reject", "promote")
    ]
    rejected = bool(verdicts) and verdicts[-1].action == "reject"
    if rejected and not force:
        raise Refused(f"the gate rejected {digest[:SHORT]} ({verdicts[-1].reason}); --force starts it all the same")
    if rejected:
        reason = f"forced past the gate, which had said: {verdicts[-1].reason} Why: {reason}"
    evidence = {"by_hand": True, "forced": rejected}
    entry = ledger.append("approve", digest, reason, evidence=evidence, expect_champion=champion)
    running = not Statuses(place.store).read("rollout").stale
    value = {
        "rollout": id_of(entry),
        "release": digest,
        "champion": champion,
        "forced": rejected,
        "engine_running": running,
    }
    if not answer(value, json):
        out.print(f"rollout {id_of(entry)} of release {digest[:SHORT]} is asked for")
        next_step("everloop rollout status" if running else "everloop rollout run   (no engine runs in this home)")
    return 0


def pause(reason: ReasonOption = "paused by hand", home: HomeOption = DEFAULT, json: JsonOption = False) -> int:
    """Stay at this share; guards go on watching, and still take back what is broken."""
    return _wish("pause", reason, home, json, "it stays at its share   ·   everloop rollout resume")


def resume(reason: ReasonOption = "resumed by hand", home: HomeOption = DEFAULT, json: JsonOption = False) -> int:
    """Go on with a paused rollout."""
    return _wish("resume", reason, home, json, "everloop rollout status")


def abort(reason: ReasonOption = "aborted by hand", home: HomeOption = DEFAULT, json: JsonOption = False) -> int:
    """End the rollout; everybody is back with the champion within seconds."""
    return _wish("abort", reason, home, json, "everloop rollout status")


def _wish(wish: Wish, reason: str, home: str, json: bool, then: str) -> int:
    place = Home(home)
    rollouts = Rollouts(place.store)
    rollout = rollouts.newest()
    if rollout is None or not rollout.active:
        raise Refused("no rollout is under way; see `everloop rollout status`")
    if not reason.strip():
        raise InputError("--reason is empty; say why, it is kept")
    rollouts.wish(wish, rollout.id, reason)
    running = not Statuses(place.store).read("rollout").stale
    if not answer({"rollout": rollout.id, "asked": wish, "engine_running": running}, json):
        out.print(
            f"asked the engine to {wish} rollout {rollout.id}" + ("" if running else "; no engine runs, the next will")
        )
        next_step(then)
    return 0
