"""Champion and challenger: may the best candidate replace what serves?

>>> verdict = decide(candidates, champion, GateSettings())
>>> verdict.reasons[0]
"nDCG@10 of ease, 0.241, beats the champion's 0.204 by 0.037 [0.030, 0.044] (paired bootstrap over 943 users, ...)"

The best of several candidates on the test users looks better on them than it is. No users are kept back for choosing: the
comparison itself is made for the largest of all candidates' differences (`stats.compare`), so among candidates that are no
better than the champion, however many, one is promoted with a probability of at most alpha.

What is asked, all of it:
- better than the champion on the metric, at alpha;
- better than each simple baseline, at alpha. A candidate that is not shown to be gives way to the best baseline, which
  then is the challenger: the simple model is right until a complex one has proven itself. So a first release on little
  data is a baseline;
- no user group harmed: a group is when it loses more than the margin and the loss is real (t-test, Holm over the groups).
  That every group is *proven* to lose less than the margin cannot be asked: thirty users tell 10 % apart for nobody, and
  every improvement would be stopped. How many groups are proven safe is told;
- enough of the catalogue shown.
A first release has no champion to beat and no group to harm.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from components.recsys.errors import InputError
from components.recsys.evaluation import GROUP, Evaluation, cell, label
from components.recsys.settings import GateSettings
from components.recsys.slices import order_of
from components.recsys.stats import Doubles, compare, holm, t_test

Json = dict[str, Any]
CHAMPION = "champion"
MIN_DIFFERENT = 10  # users whom two models serve differently, below which a difference is a matter of a few coins


@dataclass(frozen=True)
class Verdict:
    """outcome: promoted, rejected or unchanged. chosen: the challenger. reasons: sentences for people, the deciding first.

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
    candidates: Mapping[str, Evaluation],
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
    if not hearing.sound:
        return hearing.close("rejected", min(candidates))
    challenger = hearing.choose()
    if challenger in same_as_champion and champion is not None:
        hearing.reasons.insert(
            0, f"{challenger} is the best candidate, and it is the champion itself: nothing to release."
        )
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

    def __init__(
        self, candidates: Mapping[str, Evaluation], champion: Evaluation | None, settings: GateSettings
    ) -> None:
        self.settings, self.champion = settings, champion
        self.reasons: list[str] = []
        self.comparisons: list[Json] = []
        self.slices: list[Json] = []
        self.unproven = False  # a complex challenger that no baseline can replace
        usable = {name: evaluation for name, evaluation in sorted(candidates.items()) if self._usable(name, evaluation)}
        self.reference = champion if champion is not None else next(iter(usable.values()), None)
        self.sound = self.reference is not None and (champion is None or self._usable("the champion", champion))
        self.candidates = {name: each for name, each in usable.items() if self.sound and self._comparable(name, each)}
        self.sound = bool(self.candidates)
        first = next(iter(candidates.values()))
        self.k, self.users = first.k, (self.reference or first).users
        self.metric = label(settings.metric, self.k)
        self.values = {name: self._values(each) for name, each in self.candidates.items()}
        self.means = {name: float(values.mean()) for name, values in self.values.items()}
        self.enough = self.users >= settings.min_users
        if self.sound and champion is not None and not self.enough:
            self.reasons.append(
                f"Only {self.users} users could be judged, and {settings.min_users} are needed: the champion stays."
            )
            self.sound = False

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
            found, limit = self._coverage(ranked[0])[1:]
            self.reasons.append(
                f"{ranked[0]} has the best {self.metric}, {self.means[ranked[0]]:.3f}, but its lists show only {found:.3f} of the "
                f"catalogue ({limit} is the floor), so {best} is judged."
            )
        if not baselines:
            self.reasons.append("No simple baseline was a candidate, so none had to be beaten.")
            return best
        if best in baselines:
            self.reasons.append(
                f"{best} is itself a simple baseline, and no better candidate was found ({self.metric} {self.means[best]:.3f})."
            )
            return best
        if not self.enough:
            cause = f"Only {self.users} users could be judged, and {self.settings.min_users} are needed to show more"
        else:
            beaten = [
                self._beats(best, name, self.values[name], [n for n in ranked if n != name]) for name in baselines
            ]
            if all(beaten):
                return best
            cause = f"{best} has not proven itself against the simple baselines"
        if simplest is None:
            self.reasons.append(f"{cause}, and no baseline shows enough of the catalogue to stand in its place.")
            self.unproven = True
            return best
        self.reasons.append(f"{cause}: {simplest}, the best of the simple ones, stands in its place.")
        return simplest

    def beats_champion(self, challenger: str, same_as_champion: Collection[str]) -> bool:
        if self.champion is None:
            self.reasons.append("There is no champion yet: this would be the first release.")
            return True
        family = [name for name in self.candidates if name == challenger or name not in same_as_champion]
        return self._beats(challenger, CHAMPION, self._values(self.champion), family)

    def covers(self, challenger: str) -> bool:
        enough, found, limit = self._coverage(challenger)
        verdict = "at least" if enough else "less than"
        self.reasons.append(
            f"The lists of {challenger} show {found:.3f} of the catalogue, {verdict} the floor of {limit}."
        )
        return enough

    def harms_nobody(self, challenger: str) -> bool:
        if self.champion is None:
            return True
        self.slices = _compare_slices(
            self.candidates[challenger], self.values[challenger], self._values(self.champion), self.settings
        )
        harmed = [each for each in self.slices if each["state"] == "harmed"]
        for each in harmed:
            loss = -each["difference"] / each["champion"]
            self.reasons.append(
                f"Users with {each['attribute']} {each['group']} lose: {self.metric} {each['challenger']:.3f} against the "
                f"champion's {each['champion']:.3f}, {loss:.0%} less ({each['users']} users, corrected p {each['p']:.2g}); "
                f"{self.settings.slice_margin:.0%} is the most."
            )
        safe = sum(each["state"] == "safe" for each in self.slices)
        if not harmed and self.slices:
            self.reasons.append(
                f"No user group is harmed: of {len(self.slices)} groups large enough, {safe} are shown to lose less than "
                f"{self.settings.slice_margin:.0%}, and none is shown to lose more."
            )
        elif not harmed:
            self.reasons.append("No user group is large enough to be judged by itself.")
        return not harmed

    def close(self, outcome: str, chosen: str) -> Verdict:
        return Verdict(
            promote=outcome == "promoted",
            outcome=outcome,
            chosen=chosen,
            reasons=self.reasons,
            metric=self.settings.metric,
            k=self.k,
            users=self.users,
            comparisons=self.comparisons,
            slices=self.slices,
        )

    def _coverage(self, name: str) -> tuple[bool, float, str]:
        """Whether the lists of a candidate show enough, how much they show, and the floor in words."""
        evaluation, share = self.candidates[name], self.settings.min_coverage
        found, catalogue = evaluation.metrics["coverage"]["value"] or 0.0, evaluation.counts["catalogue"]
        possible = min(1.0, evaluation.users * evaluation.k / max(catalogue, 1))
        limit = f"{share * possible:.3f}" + ("" if possible == 1 else f" ({share:g} of what so few lists can show)")
        return found >= share * possible, found, limit

    def _beats(self, challenger: str, against: str, other: Doubles, family: Sequence[str]) -> bool:
        settings, names = self.settings, sorted(family)
        differences = np.column_stack([self.values[name] for name in names]) - other[:, None]
        found = compare(differences, settings.alpha, settings.bootstrap, settings.seed)
        column = names.index(challenger)
        mean, low, high = (float(part[column]) for part in (found.difference, found.low, found.high))
        different = int((np.abs(differences[:, column]) > 0).sum())
        passed = low > 0 and different >= MIN_DIFFERENT
        self.comparisons.append(
            {
                "challenger": challenger,
                "against": against,
                "metric": settings.metric,
                "value": self.means[challenger],
                "other": float(other.mean()),
                "difference": mean,
                "low": low,
                "high": high,
                "p": float(found.p[column]),
                "users": len(other),
                "passed": passed,
            }
        )
        owner = "the champion's" if against == CHAMPION else f"{against}'s"
        verb = "beats" if passed else "is not shown to beat"
        many = f", best of {len(names)}" if len(names) > 1 else ""
        sentence = (
            f"{self.metric} of {challenger}, {self.means[challenger]:.3f}, {verb} {owner} {other.mean():.3f}: the difference is "
            f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] (paired bootstrap over {len(other):,} users, one-sided {settings.alpha:.0%}{many})"
        )
        if low > 0 and not passed:
            sentence += f"; only {different} users are served differently, and {MIN_DIFFERENT} are needed"
        self.reasons.append(sentence + ".")
        return passed

    def _usable(self, name: str, evaluation: Evaluation) -> bool:
        metric = self.settings.metric
        if metric not in evaluation.per_user.columns:
            self.reasons.append(f"{name} cannot be judged: its evaluation has no {metric}.")
        elif evaluation.per_user.height < 2:
            self.reasons.append(f"{name} cannot be judged: it was evaluated on {evaluation.per_user.height} users.")
        elif not np.isfinite(self._values(evaluation)).all():
            self.reasons.append(f"{name} cannot be judged: its {metric} is not a number for some users.")
        else:
            return True
        return False

    def _comparable(self, name: str, evaluation: Evaluation) -> bool:
        assert self.reference is not None
        if evaluation.k != self.reference.k or not evaluation.per_user["user_id"].equals(
            self.reference.per_user["user_id"]
        ):
            self.reasons.append(f"{name} cannot be judged: it was evaluated on other users or another length of list.")
            return False
        return True

    def _values(self, evaluation: Evaluation) -> Doubles:
        return evaluation.per_user[self.settings.metric].cast(float).to_numpy()


