"""What the home decided, brought to git: after a rollout ended, or when a run's release waits for its own.

>>> change(clone, "staging", follow())       # stable = the ledger's champion, candidate = what is on its way, or nobody
>>> change(clone, "staging", finish())       # the same, but only when the candidate was promoted

Git and the home are both obeyed, so one rule says who is ahead. A person who changes `stable` or `candidate` in git gives an
order that the rollout engine has yet to follow: until it has, nothing is written over it. In every other difference the
ledger is ahead, since rollouts and `everloop rollback` write there first. Whether the engine has followed, it says itself:
`rollout/orders.json` in the home is what it saw in git last. Only before its first look the times of both have to do.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime

from components.recsys.errors import EverloopError, NotFound, Refused, StoreError
from components.recsys.home import Home
from components.recsys.ledger import MOVES, Entry, Ledger
from components.recsys.release import SHORT
from pipelines.gitops.changes import Decide, Seen, Wanted
from pipelines.gitops.model import Model, parsed
from serving.rollout.state import Rollouts

FOLLOWED = "rollout/orders.json"  # serving.kserve.orders.KEY; a test holds them together
# Clocks of the machine that committed and of the engine may differ by this much; a closer call goes to the person.
CLOCKS_DIFFER_SECONDS = 60


def follow() -> Decide:
    """What the ledger says; nothing to do while an order from git waits for the engine."""

    def decide(seen: Seen) -> Wanted | None:
        home = Home(seen.environment.home)
        entries = Ledger(home).entries()
        if waiting_order(seen, home, entries):
            return None
        return _followed(seen, home, entries)

    return decide


def finish() -> Decide:
    """The candidate becomes stable, when and only when the ledger says that it was promoted."""

    def decide(seen: Seen) -> Wanted | None:
        home, model, name = Home(seen.environment.home), seen.model, seen.environment.name
        entries = Ledger(home).entries()
        champion = entries[-1].champion if entries else ""
        if not model.candidate:
            if model.stable == champion and not model.former:
                return None
            if model.stable != champion:
                raise Refused(
                    f"{name} has no candidate to finish, and its stable release is not the champion of {home.url} "
                    f"({champion[:SHORT] or 'nobody'}); `everloop gitops sync --env {name}` decides who is ahead"
                )
        elif model.candidate != champion:
            raise Refused(
                f"the ledger of {home.url} does not say that {model.candidate[:SHORT]} was promoted: its champion is "
                f"{champion[:SHORT] or 'nobody'}; `everloop rollout status --home {home.url}` tells how far it is"
            )
        return _followed(seen, home, entries)

    return decide


def _followed(seen: Seen, home: Home, entries: list[Entry]) -> Wanted | None:
    model = seen.model
    champion = entries[-1].champion if entries else ""
    if not champion:
        return None  # a home without a first release has nothing to say
    candidate = model.candidate if waiting_candidate(seen, home, entries) else on_its_way(home, champion)
    wanted = replace(model, stable=champion, candidate=candidate, former="")
    return None if wanted.says(model) else _told(model, wanted, entries)


def _told(model: Model, wanted: Model, entries: list[Entry]) -> Wanted:
    """The change with what the ledger says of the release that it is about."""
    if model.stable != wanted.stable:
        return Wanted(wanted, f"stable {wanted.stable[:SHORT]}", _facts(wanted.stable, entries))
    if model.candidate != wanted.candidate and wanted.candidate:
        return Wanted(wanted, f"candidate {wanted.candidate[:SHORT]}", _facts(wanted.candidate, entries))
    if model.candidate != wanted.candidate:
        title = f"no candidate, {model.candidate[:SHORT]} is over"
        return Wanted(wanted, title, _facts(model.candidate, entries))
    return Wanted(wanted, f"without {model.former[:SHORT]}, which nobody asks any more", {"Release": model.former})


def _facts(release: str, entries: list[Entry]) -> dict[str, str]:
    about = [entry for entry in entries if entry.release == release and entry.action != "share"]
    runs = [entry.run for entry in about if entry.run]
    return {"Release": release, "Verdict": about[-1].reason if about else "", "Run": runs[-1] if runs else ""}


def on_its_way(home: Home, champion: str) -> str:
    """The release that gets a rollout: the one whose rollout runs, else the newest approval that nothing has overtaken."""
    rollout = Rollouts(home.store).newest()
    if rollout is not None and rollout.active:
        return rollout.candidate if rollout.candidate != champion else ""
    approval = Ledger(home).on_its_way()
    over = rollout is not None and approval is not None and approval.sequence <= rollout.approved
    return approval.release if approval and not over and approval.release != champion else ""


def waiting_order(seen: Seen, home: Home, entries: list[Entry]) -> str:
    """The stable release that git orders and the engine has yet to follow, '' when there is none."""
    model, moves = seen.model, [entry for entry in entries if entry.action in MOVES]
    if not model.stable or not moves or moves[-1].champion == model.stable:
        return ""
    followed = followed_last(home)
    if followed is not None:
        return model.stable if followed[0] != model.stable else ""
    if moves[-1].champion == model.candidate or not seen.versions:
        return ""  # the rollout that git itself had ordered
    moved = datetime.fromisoformat(moves[-1].time).astimezone(UTC).timestamp()
    return model.stable if _ordered_at(seen) > moved - CLOCKS_DIFFER_SECONDS else ""


def waiting_candidate(seen: Seen, home: Home, entries: list[Entry]) -> bool:
    """Whether git names a candidate of which the engine has not heard."""
    candidate, followed = seen.model.candidate, followed_last(home)
    if not candidate or candidate == (entries[-1].champion if entries else ""):
        return False
    if followed is not None:
        return followed[1] != candidate
    return not any(entry.release == candidate for entry in entries)


def followed_last(home: Home) -> tuple[str, str] | None:
    """(stable, candidate) as the engine saw them in git last; None before its first look."""
    try:
        seen = json.loads(home.store.read(FOLLOWED))
        return str(seen["stable"]), str(seen["candidate"])
    except NotFound:
        return None
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{home.url}/{FOLLOWED} is not what the engine wrote; see `everloop rollout status`") from None


def _ordered_at(seen: Seen) -> float:
    """When git got the present stable release."""
    at = float(seen.versions[0].time)
    for version in seen.versions:
        try:
            model = parsed(seen.clone.show(version.commit, seen.environment.path), seen.environment.path)
        except EverloopError:
            break
        if model.stable != seen.model.stable:
            break
        at = float(version.time)
    return at
