"""What may serve, what serves and what served: releases, promote, rollback, who-served, reproduce."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from components.recsys.buckets import CANDIDATE
from components.recsys.errors import EverloopError, InputError, Refused
from components.recsys.home import DEFAULT, Home
from components.recsys.ledger import MOVES, Entry, Ledger
from components.recsys.predictions import Prediction
from components.recsys.release import MANIFEST, SHORT, judged_of, read_manifest, releases_of, resolve, verify
from components.recsys.served import who_served as who
from components.recsys.settings import load_settings
from components.recsys.store import open_store
from pipelines.console import (
    HomeOption,
    JsonOption,
    SetOption,
    SettingsOption,
    answer,
    figure,
    next_step,
    out,
    say,
    table,
)

DigestArgument = Annotated[str, typer.Argument(help="A release's digest, or its first characters.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it goes into the ledger.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Also a release that the gate rejected.")]


def add_to(app: typer.Typer) -> None:
    app.command()(releases)
    app.command(epilog="[bold]Example[/]\n\neverloop promote 9f2c4a --reason 'approved by the travel team'")(promote)
    app.command(epilog="[bold]Example[/]\n\neverloop rollback --reason 'clicks fell after the release'")(rollback)
    app.command("who-served", epilog="[bold]Example[/]\n\neverloop who-served --at 2026-11-23T12:00:00Z --user 42")(
        who_served
    )
    app.command(epilog="[bold]Example[/]\n\neverloop reproduce 9f2c4a")(reproduce)


def releases(home: HomeOption = DEFAULT, json: JsonOption = False) -> int:
    """All releases, newest last, with what became of them."""
    place = Home(home)
    ledger = Ledger(place)
    champion, entries = ledger.champion(), ledger.entries()
    store = releases_of(place)
    listed: list[dict[str, Any]] = []
    for digest in sorted(key.split("/")[0] for key in store.list() if key.endswith("/" + MANIFEST)):
        try:
            manifest = read_manifest(store, digest)
        except EverloopError as error:
            listed.append(
                {
                    "digest": digest,
                    "model": "?",
                    "created": "",
                    "status": "damaged",
                    "metrics": {},
                    "problem": str(error),
                }
            )
            continue
        listed.append(
            {
                "digest": digest,
                "model": manifest["model"],
                "created": manifest["created"],
                "status": _status(digest, champion, entries),
                "metrics": {name: value.get("value") for name, value in manifest.get("metrics", {}).items()},
            }
        )
    listed.sort(key=lambda release: release["created"])
    if answer({"champion": champion, "releases": listed}, json):
        return 0
    if not listed:
        out.print(f"{escape(place.url)}: no releases yet")
        next_step("everloop run")
        return 0
    rows = [
        [
            release["digest"][:SHORT],
            release["model"],
            release["status"],
            figure({"value": release["metrics"].get("ndcg")}),
            release["created"],
        ]
        for release in listed
    ]
    out.print(table("Releases", ["digest", "model", "status", "nDCG", "created"], rows))
    next_step("everloop promote DIGEST   ·   everloop rollback   ·   everloop recommend --release DIGEST --history a,b")
    return 0


def _status(digest: str, champion: str, entries: list[Any]) -> str:
    """champion, former (was champion), candidate (has a share), approved (waits for its rollout), aborted, rejected, or
    registered."""
    if digest == champion:
        return "champion"
    actions = [entry.action for entry in entries if entry.release == digest]
    if "promote" in actions or "rollback" in actions:
        return "former"
    names = {"share": "candidate", "approve": "approved", "abort": "aborted", "reject": "rejected"}
    return names[actions[-1]] if actions else "registered"


def promote(
    digest: DigestArgument,
    reason: ReasonOption = "promoted by hand",
    force: ForceOption = False,
    home: HomeOption = DEFAULT,
    json: JsonOption = False,
) -> int:
    """Make a release the champion by hand; the ledger keeps who and why."""
    return _move("promote", digest, reason, home, json, force=force)


def rollback(
    to: Annotated[str, typer.Option("--to", help="A former release; by default the champion before this one.")] = "",
    reason: ReasonOption = "rolled back by hand",
    home: HomeOption = DEFAULT,
    json: JsonOption = False,
) -> int:
    """Put the former champion back, within seconds."""
    entries = Ledger(Home(home)).entries()
    if not to:
        under_way = rollout_under_way(Home(home))
        try:
            to = former_champion(entries)
        except Refused as refused:
            raise Refused(f"{refused}{under_way and f'. {under_way}'}") from None
        if under_way:
            say(under_way)
    else:
        to = resolve(releases_of(Home(home)), to)
        if to not in {entry.release for entry in entries if entry.action in MOVES}:
            raise Refused(f"release {to[:SHORT]} was never champion; `everloop promote {to[:SHORT]}` would make it so")
    return _move("rollback", to, reason, home, json, entries[-1].champion if entries else "")


def rollout_under_way(home: Home) -> str:
    """What a person should know who may mean the candidate, and not the champion; empty without a rollout."""
    from serving.rollout.state import Rollouts

    rollout = Rollouts(home.store).newest()
    if rollout is None or not rollout.active:
        return ""
    return f"Rollout {rollout.id} of {rollout.candidate[:SHORT]} is under way: `everloop rollout abort` ends it alone"


def former_champion(entries: list[Entry]) -> str:
    """Who a rollback returns to: the champion before the present one, seen through earlier rollbacks. Raises Refused without one."""
    stack: list[str] = []
    for entry in entries:
        if entry.action == "promote" and (not stack or stack[-1] != entry.release):
            stack.append(entry.release)
        elif entry.action == "rollback":
            while stack and stack[-1] != entry.release:
                stack.pop()
            stack = stack or [entry.release]
    if len(stack) < 2:
        raise Refused(f"there is no former champion to return to: {instead_of_rollback(entries, stack)}")
    return stack[-2]


def instead_of_rollback(entries: list[Entry], champions: list[str]) -> str:
    """What to do where there is nobody to return to: another release in the champion's place, or another release at all."""
    if not champions:
        return "nobody serves yet; `everloop run` makes the first release"
    first = f"{champions[-1][:SHORT]} is the first one"
    others = [one for one in entries if one.release not in champions and one.action in ("approve", "reject", "promote")]
    if not others:
        return f"{first}, and the only release; `everloop run` makes another"
    force = " --force" if others[-1].action == "reject" else ""
    rejected = ", which the gate rejected" if force else ""
    other = others[-1].release[:SHORT]
    return f"{first}; `everloop promote {other}{force}` puts another in its place{rejected}"


