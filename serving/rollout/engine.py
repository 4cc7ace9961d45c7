"""The engine: follows the ledger, routes people, widens, takes back, promotes.

>>> engine = Engine(home, settings, open_predictors(home, settings))
>>> engine.turn()      # again and again; may be killed between any two writes, and the next turn goes on from there
{'champion': '9f2c...', 'rollout': 'r-0000000007', 'state': 'step', 'share': 0.05, ..., 'guards': [...]}

Order of writes. Widening: state, then ledger, then routes, so nobody is given a candidate that the ledger does not know
of. Taking back: routes, then state, then ledger: people come first, and the decision is found again from the routes,
which left the rollout, if we die in between. Promotion: state, then the ledger's compare-and-swap, then routes.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from components.recsys.buckets import CANDIDATE
from components.recsys.clock import now
from components.recsys.errors import NotFound, Refused
from components.recsys.home import Home
from components.recsys.ledger import MOVES, Entry, Ledger
from components.recsys.release import SHORT, releases_of, verify
from components.recsys.routes import Routes, Target
from components.recsys.settings import Settings
from serving.logs import log
from serving.rollout.evidence import Evidence
from serving.rollout.guards import Guards, Verdict, broken, mirrored
from serving.rollout.predictors import Predictors
from serving.rollout.state import Rollout, Rollouts

MOST_STARTS = 3  # crashes of a candidate before it ever answered
AHEAD_SECONDS = 60.0  # that a state's begin may lie in the future: clocks of two machines differ a little


class Engine:
    """One writer of routes and rollouts; `everloop rollout run` holds the home's lock "rollout"."""

    def __init__(self, home: Home, settings: Settings, predictors: Predictors) -> None:
        self.home, self.settings, self.predictors = home, settings, predictors
        self.store, self.ledger, self.rollouts = home.store, Ledger(home), Rollouts(home.store)
        self.evidence: Evidence | None = None
        self.guards = Guards()
        self.verdicts: list[Verdict] = []
        self.ended: list[tuple[str, str]] = []  # (outcome, guard) of rollouts that ended since the last turn
        self.named: set[str] | None = None  # the only releases that may be tried, where git says so

    def turn(self) -> dict[str, Any]:
        """Look at everything once and do what is due. Raises EverloopError when the home cannot be read or written."""
        entries = self.ledger.entries()
        champion = entries[-1].champion if entries else ""
        rollout = self.rollouts.newest()
        if rollout and not rollout.active:
            self._write_down(rollout, entries)
        if not (rollout and rollout.active):
            rollout = self._begun(entries, champion, rollout) or rollout
        if rollout and rollout.active:
            rollout = self._advanced(rollout, entries, champion)
            entries = self.ledger.entries()
            champion = entries[-1].champion
        else:
            self._wished(rollout)
        active = rollout if rollout and rollout.active else None
        routes = self._route(champion, active)
        self._tidy(champion, active, routes, entries)
        return self._facts(champion, rollout, routes)

    def _begun(self, entries: list[Entry], champion: str, last: Rollout | None) -> Rollout | None:
        """A rollout of the newest approval that nothing has overtaken: no later champion, and no rollout of it before."""
        moved = max((entry.sequence for entry in entries if entry.action in MOVES), default=0)
        after = max(moved, last.approved if last else 0)
        approvals = [entry for entry in entries if entry.action == "approve" and entry.sequence > after]
        if self.named is not None:
            approvals = [entry for entry in approvals if entry.release in self.named]
        if not champion or not approvals or approvals[-1].release == champion:
            return None
        crashes = self.predictors.crashes(approvals[-1].release)
        rollout = replace(Rollout.begin(approvals[-1], champion, self._time()), crashes_before=crashes)
        self.verdicts = []
        self.rollouts.write(rollout)
        log("rollout begins", rollout=rollout.id, release=rollout.candidate[:SHORT])
        return self._sound(rollout)

    def _sound(self, rollout: Rollout) -> Rollout:
        """The rollout, taken back when the candidate's files are not what was released. Raises StoreError when they
        cannot be read, which is no fault of theirs."""
        try:
            verify(releases_of(self.home), rollout.candidate)
        except (Refused, NotFound) as error:
            return self._abort(rollout, "release", f"its files are damaged: {error}")
        return rollout

    def _advanced(self, rollout: Rollout, entries: list[Entry], champion: str) -> Rollout:
        """The rollout after this turn. Takes back before it does anything else."""
        done = next((e for e in entries if e.action == "promote" and e.evidence.get("rollout") == rollout.id), None)
        if done is not None:
            return self._promoted(rollout)
        rollout = self._wished(rollout) or rollout
        if not rollout.active:
            return rollout
        if champion != rollout.champion:
            why = entries[-1].reason if entries[-1].action in MOVES else "by hand"
            return self._abort(rollout, "champion", f"the champion was changed meanwhile ({why})")
        if rollout.state != "promoting":
            rollout = self._judged(rollout)
        if rollout.active and self._left(rollout):
            return self._abort(rollout, "interrupted", "the routes had gone back to the champion already")
        return self._forward(rollout, entries) if rollout.active else rollout

    def _left(self, rollout: Rollout) -> bool:
        """Whether an engine that died had taken this rollout back already: routes are past its step, and without it."""
        routes = Routes.read(self.store)
        return (
            rollout.epoch > 0 and routes is not None and routes.epoch >= rollout.epoch and routes.rollout != rollout.id
        )

    def _judged(self, rollout: Rollout) -> Rollout:
        """Look at the guards; aborted when one is broken or the time is over."""
        at = now()
        if rollout.state == "waiting":
            if self._new_crashes(rollout) >= MOST_STARTS and self.predictors.condition(rollout.candidate) != "ready":
                words = self.predictors.last_words(rollout.candidate)
                return self._abort(rollout, "errors", f"its predictor does not start: {words}")
        else:
            if self.evidence is None or self.evidence.rollout.id != rollout.id:
                self.evidence = Evidence(self.store, rollout, self.settings, at)
            self.evidence.look(rollout, at)
            self.verdicts = self._verdicts(rollout, self.evidence)
            worst = broken(self.verdicts)
            if worst:
                return self._abort(rollout, worst.guard, f"{worst.guard}: {worst.sentence}")
        if self._age(rollout.began, at) > self.settings.rollout.max_seconds:
            limit, missing = self.settings.rollout.max_seconds, self._unseen(rollout)
            why = f"it had not ended after {limit:.0f} seconds, which is the most"
            return self._abort(rollout, "deadline", f"{why}{missing and f'; {missing}'}")
        return rollout

    def _verdicts(self, rollout: Rollout, evidence: Evidence) -> list[Verdict]:
        crashes = self._new_crashes(rollout)
        if rollout.state == "step":
            return self.guards.judge(evidence, rollout, self.settings.rollout, crashes)
        return [mirrored(evidence.shadow, self.settings.rollout, self.settings.rollout.alpha / 8, crashes)]

    def _forward(self, rollout: Rollout, entries: list[Entry]) -> Rollout:
        """The next state, if it is due; else this one, its writes completed."""
        wanted = self.settings.rollout
        if rollout.state == "promoting":
            return self._promote(rollout)
        ready = self.predictors.ensure(rollout.candidate) is not None
        if rollout.state == "step":
            self._share_told(rollout, entries)
        if rollout.paused or not ready:
            return rollout
        if rollout.state == "waiting" and wanted.shadow:
            return self._moved(rollout, "shadow", "its predictor answers; requests are mirrored to it")
        if rollout.state == "waiting" or (rollout.state == "shadow" and self._shadowed() >= wanted.shadow_lists):
            why = "its predictor answers" if rollout.state == "waiting" else "the shadow was well"
            rollout = self._sound(rollout)
            return self._step(rollout, 0, why) if rollout.active else rollout
        if rollout.state != "step" or not self._baked(rollout):
            return rollout
        if rollout.step + 1 < len(wanted.steps):
            return self._step(rollout, rollout.step + 1, "no guard is broken, and the step had its time and lists")
        rollout = self._sound(rollout)
        if not rollout.active:
            return rollout
        why = "the last step had its time and lists, no guard is broken"
        return self._promote(self._moved(rollout, "promoting", why))

    def _step(self, rollout: Rollout, index: int, why: str) -> Rollout:
        share = self.settings.rollout.steps[index]
        moved = self._moved(rollout, "step", why, step=index, share=share)
        return self._share_told(moved, self.ledger.entries())

    def _moved(self, rollout: Rollout, state: Any, why: str, **more: Any) -> Rollout:
        """Store the next state; its records are those made with routes from the next epoch on."""
        routes = Routes.read(self.store)
        epoch = (routes.epoch if routes else 0) + 1
        verdicts = [verdict.to_dict() for verdict in self.verdicts] if rollout.state != "waiting" else []
        moved = rollout.moved(state, self._time(), why, verdicts, epoch=epoch, **more)
        self.rollouts.write(moved)
        log("rollout moves", rollout=moved.id, state=state, share=moved.share, why=why)
        return moved

    def _share_told(self, rollout: Rollout, entries: list[Entry]) -> Rollout:
        """The ledger knows of a share before anybody gets it."""
        evidence = {
            "rollout": rollout.id,
            "salt": rollout.salt,
            "share": rollout.share,
            "candidate": rollout.candidate,
            "champion": rollout.champion,
            "epoch": rollout.epoch,
        }
        told = any(e.action == "share" and e.evidence == evidence for e in entries)
        if not told:
            reason = f"{rollout.share:.0%} of users: {rollout.moves[-1].why}"
            self.ledger.append("share", rollout.candidate, reason, evidence=evidence, expect_champion=rollout.champion)
        return rollout

    def _baked(self, rollout: Rollout) -> bool:
        evidence, wanted = self.evidence, self.settings.rollout
        if evidence is None or evidence.rollout.step != rollout.step:
            return False  # the step is younger than the last look
        lists = evidence.sides[CANDIDATE].ripe[rollout.step]
        old_enough = self._age(rollout.since, now()) >= wanted.bake_seconds
        return lists >= wanted.min_lists and old_enough and not self._unseen(rollout)

    def _unseen(self, rollout: Rollout) -> str:
        """What clicks do not rule out yet, before the step after which nobody is left to compare with; "" when enough is known."""
        wanted, evidence = self.settings.rollout, self.evidence
        following = wanted.steps[rollout.step + 1] if rollout.step + 1 < len(wanted.steps) else 1.0  # promoted
        clicks = next((verdict for verdict in self.verdicts if verdict.guard == "clicks"), None)
        alone = rollout.share >= 1  # there is nobody to compare with already
        if rollout.state != "step" or alone or following < 1 or wanted.detectable_loss >= 1 or clicks is None:
            return ""
        if clicks.interval is None:  # where nobody sends clicks at all, there is nothing to wait for
            return clicks.sentence if evidence and evidence.unnamed else ""
        high = clicks.interval["high"]
        if clicks.state == "passes" or (high is not None and high < wanted.detectable_loss):
            return ""
        return (
            f"before everybody gets it: clicks do not rule out yet that {wanted.detectable_loss:.0%} of them are lost"
        )

    def _waits_for(self, rollout: Rollout) -> str:
        if rollout.state != "waiting" or self.predictors.condition(rollout.candidate) == "ready":
            return self._unseen(rollout)
        return f"its predictor does not answer yet: {self.predictors.last_words(rollout.candidate) or 'it starts'}"

    def _shadowed(self) -> int:
        return self.evidence.shadow.lists if self.evidence else 0

    def _promote(self, rollout: Rollout) -> Rollout:
        evidence = {"rollout": rollout.id, "share": rollout.share, "guards": without_trails(rollout.moves[-1].guards)}
        reason = f"survived its rollout to {rollout.share:.0%} of users: {rollout.reason}"
        try:
            self.ledger.append(
                "promote", rollout.candidate, reason, evidence=evidence, expect_champion=rollout.champion
            )
        except Refused:
            return self._abort(rollout, "champion", "the champion was changed meanwhile")
        return self._promoted(rollout)

    def _promoted(self, rollout: Rollout) -> Rollout:
        done = rollout.moved("promoted", self._time(), "it is the champion", paused=False)
        self.rollouts.write(done)
        self.ended.append(("promoted", ""))
        log("rollout promoted", rollout=done.id, release=done.candidate[:SHORT])
        return done

    def _abort(self, rollout: Rollout, guard: str, why: str) -> Rollout:
        """Take it back. Routes first: see above."""
        entries = self.ledger.entries()
        self._route(entries[-1].champion, None)
        verdicts = [verdict.to_dict() for verdict in self.verdicts] if rollout.state in ("step", "shadow") else []
        done = rollout.moved("aborted", self._time(), why, verdicts, broken=guard, reason=why, paused=False)
        self.rollouts.write(done)
        self.ended.append(("aborted", guard))
        log("rollout aborted", rollout=done.id, release=done.candidate[:SHORT], guard=guard, why=why)
        self._write_down(done, entries)
        return done

    def _write_down(self, rollout: Rollout, entries: list[Entry]) -> None:
        """The ledger's line of an abort, unless it is there."""
        if rollout.state != "aborted":
            return
        if any(e.action == "abort" and e.evidence.get("rollout") == rollout.id for e in entries):
            return
        last = rollout.moves[-1]
        share = rollout.share if rollout.step >= 0 else 0.0
        evidence = {
            "rollout": rollout.id,
            "guard": rollout.broken,
            "share": share,
            "guards": without_trails(last.guards),
        }
        self.ledger.append("abort", rollout.candidate, rollout.reason, evidence=evidence)

    def _wished(self, rollout: Rollout | None) -> Rollout | None:
        """Do what people asked for, in their order; a wish done twice is done once, one that comes too late is dropped."""
        for wished in self.rollouts.wishes():
            if rollout and rollout.active and wished.rollout == rollout.id:
                why = f"{wished.reason} ({wished.actor})"
                if wished.wish == "abort":
                    rollout = self._abort(rollout, "person", f"taken back by hand: {why}")
                elif rollout.paused != (wished.wish == "pause"):
                    rollout = replace(rollout, paused=wished.wish == "pause")
                    self.rollouts.write(rollout)
                    log(f"rollout {wished.wish}", rollout=rollout.id, why=why)
            self.rollouts.done(wished)
        return rollout

    def _route(self, champion: str, rollout: Rollout | None) -> Routes | None:
        """Bring the routes to what is decided; unchanged routes are not written."""
        before = Routes.read(self.store)
        if not champion:
            return before
        url = self.predictors.ensure(champion)
        target = Target(champion, (url,)) if url else None
        if target is None and before and before.champion:
            # A dead predictor's address stays until it has a new one (gateways fall back at once); so does a champion
            # of before, until the new one answers.
            target = before.champion
        wanted = Routes(0, champion=target)
        if rollout and rollout.state in ("shadow", "step", "promoting"):
            url = self.predictors.ensure(rollout.candidate)
            known = before.candidate if before and before.candidate else None
            candidate = Target(rollout.candidate, (url,)) if url else known
            wanted = Routes(
                0,
                target,
                candidate if candidate and candidate.release == rollout.candidate else None,
                share=rollout.share,
                mirror=rollout.state == "shadow",
                salt=rollout.salt,
                rollout=rollout.id,
            )
        least = rollout.epoch if rollout else 0
        if before and before.epoch >= least and replace(before, epoch=0, since="") == wanted:
            return before
        routes = replace(wanted, epoch=max(least, (before.epoch if before else 0) + 1), since=self._time())
        routes.write(self.store)
        log("routes", epoch=routes.epoch, champion=champion[:SHORT], share=routes.share, rollout=routes.rollout)
        return routes

    def _tidy(self, champion: str, rollout: Rollout | None, routes: Routes | None, entries: list[Entry]) -> None:
        """End predictors that nobody needs; a former champion stays warm for a rollback."""
        targets = [target for target in (routes.champion, routes.candidate) if target] if routes else []
        in_use = {target.release for target in targets} | {champion} | ({rollout.candidate} if rollout else set())
        moves = [entry for entry in entries if entry.action in MOVES]
        warm = {entry.previous_champion for entry in moves[-2:]} | {entry.champion for entry in moves[-2:]}
        self.predictors.release(in_use - {""}, warm - {""})

    def _new_crashes(self, rollout: Rollout) -> int:
        """Ends of the candidate's process since this rollout began."""
        return self.predictors.crashes(rollout.candidate) - rollout.crashes_before

    def _facts(self, champion: str, rollout: Rollout | None, routes: Routes | None) -> dict[str, Any]:
        """What everybody may know; in the form of status/rollout.json."""
        lists = ripe = 0
        if rollout and self.evidence and self.evidence.rollout.id == rollout.id:
            side = self.evidence.sides[CANDIDATE]
            lists, ripe = side.lists[rollout.step], side.ripe[rollout.step]
        return {
            "champion": champion,
            "epoch": routes.epoch if routes else 0,
            "rollout": rollout.id if rollout else "",
            "state": rollout.state if rollout else "",
            "candidate": rollout.candidate if rollout else "",
            "share": routes.share if routes else 0.0,
            "step": rollout.step if rollout else -1,
            "steps": list(self.settings.rollout.steps),
            "paused": bool(rollout and rollout.paused),
            "since": rollout.since if rollout else "",
            "reason": rollout.reason if rollout else "",
            "lists": lists,  # of the candidate at this step
            "ripe_lists": ripe,
            "min_lists": self.settings.rollout.min_lists,
            "waits_for": self._waits_for(rollout) if rollout else "",
            "fault": self._ahead(rollout) if rollout and rollout.active else "",
            "guards": [verdict.to_dict() for verdict in self.verdicts] if rollout else [],
            "predictors": self.predictors.facts(),
        }

    def _ahead(self, rollout: Rollout) -> str:
        """What people must know when the clock went back: the step gets no older, so it neither ends nor times out."""
        ahead = -self._age(rollout.since, now())
        if ahead <= AHEAD_SECONDS:
            return ""
        return (
            f"the rollout's step began in the future, at {rollout.since[:19]}: the clock was set back by at least "
            f"{ahead:.0f} seconds; set it right, or `everloop rollout abort`"
        )

    def _time(self) -> str:
        return now().isoformat(timespec="microseconds")

    def _age(self, since: str, at: datetime) -> float:
        return (at - datetime.fromisoformat(since)).total_seconds()


def without_trails(guards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the ledger keeps: figures, but not how they came about."""
    return [{name: value for name, value in guard.items() if name != "trail"} for guard in guards]
