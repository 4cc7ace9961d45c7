"""Champion and challenger: may the best candidate replace what serves?

>>> verdict = decide(candidates, champion, GateSettings())
>>> verdict.reasons[0]
"nDCG@10 of ease, 0.241, beats the champion's 0.204: the difference is +0.037 [+0.030, +0.044] (paired bootstrap ...)."

The best of several candidates on the test users looks better on them than it is. No users are kept back for choosing:
the comparison itself is made for the largest of all candidates' differences (`stats.compare`), so among candidates that
are no better than the champion, however many, one is promoted with a probability of at most alpha.

What is asked, all of it:
- better than the champion on the metric, at alpha;
- better than each simple baseline, at alpha. A candidate that is not shown to be gives way to the best baseline, which
  then is the challenger: the simple model is right until a complex one has proven itself. So a first release on little
  data is a baseline;
- no user group harmed: a group is when it loses more than the margin and the loss is real (`harm.compare_slices`). That
  every group is *proven* to lose less than the margin cannot be asked: thirty users cannot tell a tenth, so
  nearly every improvement would be stopped. How many groups are proven safe is told;
- enough of the catalogue shown, of what as many lists can show.
A first release has no champion to beat and no group to harm.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from components.recsys.errors import InputError
from components.recsys.evaluation import Evaluation, cell, label
from components.recsys.harm import compare_slices
from components.recsys.settings import GateSettings
from components.recsys.stats import Doubles, compare

Json = dict[str, Any]
Evaluations = Mapping[str, Evaluation]
CHAMPION = "champion"
MIN_DIFFERENT = 10  # users whom two models serve differently, below which a difference is a matter of a few coins
STOPS, DECIDES, ADDS = range(3)  # reasons in the order in which people want them


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    outcome: promoted, rejected or unchanged. chosen: the challenger. reasons: sentences for people, the deciding first.
    comparisons: challenger, against, metric, value, other, difference, low, high, p, users, passed.
    slices: attribute, group, users, challenger, champion, difference, low, high, p, state (safe, undecided, harmed).
    """

    promote: bool
    outcome: str
    chosen: str
    reasons: list[str]
    metric: str = "ndcg"
    k: int = 10
    users: int = 0
    comparisons: list[Json] = field(default_factory=list)
    slices: list[Json] = field(default_factory=list)

    def to_dict(self) -> Json:
        """JSON only."""
        return asdict(self)


def decide(
    candidates: Evaluations,
    champion: Evaluation | None,
    settings: GateSettings,
    same_as_champion: Collection[str] = (),
) -> Verdict:
    """Judge candidates that were evaluated on the same users as the champion.

    same_as_champion: names of candidates that are the champion itself, to the last digit; nothing is released for them.
    Raises InputError without candidates. Whatever is wrong with an evaluation becomes a reason.
    """
    if not candidates:
        raise InputError("there are no candidates to judge: train.candidates names none that fit the data")
    hearing = _Hearing(candidates, champion, settings)
    if not hearing.candidates:
        return hearing.close("rejected", min(candidates))
    challenger = hearing.choose()
    if champion is not None and challenger in same_as_champion:
        hearing.say(f"{challenger} is the best candidate, and it is the champion itself: nothing to release.", STOPS)
        return hearing.close("unchanged", challenger)
    checks = [
        not hearing.unproven,
        hearing.beats_champion(challenger, same_as_champion),
        hearing.covers(challenger),
        hearing.harms_nobody(challenger),
    ]
    return hearing.close("promoted" if all(checks) else "rejected", challenger)


