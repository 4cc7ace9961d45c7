"""`everloop status`: who serves and why, which parts of the loop are alive, what goes on, and what was decided last."""

import math
from typing import Any

import typer
from rich.markup import escape

from components.recsys.home import DEFAULT, Home
from components.recsys.ledger import Ledger
from components.recsys.release import SHORT
from components.recsys.statuses import PARTS, Statuses
from pipelines.console import HomeOption, JsonOption, answer, next_step, out

LATEST = 5  # decisions of the controller that are shown

Json = dict[str, Any]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="[bold]Example[/]\n\neverloop status --json")(status)


def status(home: HomeOption = DEFAULT, json: JsonOption = False) -> int:
    """Who serves now, since when and why; which parts of the loop are alive; what was decided last."""
    place = Home(home)
    value = {**who_serves(place), **loop_of(place)}
    if answer(value, json):
        return 0
    show_champion(value)
    show_loop(value)
    next_step("everloop releases   ·   everloop controller status" if value["champion"] else "everloop run")
    return 0


def who_serves(home: Home) -> Json:
    """From the ledger."""
    entries = Ledger(home).entries()
    move = next((entry for entry in reversed(entries) if entry.action in ("promote", "rollback")), None)
    last = entries[-1] if entries else None
    return {
        "home": home.url,
        "champion": move.champion if move else "",
        "since": move.time if move else "",
        "reason": move.reason if move else "",
        "decisions": len(entries),
        "last": {"action": last.action, "release": last.release, "time": last.time} if last else None,
    }


def loop_of(home: Home) -> Json:
    """From what the parts say of themselves. A part that never said a word is left out, as where no loop was started."""
    from serving.rollout.state import Rollouts

    said = {part: Statuses(home.store).read(part) for part in PARTS}
    parts = {
        part: {"alive": not word.stale, "time": word.time, "age_seconds": round(word.age_seconds, 1)}
        for part, word in said.items()
        if math.isfinite(word.age_seconds)
    }
    rollout, monitor, controller = Rollouts(home.store).newest(), said["monitor"].facts, said["controller"].facts
    return {
        "parts": parts,
        "rollout": {
            name: getattr(rollout, name) for name in ("id", "candidate", "state", "share", "paused", "since", "broken")
        }
        if rollout
        else None,
        "drift": str(monitor.get("drift_sentence") or ""),
        "controller": {
            "paused": controller.get("paused", ""),
            "breaker": controller.get("breaker", {}),
            "data_quality": controller.get("data_quality", ""),
            "active": controller.get("active", 0),
            "decisions": controller.get("decisions", [])[:LATEST],
        }
        if controller
        else None,
    }


def show_champion(value: Json) -> None:
    if not value["champion"]:
        out.print(f"{escape(value['home'])}: no champion yet")
        return
    last = value["last"]
    out.print(f"[bold]champion[/] {value['champion'][:SHORT]} since {value['since']}")
    out.print(f"[bold]why[/]      {escape(value['reason'])}")
    out.print(
        f"[bold]ledger[/]   {value['decisions']} decisions, the last: "
        f"{last['action']} {last['release'][:SHORT]} at {last['time']}"
    )


def show_loop(value: Json) -> None:
    if not value["parts"]:
        return
    words = [
        f"{part} [green]alive[/]" if each["alive"] else f"{part} [yellow]silent since {each['time'][:19]}[/]"
        for part, each in value["parts"].items()
    ]
    out.print(f"[bold]loop[/]     {' · '.join(words)}")
    rollout = value["rollout"]
    if rollout:
        state = "paused" if rollout["paused"] else rollout["state"]
        broken = f", broken: {rollout['broken']}" if rollout["broken"] else ""
        out.print(
            f"[bold]rollout[/]  {rollout['candidate'][:SHORT]} {state} at {rollout['share']:.0%} of users "
            f"since {rollout['since'][:19]}{escape(broken)}"
        )
    if value["drift"]:
        out.print(f"[bold]drift[/]    {escape(value['drift'])}")
    if value["controller"]:
        from pipelines.commands.controller import show_decisions, show_held

        show_held(value["controller"])
        if value["controller"]["decisions"]:
            out.print("[bold]retrain[/]  the latest decisions")
            show_decisions(value["controller"]["decisions"])