def past_the_gate(entries: list[Entry], digest: str, reason: str, force: bool) -> tuple[str, bool]:
    """The reason for the ledger, and whether it is against the gate's last word. Raises Refused for that without `force`.

    A release that the gate never saw, or that was approved or champion since, needs no force.
    """
    said = [one for one in entries if one.release == digest and one.action in ("approve", "reject", "promote")]
    if not said or said[-1].action != "reject":
        return reason, False
    if not force:
        raise Refused(f"the gate rejected {digest[:SHORT]} ({said[-1].reason}); --force promotes it all the same")
    return f"forced past the gate, which had said: {said[-1].reason} Why: {reason}", True


def _move(
    action: Any, digest: str, reason: str, home: str, json: bool, before: str | None = None, force: bool = False
) -> int:
    place = Home(home)
    store = releases_of(place)
    digest = resolve(store, digest)
    manifest, _ = verify(store, digest)  # a damaged release must not become champion
    if "judged" in manifest:
        verify(judged_of(place), manifest["judged"])  # nor one that the next challenger could not be compared with
    ledger = Ledger(place)
    before = ledger.champion() if before is None else before
    if digest == before:
        raise Refused(f"release {digest[:SHORT]} is the champion already")
    forced = False
    if action == "promote":
        reason, forced = past_the_gate(ledger.entries(), digest, reason, force)
    evidence = {"by_hand": True, "forced": True} if forced else None
    entry = ledger.append(action, digest, reason, evidence=evidence, expect_champion=before)
    if not answer({"champion": digest, "previous": before, "time": entry.time, "reason": reason}, json):
        out.print(f"release {digest[:SHORT]} is the champion" + (f" in place of {before[:SHORT]}" if before else ""))
        next_step("servers take it over within a second   ·   everloop status")
    return 0