class _Hearing:
    """One decision under way: what may be compared, and the sentences so far."""

    def __init__(self, candidates: Evaluations, champion: Evaluation | None, settings: GateSettings) -> None:
        self.settings, self.champion = settings, champion
        self.said: list[tuple[int, str]] = []
        self.comparisons: list[Json] = []
        self.slices: list[Json] = []
        self.unproven = False  # a complex challenger that no baseline can replace
        first = candidates[min(candidates)]
        self.k, self.metric = first.k, label(settings.metric, first.k)
        self.candidates = self._comparable(candidates)
        self.users = (champion or next(iter(self.candidates.values()), first)).users
        self.values = {name: self._values(each) for name, each in self.candidates.items()}
        self.means = {name: float(values.mean()) for name, values in self.values.items()}

    def choose(self) -> str:
        """The challenger: the best candidate, or the best baseline when the best is not shown to beat every baseline.

        Candidates that show too little of the catalogue are passed over as long as another shows enough.
        """
        baselines = [name for name in self.settings.baselines if name in self.candidates]
        # Of equals a baseline is preferred, then the first by name: the simplest that does the job.
        ranked = sorted(self.candidates, key=lambda name: (-self.means[name], name not in baselines, name))
        order = [name for name in ranked if self._coverage(name)[0]] or ranked
        best, simplest = order[0], next((name for name in order if name in baselines), None)
        if best != ranked[0]:
            _, found, limit = self._coverage(ranked[0])
            self.say(
                f"{ranked[0]} has the best {self.metric}, {self.means[ranked[0]]:.3f}, but its lists show only "
                f"{found:.3f} of the catalogue (the floor is {limit}), so {best} is judged."
            )
        if not baselines:
            self.say("No simple baseline was a candidate, so none had to be beaten.")
            return best
        if best in baselines:
            self.say(
                f"{best} is itself a simple baseline ({self.metric} {self.means[best]:.3f}); no other had to be beaten."
            )
            return best
        if self.users < self.settings.min_users:
            cause = f"Only {self.users} users could be judged, and {self.settings.min_users} are needed to show more"
        elif all(self._beats_each(best, baselines)):
            return best
        else:
            cause = f"{best} has not proven itself against the simple baselines"
        if simplest is None:
            self.say(f"{cause}, and no baseline shows enough of the catalogue to stand in its place.", STOPS)
            self.unproven = True
            return best
        self.say(f"{cause}: {simplest}, the best of the simple ones, stands in its place.")
        return simplest

    def beats_champion(self, challenger: str, same_as_champion: Collection[str]) -> bool:
        if self.champion is None:
            self.say("There is no champion yet: this would be the first release.")
            return True
        family = [name for name in self.candidates if name == challenger or name not in same_as_champion]
        return self._beats(challenger, CHAMPION, self._values(self.champion), family)

    def covers(self, challenger: str) -> bool:
        enough, found, limit = self._coverage(challenger)
        side = "at least" if enough else "less than"
        sentence = f"The lists of {challenger} show {found:.3f} of the catalogue, {side} the floor of {limit}."
        self.say(sentence, ADDS if enough else STOPS)
        return enough

    def harms_nobody(self, challenger: str) -> bool:
        if self.champion is None:
            return True
        self.slices = compare_slices(self.candidates[challenger], self.champion, self.settings)
        harmed = [each for each in self.slices if each["state"] == "harmed"]
        margin = f"{self.settings.slice_margin:.0%}"
        for each in harmed:
            self.say(
                f"Users with {each['attribute']} {each['group']} lose: {self.metric} {each['challenger']:.3f} against "
                f"the champion's {each['champion']:.3f}, {-each['difference'] / each['champion']:.0%} less where "
                f"{margin} is the most ({each['users']:,} users, corrected p {each['p']:.2g}).",
                STOPS,
            )
        safe = sum(each["state"] == "safe" for each in self.slices)
        if not self.slices:
            self.say("No user group is large enough to be judged by itself.")
        elif not harmed:
            self.say(
                f"No user group is shown to be harmed: {safe} of {len(self.slices)} judged groups are shown to lose "
                f"less than {margin}, if anything."
            )
        return not harmed

    def say(self, sentence: str, weight: int = ADDS) -> None:
        self.said.append((weight, sentence))

    def close(self, outcome: str, chosen: str) -> Verdict:
        reasons = [sentence for _, sentence in sorted(self.said, key=lambda said: said[0])]
        shown = (self.settings.metric, self.k, self.users, self.comparisons, self.slices)
        return Verdict(outcome == "promoted", outcome, chosen, reasons, *shown)

    def _coverage(self, name: str) -> tuple[bool, float, str]:
        """Whether the lists of a candidate show enough, how much they show, and the floor in words."""
        evaluation, share = self.candidates[name], self.settings.min_coverage
        found, catalogue = evaluation.metrics["coverage"]["value"] or 0.0, evaluation.counts["catalogue"]
        possible = min(1.0, evaluation.users * evaluation.k / max(catalogue, 1))
        limit = f"{share * possible:.3f}" + ("" if possible == 1 else f" ({share:g} of what so few lists can show)")
        return found >= share * possible, found, limit

    def _beats_each(self, challenger: str, baselines: Sequence[str]) -> list[bool]:
        others = {name: [each for each in self.candidates if each != name] for name in baselines}
        return [self._beats(challenger, name, self.values[name], family) for name, family in others.items()]

    def _beats(self, challenger: str, against: str, other: Doubles, family: Sequence[str]) -> bool:
        """Whether the challenger, picked from `family`, is better than `other`."""
        settings, names = self.settings, sorted(family)
        differences = np.column_stack([self.values[name] for name in names]) - other[:, None]
        compared = compare(differences, settings.alpha, settings.bootstrap, settings.seed)
        column = names.index(challenger)
        low, different = float(compared.low[column]), int((differences[:, column] != 0).sum())
        passed = low > 0 and different >= MIN_DIFFERENT
        found = {
            "challenger": challenger,
            "against": against,
            "metric": settings.metric,
            "value": self.means[challenger],
            "other": float(other.mean()),
            "difference": float(compared.difference[column]),
            "low": low,
            "high": float(compared.high[column]),
            "p": float(compared.p[column]),
            "users": len(other),
            "passed": passed,
        }
        self.comparisons.append(found)
        many = f", best of {len(names)}" if len(names) > 1 else ""
        few = f"; only {different} users are served differently, and {MIN_DIFFERENT} are needed" if low > 0 else ""
        self.say(
            f"{self.metric} of {challenger}, {found['value']:.3f}, {'beats' if passed else 'is not shown to beat'} "
            f"{'the champion' if against == CHAMPION else against}'s {found['other']:.3f}: the difference is "
            f"{found['difference']:+.3f} [{low:+.3f}, {found['high']:+.3f}] (paired bootstrap over {len(other):,} "
            f"users, one-sided {settings.alpha:.0%}{many}){'' if passed else few}.",
            (DECIDES if passed else STOPS) if against == CHAMPION else ADDS,
        )
        return passed

    def _comparable(self, candidates: Evaluations) -> dict[str, Evaluation]:
        """The candidates of which something can be said; none when nothing can be said of the champion."""
        usable = {name: each for name, each in sorted(candidates.items()) if self._usable(name, each)}
        if self.champion is not None:
            if not self._usable("the champion", self.champion):
                return {}
            if self.champion.users < self.settings.min_users:
                needed = f"and {self.settings.min_users} are needed"
                self.say(f"Only {self.champion.users} users could be judged, {needed}: the champion stays.", STOPS)
                return {}
        reference = self.champion or next(iter(usable.values()), None)
        return {name: each for name, each in usable.items() if reference and self._alike(name, each, reference)}

    def _usable(self, name: str, evaluation: Evaluation) -> bool:
        metric, users = self.settings.metric, evaluation.per_user.height
        if metric not in evaluation.per_user.columns:
            self.say(f"{name} cannot be judged: its evaluation has no {metric}.", STOPS)
        elif users < 2:
            self.say(f"{name} cannot be judged: its lists were judged on {users} users.", STOPS)
        elif not np.isfinite(self._values(evaluation)).all():
            self.say(f"{name} cannot be judged: its {metric} is not a number for some users.", STOPS)
        else:
            return True
        return False

    def _alike(self, name: str, evaluation: Evaluation, reference: Evaluation) -> bool:
        if evaluation.k == reference.k and evaluation.per_user["user_id"].equals(reference.per_user["user_id"]):
            return True
        self.say(f"{name} cannot be judged: it was evaluated on other users or lists of another length.", STOPS)
        return False

    def _values(self, evaluation: Evaluation) -> Doubles:
        return evaluation.per_user[self.settings.metric].cast(float).to_numpy()


