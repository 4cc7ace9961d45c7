"""What may serve, what serves and what served: releases, promote, rollback, who-served, reproduce."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from components.recsys.errors import EverloopError, InputError, Refused
from components.recsys.home import DEFAULT, Home
from components.recsys.ledger import MOVES, Entry, Ledger
from components.recsys.release import MANIFEST, SHORT, judged_of, read_manifest, releases_of, resolve, verify
from pipelines.console import HomeOption, JsonOption, answer, figure, next_step, out, say, table

DigestArgument = Annotated[str, typer.Argument(help="A release's digest, or its first characters.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it goes into the ledger.")]


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
    """champion, former (was champion), rejected, or registered."""
    if digest == champion:
        return "champion"
    actions = [entry.action for entry in entries if entry.release == digest]
    if "promote" in actions or "rollback" in actions:
        return "former"
    return "rejected" if "reject" in actions else "registered"


def promote(
    digest: DigestArgument,
    reason: ReasonOption = "promoted by hand",
    home: HomeOption = DEFAULT,
    json: JsonOption = False,
) -> int:
    """Make a release the champion by hand; the ledger keeps who and why."""
    return _move("promote", digest, reason, home, json)


def rollback(
    to: Annotated[str, typer.Option("--to", help="A former release; by default the champion before this one.")] = "",
    reason: ReasonOption = "rolled back by hand",
    home: HomeOption = DEFAULT,
    json: JsonOption = False,
) -> int:
    """Put the former champion back, within seconds."""
    entries = Ledger(Home(home)).entries()
    if not to:
        to = former_champion(entries)
    else:
        to = resolve(releases_of(Home(home)), to)
        if to not in {entry.release for entry in entries if entry.action in MOVES}:
            raise Refused(f"release {to[:SHORT]} was never champion; `everloop promote {to[:SHORT]}` would make it so")
    return _move("rollback", to, reason, home, json, entries[-1].champion if entries else "")


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
        raise Refused("there is no former champion to return to; see `everloop releases`")
    return stack[-2]


def _move(action: Any, digest: str, reason: str, home: str, json: bool, before: str | None = None) -> int:
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
    entry = ledger.append(action, digest, reason, expect_champion=before)
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
    json: JsonOption = False,
) -> int:
    """Which release answered at a time, and why it was in place."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise InputError(f"--at {at}: write it as 2026-11-23T12:00:00Z") from None
    try:
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise InputError(f"--at {at}: there is no such time in UTC") from None
    place = Home(home)
    move = Ledger(place).last_move(moment)
    value: dict[str, Any] = {
        "at": moment.isoformat(),
        "user": user,
        "release": move.champion if move else "",
        "variant": "champion" if move else "",
    }
    if move is not None:
        manifest = read_manifest(releases_of(place), move.champion)
        value |= {
            "model": manifest["model"],
            "since": move.time,
            "reason": move.reason,
            "actor": move.actor,
            "data": manifest["data"],
        }
    if answer(value, json):
        return 0 if move else 1
    if move is None:
        out.print(f"nobody served at {moment.isoformat()}: there was no champion yet")
        return 1
    whom = f"user {escape(user)}" if user else "everybody"
    out.print(f"{whom} was served by [bold]{move.champion}[/] ({value['model']}), champion since {move.time}")
    out.print(f"[bold]why[/]  {escape(move.reason)}\n[bold]by[/]   {escape(move.actor)}")
    next_step(f"everloop reproduce {move.champion[:SHORT]}")
    return 0


def reproduce(digest: DigestArgument, home: HomeOption = DEFAULT, json: JsonOption = False) -> int:
    """Train a release again from its recorded data version, settings and seed, and compare digests."""
    from components.recsys import registration

    done = registration.reproduce(Home(home), digest, say)
    if not answer(
        {"recorded": done.recorded, "digest": done.digest, "same": done.same, "sentence": done.sentence}, json
    ):
        out.print(escape(done.sentence))
    return 0 if done.same else 1
