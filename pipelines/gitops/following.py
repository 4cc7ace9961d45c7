"""What the home decided, brought to git: after a rollout ended, or when a run's release waits for its own.

>>> change(clone, "staging", follow())       # stable = the ledger's champion, candidate = what is on its way, or nobody
>>> change(clone, "staging", finish())       # the same, but only when the candidate was promoted

Git and the home are both obeyed, so one rule says who is ahead. A person who changes `stable` in git gives an order that
the rollout engine has yet to follow: until it has, nothing is written over it. In every other difference the ledger is
ahead, since it alone is written by rollouts and by `everloop rollback`.
"""

from dataclasses import replace
from datetime import UTC, datetime

from components.recsys.errors import EverloopError, Refused
from components.recsys.home import Home
from components.recsys.ledger import MOVES, Entry, Ledger
from components.recsys.release import SHORT
from pipelines.gitops.changes import Decide, Seen, Wanted
from pipelines.gitops.model import parsed
from pipelines.gitops.promotion import HomeOf
from serving.rollout.state import Rollouts

# Clocks of the machine that committed and of the engine may differ by this much; a closer call goes to the person.
CLOCKS_DIFFER_SECONDS = 60


def follow(home_of: HomeOf = Home) -> Decide:
    """What the ledger says; nothing to do while an order from git waits for the engine."""

    def decide(seen: Seen) -> Wanted | None:
        home = home_of(seen.environment.home)
        entries = Ledger(home).entries()
        if waiting_order(seen, entries):
            return None
        return _followed(seen, home, entries)

    return decide


def finish(home_of: HomeOf = Home) -> Decide:
    """The candidate becomes stable, when and only when the ledger says that it was promoted."""

    def decide(seen: Seen) -> Wanted | None:
        home, model, name = home_of(seen.environment.home), seen.model, seen.environment.name
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
    candidate = on_its_way(home, champion)
    wanted = replace(model, stable=champion, candidate=candidate, former="")
    if wanted.says(model):
        return None
    move = next((entry for entry in reversed(entries) if entry.action in MOVES), None)
    facts = {"Release": champion, "Verdict": move.reason if move else "", "Run": move.run if move else ""}
    if model.stable != champion:
        return Wanted(wanted, f"stable {champion[:SHORT]}", facts)
    if candidate:
        approval = next(entry for entry in reversed(entries) if entry.release == candidate)
        facts = {"Release": candidate, "Verdict": approval.reason, "Run": approval.run}
        return Wanted(wanted, f"candidate {candidate[:SHORT]}", facts)
    if model.candidate:
        last = next((entry for entry in reversed(entries) if entry.release == model.candidate), None)
        facts = {"Release": model.candidate, "Verdict": last.reason if last else "the ledger does not know it"}
        return Wanted(wanted, f"no candidate, {model.candidate[:SHORT]} is over", facts)
    return Wanted(wanted, f"without {model.former[:SHORT]}, which nobody asks any more", facts)


def on_its_way(home: Home, champion: str) -> str:
    """The release that gets a rollout: the one whose rollout runs, else the newest approval that nothing has overtaken."""
    rollout = Rollouts(home.store).newest()
    if rollout is not None and rollout.active:
        return rollout.candidate if rollout.candidate != champion else ""
    approval = Ledger(home).on_its_way()
    over = rollout is not None and approval is not None and approval.sequence <= rollout.approved
    return approval.release if approval and not over and approval.release != champion else ""


def waiting_order(seen: Seen, entries: list[Entry]) -> str:
    """The stable release that git orders and the engine has yet to follow, '' when there is none.

    It waits when git has had it later than the ledger's last move, and that move led elsewhere; not to git's candidate,
    whose rollout git itself had ordered.
    """
    model, moves = seen.model, [entry for entry in entries if entry.action in MOVES]
    if not model.stable or not moves or not seen.versions:
        return ""
    if moves[-1].champion in (model.stable, model.candidate):
        return ""
    moved = datetime.fromisoformat(moves[-1].time).astimezone(UTC).timestamp()
    ordered = _ordered_at(seen)
    return model.stable if ordered > moved - CLOCKS_DIFFER_SECONDS else ""


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