def who_served(
    at: Annotated[str, typer.Option("--at", help="A time, ISO 8601; without a zone it is UTC.")],
    user: Annotated[
        str, typer.Option("--user", help="A user; everybody gets the champion unless a rollout is under way.")
    ] = "",
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Which release answered a user at a time, from the ledger and the prediction log, and why it was in place."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise InputError(f"--at {at}: write it as 2026-11-23T12:00:00Z") from None
    try:
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise InputError(f"--at {at}: there is no such time in UTC") from None
    place = Home(home)
    sink = load_settings(settings, set_).log.sink
    served = who(place, moment, user, open_store(sink) if sink else None)
    value: dict[str, Any] = {
        "at": moment.isoformat(),
        "user": user,
        "release": served.release if served else "",
        "variant": served.variant if served else "",
    }
    if served is not None:
        manifest = read_manifest(releases_of(place), served.release)
        move = served.assigned.changed if served.variant == CANDIDATE else served.assigned.move
        value |= {
            "model": manifest["model"],
            "since": move.time,
            "reason": move.reason,
            "actor": move.actor,
            "data": manifest["data"],
            "told_by": served.told_by,
            "champion": served.assigned.champion,
            "rollout": served.rollout(),
            "list": list_of(served.last),
        }
    if answer(value, json):
        return 0 if served else 1
    if served is None:
        out.print(f"nobody served at {moment.isoformat()}: there was no champion yet")
        return 1
    whom = f"user {escape(user)}" if user else "everybody"
    how = "was served by" if served.told_by == "log" or not user else "was to be served by"
    out.print(f"{whom} {how} [bold]{served.release}[/] ({value['model']}), {served.variant} since {value['since']}")
    if served.assigned.candidate and not user:
        out.print(
            f"but for {served.assigned.share:.0%} of users, who had the candidate {served.assigned.candidate[:SHORT]}; "
            "say which with --user"
        )
    if user and served.last is not None:
        stood_in = f", in place of the {served.last.variant}: {served.last.failed}" if served.last.failed else ""
        out.print(f"[bold]list[/] {served.last.request_id} at {served.last.time}{escape(stood_in)}")
    elif user:
        out.print("[dim]no list of that day is in the log, so this is the assignment[/]")
    out.print(f"[bold]why[/]  {escape(value['reason'])}\n[bold]by[/]   {escape(value['actor'])}")
    next_step(f"everloop reproduce {served.release[:SHORT]}")
    return 0


def list_of(last: Prediction | None) -> dict[str, Any] | None:
    """The last list, without what was on it: that is the user's."""
    if last is None:
        return None
    names = ("request_id", "time", "release", "variant", "failed", "fallback", "rollout", "epoch")
    return {name: getattr(last, name) for name in names}


def reproduce(digest: DigestArgument, home: HomeOption = DEFAULT, json: JsonOption = False) -> int:
    """Train a release again from its recorded data version, settings and seed, and compare digests."""
    from components.recsys import registration

    done = registration.reproduce(Home(home), digest, say)
    if not answer(
        {"recorded": done.recorded, "digest": done.digest, "same": done.same, "sentence": done.sentence}, json
    ):
        out.print(escape(done.sentence))
    return 0 if done.same else 1