def _compare_slices(challenger: Evaluation, ours: Doubles, theirs: Doubles, settings: GateSettings) -> list[Json]:
    judged = {(each["attribute"], each["group"]) for each in challenger.slices if each["judged"]}
    found: list[Json] = []
    for column in (name for name in challenger.per_user.columns if name.startswith(GROUP)):
        attribute, groups = column.removeprefix(GROUP), challenger.per_user[column]
        for group in order_of(attribute, groups.unique().to_list()):
            if (attribute, group) not in judged:
                continue
            within = (groups == group).to_numpy()
            mean, low, high, p = t_test(ours[within] - theirs[within], settings.alpha)
            _, spare, _, _ = t_test(ours[within] - (1 - settings.slice_margin) * theirs[within], settings.alpha)
            found.append(
                {
                    "attribute": attribute,
                    "group": group,
                    "users": int(within.sum()),
                    "challenger": float(ours[within].mean()),
                    "champion": float(theirs[within].mean()),
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "p": p,
                    "state": "safe" if spare >= 0 else "undecided",
                }
            )
    for each, p in zip(found, holm(np.array([each["p"] for each in found])), strict=True):
        each["p"] = float(p)
        if p <= settings.alpha and each["challenger"] < (1 - settings.slice_margin) * each["champion"]:
            each["state"] = "harmed"
    return found


def verdict_markdown(verdict: Verdict) -> str:
    """The verdict for people, for the Kubeflow UI."""
    lines = [f"# {verdict.chosen}: {verdict.outcome}", "", *(f"- {reason}" for reason in verdict.reasons)]
    if verdict.comparisons:
        lines += ["", f"| challenger | against | {label(verdict.metric, verdict.k)} | its | difference | p | better |"]
        lines += ["| - | - | -: | -: | -: | -: | - |"]
        lines += [
            f"| {c['challenger']} | {c['against']} | {c['value']:.4f} | {c['other']:.4f} "
            f"| {c['difference']:+.4f} [{c['low']:+.4f}, {c['high']:+.4f}] | {c['p']:.2g} | {'yes' if c['passed'] else 'not shown'} |"
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