def verdict_markdown(verdict: Verdict) -> str:
    """The verdict for people, for the Kubeflow UI."""
    lines = [f"# {verdict.chosen}: {verdict.outcome}", "", *(f"- {reason}" for reason in verdict.reasons)]
    if verdict.comparisons:
        lines += ["", f"| challenger | against | {label(verdict.metric, verdict.k)} | its | difference | p | better |"]
        lines += ["| - | - | -: | -: | -: | -: | - |"]
        lines += [
            f"| {c['challenger']} | {c['against']} | {c['value']:.4f} | {c['other']:.4f} "
            f"| {c['difference']:+.4f} [{c['low']:+.4f}, {c['high']:+.4f}] | {c['p']:.2g} "
            f"| {'yes' if c['passed'] else 'not shown'} |"
            for c in verdict.comparisons
        ]
    if verdict.slices:
        lines += [
            "",
            "| user group | users | challenger | champion | difference | p | |",
            "| - | -: | -: | -: | -: | -: | - |",
        ]
        lines += [
            f"| {s['attribute']} {cell(s['group'])} | {s['users']} | {s['challenger']:.4f} | {s['champion']:.4f} "
            f"| {s['difference']:+.4f} | {s['p']:.2g} | {s['state']} |"
            for s in verdict.slices
        ]
    return "\n".join(lines) + "\n"
