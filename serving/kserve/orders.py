"""What git orders: a changed `stable` becomes a line of the ledger, a changed `candidate` may have its rollout.

>>> orders = Orders(home, api)
>>> orders.look()           # again and again; a commit is followed within one interval of the engine
>>> orders.named            # the candidate that may be tried
{'1b7d...'}

Git and the engine both decide who leads: git by a commit, the engine by a rollout. So an order is a *change* of what git
says, never a difference between git and the ledger; what was seen last lies in the home, `rollout/orders.json`. A commit
that is applied again, an engine that starts anew, or a champion that a rollout made, is no change and orders nothing. `git
revert` is a change like any other. Each order has a number, and is followed once, also by an engine that died in between.

ConfigMap `everloop-model`: {stable: digest, candidate: digest or "", home: url, by: who}. That git's own commands have asked
the gate is taken for granted (`everloop gitops promote`); that the files are what was released is looked at here.
"""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from components.recsys.errors import EverloopError, InputError, NotFound, Refused
from components.recsys.home import Home
from components.recsys.ledger import MOVES, Action, Entry, Ledger
from components.recsys.release import SHORT, canonical, releases_of, verify
from serving.kserve.api import CONFIG_MAPS, Api, Json
from serving.logs import log
from serving.rollout.state import Rollouts

CONFIG_MAP = "everloop-model"
KEY = "rollout/orders.json"
ACTOR = "git"
DIGEST = re.compile(r"(|[0-9a-f]{64})")


@dataclass(frozen=True)
class Seen:
    """What git said when it was last followed. number: of orders so far; 0 for never looked."""

    stable: str = ""
    candidate: str = ""
    number: int = 0


class Order(NamedTuple):
    action: Action
    release: str


class Orders:
    """fault: why what git says is not followed just now, in a sentence; empty when it is."""

    def __init__(self, home: Home, api: Api) -> None:
        self.home, self.api, self.ledger = home, api, Ledger(home)
        self.fault = ""
        self.seen = self._remembered()

    @property
    def named(self) -> set[str]:
        """Candidates that may be tried: what git said last, also while nobody can ask."""
        return {self.seen.candidate} - {""}

    def look(self) -> None:
        """Follow what changed. Never raises: the engine goes on with what leads already, and `fault` says why."""
        try:
            told = self._told()
            if (told.stable, told.candidate) != (self.seen.stable, self.seen.candidate) or not self.seen.number:
                self._follow(told)
            self._withdraw()
            fault = ""
        except EverloopError as error:
            fault = str(error)
        if fault and fault != self.fault:
            log("git is not followed", why=fault)
        self.fault = fault

    def _told(self) -> "Told":
        try:
            value = self.api.get(CONFIG_MAPS, CONFIG_MAP)
        except NotFound:
            raise NotFound(
                f"ConfigMap {CONFIG_MAP} is not in namespace {self.api.namespace}: git has not brought it; apply the "
                "environment's overlay, or give --set rollout.kserve=create"
            ) from None
        return read(value, self.home.url)

    def _follow(self, told: "Told") -> None:
        number = self.seen.number + 1
        entries = self.ledger.entries()
        for order in decided(self.seen, told, entries):
            if not _followed(entries, order, number):
                verify(releases_of(self.home), order.release)
                self._write_down(order, told, number)
        seen = Seen(told.stable, told.candidate, number)
        self.home.store.write(KEY, canonical(asdict(seen)))
        self.seen = seen

    def _write_down(self, order: Order, told: "Told", number: int) -> None:
        entries = self.ledger.entries()
        champion = entries[-1].champion if entries else ""
        if order.release == champion:
            return
        what = "candidate" if order.action == "approve" else "stable"
        reason = f"git makes it {what}{f', by {told.by}' if told.by else ''}"
        evidence = {"order": number, "by": told.by}
        self.ledger.append(
            order.action, order.release, reason, evidence=evidence, expect_champion=champion, actor=ACTOR
        )
        log("an order from git", action=order.action, release=order.release[:SHORT], by=told.by)

    def _withdraw(self) -> None:
        """A rollout whose candidate git no longer names is taken back."""
        rollouts = Rollouts(self.home.store)
        rollout = rollouts.newest()
        if not (rollout and rollout.active) or rollout.candidate in self.named | {self.seen.stable}:
            return
        if not any(wished.rollout == rollout.id and wished.wish == "abort" for wished in rollouts.wishes()):
            rollouts.wish("abort", rollout.id, "git no longer names it as candidate")

    def _remembered(self) -> Seen:
        try:
            return Seen(**json.loads(self.home.store.read(KEY)))
        except NotFound:
            return Seen()
        except (ValueError, TypeError):
            raise Refused(
                f"{self.home.url}/{KEY} is not what was written; delete it, and git's next change counts"
            ) from None


class Told(NamedTuple):
    stable: str
    candidate: str
    by: str


def read(value: Json, home_url: str) -> Told:
    """What a ConfigMap says. Raises InputError for one of another home, or that names no digests."""
    data: dict[str, Any] = value.get("data") or {}
    stable, candidate = str(data.get("stable") or ""), str(data.get("candidate") or "")
    if not DIGEST.fullmatch(stable) or not DIGEST.fullmatch(candidate):
        raise InputError(f"ConfigMap {CONFIG_MAP} holds no digests: let `everloop gitops render` write it")
    home = str(data.get("home") or "").rstrip("/")
    if home and home != home_url:
        raise InputError(
            f"ConfigMap {CONFIG_MAP} is of the home {home}, and this engine serves {home_url}: see values.yaml"
        )
    return Told(stable, candidate, str(data.get("by") or ""))


def decided(seen: Seen, told: Told, entries: list[Entry]) -> list[Order]:
    """What changed since git was last followed, as orders; none for what is so already."""
    champion = entries[-1].champion if entries else ""
    orders: list[Order] = []
    # Looked at for the first time, git's stable is an order only where nobody leads yet.
    new = told.stable != seen.stable if seen.number else not champion
    if told.stable and new and told.stable != champion:
        led = any(entry.champion == told.stable for entry in entries if entry.action in MOVES)
        orders.append(Order("rollback" if led else "promote", told.stable))
        champion = told.stable
    candidate = told.candidate
    if (
        candidate
        and candidate != seen.candidate
        and candidate != champion
        and champion
        and _wants_approval(candidate, entries)
    ):
        orders.append(Order("approve", candidate))
    return orders


def _wants_approval(release: str, entries: list[Entry]) -> bool:
    """Whether the ledger has to hear of it: not while its approval holds, nor when its rollout was taken back."""
    moved = max((entry.sequence for entry in entries if entry.action in MOVES), default=0)
    last = next((e for e in reversed(entries) if e.release == release and e.action not in (*MOVES, "share")), None)
    if last is None or last.action == "reject":  # past the gate of another environment, or forced past this one
        return True
    return last.action == "approve" and last.sequence < moved


def _followed(entries: list[Entry], order: Order, number: int) -> bool:
    return any(e.actor == ACTOR and e.evidence.get("order") == number and e.release == order.release for e in entries)
