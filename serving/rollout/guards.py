"""What may stop a rollout: one verdict a guard, in a sentence with its figures.

>>> for verdict in judge(evidence, rollout, settings.rollout, crashes=0):
...     verdict.guard, verdict.state, verdict.sentence
('clicks', 'broken', 'the candidate lost 61 % of clicks [38 %, 83 %]; 10 % is accepted')

An equal candidate is aborted at most `alpha` of the time over the whole rollout, however often one looks: clicks take half
of alpha, errors, latency, fallbacks and coverage an eighth each. The observed split has `max_split_error` for itself.
"""

import hashlib
import math
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from components.recsys.buckets import CANDIDATE, CHAMPION
from components.recsys.settings import RolloutSettings
from serving.rollout import coverage, sequential
from serving.rollout.evidence import Evidence
from serving.rollout.quantiles import Sketch
from serving.rollout.shadow import Shadow
from serving.rollout.state import Rollout

Verdicts = Literal["undecided", "passes", "broken"]

MOST_CRASHES = 3  # ends of its process in one rollout; a machine kills one now and then
LEAST_LATENCIES = 20  # answers of a side before its latency is judged: the first few warm caches
LEVEL = 0.95
MOST_POINTS = 60  # of a trail


@dataclass(frozen=True)
class Verdict:
    """What a guard says. interval: low, value, high and limit of what it watches, where that is one number; trail: of
    looks before."""

    guard: str
    state: Verdicts
    sentence: str
    figures: dict[str, Any]
    interval: dict[str, float | None] | None = None
    trail: list[dict[str, float | None]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Guards:
    """Remembers what coverage said at a checkpoint, since its permutations take a while, and how intervals narrowed."""

    def __init__(self) -> None:
        self.covered: dict[tuple[str, int, int], coverage.Coverage | None] = {}
        self.trails: dict[tuple[str, str], list[dict[str, float | None]]] = {}

    def judge(self, evidence: Evidence, rollout: Rollout, settings: RolloutSettings, crashes: int) -> list[Verdict]:
        """Of a rollout that is at a step."""
        part = settings.alpha / 8
        verdicts = [
            errors(evidence, settings, part, crashes, alone=rollout.share >= 1),
            latency(evidence, settings, part),
            fallbacks(evidence, settings, part),
            clicks(evidence, settings, settings.alpha / 2),
            self._coverage(evidence, rollout, settings, part),
            split(evidence, rollout, settings),
            scores(evidence),
        ]
        return [self._with_trail(rollout.id, verdict) for verdict in verdicts]

    def _with_trail(self, rollout: str, verdict: Verdict) -> Verdict:
        if verdict.interval is None:
            return verdict
        trail = self.trails.setdefault((rollout, verdict.guard), [])
        point = {name: verdict.interval[name] for name in ("low", "value", "high")}
        if not trail or trail[-1] != point:
            trail.append(point)
        if len(trail) > MOST_POINTS:  # the far past keeps every other point
            trail[: MOST_POINTS // 2] = trail[: MOST_POINTS // 2 : 2]
        return replace(verdict, trail=list(trail))

    def _coverage(self, evidence: Evidence, rollout: Rollout, settings: RolloutSettings, alpha: float) -> Verdict:
        lists = evidence.first_lists.get(rollout.step, [])
        mine = sum(candidate for candidate, _ in lists)
        reached = sum(checkpoint <= mine for checkpoint in coverage.CHECKPOINTS)
        key = rollout.id, rollout.step, reached
        if key not in self.covered:
            seed = int.from_bytes(hashlib.sha256(rollout.salt.encode()).digest()[:4], "big")
            self.covered[key] = coverage.compared(lists, settings.min_coverage_ratio, seed)
        seen = self.covered[key]
        if seen is None:
            least = coverage.CHECKPOINTS[0]
            return Verdict(
                "coverage", "undecided", f"{mine} of {least} users with a list at this step", {"users": mine}
            )
        looks = len(coverage.CHECKPOINTS) * len(settings.steps)
        ratio = seen.items / seen.expected if seen.expected else 1.0
        figures = {"items": seen.items, "expected": round(seen.expected, 1), "users": seen.lists, "p": round(seen.p, 5)}
        said = f"{seen.items} different items to {seen.lists} users, {seen.expected:.0f} expected"
        if ratio < settings.min_coverage_ratio and seen.p <= alpha / looks:
            return Verdict(
                "coverage", "broken", f"{said}; at least {settings.min_coverage_ratio:.0%} are asked", figures
            )
        return Verdict("coverage", "passes" if ratio >= settings.min_coverage_ratio else "undecided", said, figures)


def errors(evidence: Evidence, settings: RolloutSettings, alpha: float, crashes: int, alone: bool = False) -> Verdict:
    """Broken when the candidate fails more often than accepted, and more often than the champion beside it: a machine
    that is slow for both is no fault of the candidate. alone: where no champion serves beside it any more."""
    mine, theirs = evidence.sides[CANDIDATE], evidence.sides[CHAMPION]
    lists, failed = mine.lists.total(), mine.failed.total()
    # The whole rollout, and each step for itself: the first 10,000 good answers must not hide what fails at 25 %. The mean
    # of tests that begin at different times is a test again.
    spans = [(failed, lists), *((mine.failed[step], mine.lists[step]) for step in mine.lists)]
    values = [sequential.exceeds(*span, settings.max_error_rate) for span in spans]
    absolute = float(np.logaddexp.reduce(values)) - math.log(len(settings.steps) + 1)
    counts = [
        (mine.failed[step], theirs.failed[step], mine.lists[step] / (mine.lists[step] + theirs.lists[step]))
        for step in mine.lists
    ]
    beside = math.inf if alone else sequential.more_often(counts)
    enough = math.log(1 / alpha)
    figures = {
        "lists": lists,
        "failed": failed,
        "causes": dict(mine.causes),
        "champion_failed": theirs.failed.total(),
        "champion_lists": theirs.lists.total(),
        "crashes": crashes,
    }
    said = f"{failed} of {lists} requests failed" + (f" ({named(mine.causes)})" if failed else "")
    if crashes >= MOST_CRASHES:
        return Verdict("errors", "broken", f"the candidate's process ended {crashes} times; {said}", figures)
    if absolute >= enough and beside >= enough:
        return Verdict("errors", "broken", f"{said}; {settings.max_error_rate:.1%} is accepted", figures)
    good = lists > 0 and sequential.exceeds(lists - failed, lists, 1 - settings.max_error_rate) >= enough
    return Verdict("errors", "passes" if good else "undecided", said, figures)


def latency(evidence: Evidence, settings: RolloutSettings, alpha: float) -> Verdict:
    """Broken when the candidate's 95th percentile is surely beyond the accepted multiple of the champion's."""
    mine, theirs = evidence.sides[CANDIDATE].latency, evidence.sides[CHAMPION].latency
    figures = {
        "p95_ms": known(mine.quantile(LEVEL)),
        "champion_p95_ms": known(theirs.quantile(LEVEL)),
        "lists": mine.n,
        "champion_lists": theirs.n,
    }
    if min(mine.n, theirs.n) < LEAST_LATENCIES:
        return Verdict("latency", "undecided", f"{min(mine.n, theirs.n)} of {LEAST_LATENCIES} answers", figures)
    low, high = bounds_of(mine, alpha / 2)
    their_low, their_high = bounds_of(theirs, alpha / 2)
    limit = max(settings.max_latency_ratio * their_high, settings.latency_floor_ms)
    interval = {"low": known(low), "value": known(mine.quantile(LEVEL)), "high": known(high), "limit": known(limit)}
    said = f"p95 {mine.quantile(LEVEL):.1f} ms, the champion's {theirs.quantile(LEVEL):.1f} ms"
    # Below the floor nothing is slow; the champion's own bound keeps chance on its side out.
    if low > limit:
        wanted = f"{settings.max_latency_ratio:g} times is accepted above {settings.latency_floor_ms:g} ms"
        return Verdict("latency", "broken", f"{said}; {wanted}", figures, interval)
    good = high <= max(settings.max_latency_ratio * their_low, settings.latency_floor_ms)
    return Verdict("latency", "passes" if good else "undecided", said, figures, interval)


def bounds_of(sketch: Sketch, alpha: float) -> tuple[float, float]:
    low, high = sequential.quantile_ranks(sketch.n, LEVEL, alpha)
    return sketch.at(low)[0], sketch.at(high)[1]


def fallbacks(evidence: Evidence, settings: RolloutSettings, alpha: float) -> Verdict:
    """Broken when the candidate surely gives more fallback or empty lists than accepted, to users of the same steps."""
    harm = sequential.fallback_gain(evidence.groups("fallbacks"), settings.max_fallback_gain)
    mine, theirs = evidence.sides[CANDIDATE], evidence.sides[CHAMPION]
    figures = {
        "rate": known(harm.candidate_rate),
        "champion_rate": known(harm.champion_rate),
        "short_lists": mine.short,
        "champion_short_lists": theirs.short,
        "users": harm.candidate_users,
    }
    said = f"fallbacks {percent(harm.candidate_rate)}, the champion's {percent(harm.champion_rate)}"
    if harm.proven(alpha):
        return Verdict("fallback", "broken", f"{said}; {settings.max_fallback_gain:.0%} more is accepted", figures)
    return Verdict("fallback", passing(harm, alpha), said, figures)


def clicks(evidence: Evidence, settings: RolloutSettings, alpha: float) -> Verdict:
    """Broken when it is proven that the candidate's users click less than the champion's by more than is accepted."""
    groups = evidence.groups("clicks")
    harm = sequential.click_loss(groups, settings.max_click_loss)
    figures = {
        "rate": known(harm.candidate_rate),
        "champion_rate": known(harm.champion_rate),
        "users": harm.candidate_users,
        "champion_users": harm.champion_users,
        "lists": int(groups.lists @ groups.candidate),
    }
    if harm.information <= 0:
        unnamed = f"; {evidence.unnamed} clicks name no list: send them with the request_id of the answer"
        said = f"no clicks to compare yet{unnamed if evidence.unnamed else ''}"
        return Verdict("clicks", "undecided", said, figures)
    low, high = sequential.loss_bounds(groups, 2 * alpha)
    loss = 1 - harm.candidate_rate / harm.champion_rate if harm.champion_rate else 0.0
    interval = {"low": known(low), "value": known(loss), "high": known(high), "limit": settings.max_click_loss}
    said = f"click rate {percent(harm.candidate_rate)}, the champion's {percent(harm.champion_rate)}"
    if harm.proven(alpha):
        wanted = f"at least {low:.0%} of clicks are lost, {settings.max_click_loss:.0%} are accepted"
        return Verdict("clicks", "broken", f"{said}: {wanted}", figures, interval)
    return Verdict("clicks", passing(harm, alpha), said, figures, interval)


def split(evidence: Evidence, rollout: Rollout, settings: RolloutSettings) -> Verdict:
    """Broken when the users of a step are not split as asked: routing, and not a model, is then at fault."""
    epochs = rollout.epochs()
    worst, step = 0.0, rollout.step
    for index, (_, share) in enumerate(epochs):
        placed = evidence.placed.get(index, Counter())
        value = sequential.differs(placed[CANDIDATE], placed.total(), share) if 0 < share < 1 else 0.0
        if value > worst:
            worst, step = value, index
    placed = evidence.placed.get(step, Counter())
    mine, users = placed[CANDIDATE], placed.total()
    share = epochs[step][1] if 0 <= step < len(epochs) else rollout.share
    figures = {
        "asked": share,
        "observed": known(mine / users if users else math.nan),
        "users": users,
        "misplaced_lists": evidence.misplaced,
        "p": min(1.0, math.exp(-worst)),
    }
    said = f"{mine} of {users} users are with the candidate, {share:.0%} asked"
    if worst >= math.log(len(settings.steps) / settings.max_split_error):
        return Verdict("split", "broken", f"{said}: people are not split as asked, look at the gateways", figures)
    return Verdict("split", "passes" if users else "undecided", said, figures)


def scores(evidence: Evidence) -> Verdict:
    """How far the best item's score moved, in the champion's standard deviations. It stops nothing: models differ in scale."""
    mine, theirs = evidence.sides[CANDIDATE], evidence.sides[CHAMPION]
    if not mine.scores or theirs.scores < 2:
        return Verdict("scores", "undecided", "no scores to compare yet", {})
    mean, their_mean = mine.score_sum / mine.scores, theirs.score_sum / theirs.scores
    spread = math.sqrt(max(0.0, theirs.score_squares / theirs.scores - their_mean**2))
    shift = (mean - their_mean) / spread if spread > 0 else 0.0
    figures = {"shift": round(shift, 3), "mean": round(mean, 4), "champion_mean": round(their_mean, 4)}
    return Verdict("scores", "passes", f"best scores moved by {shift:+.2f} standard deviations", figures)


def mirrored(shadow: Shadow, settings: RolloutSettings, alpha: float, crashes: int) -> Verdict:
    """Of a candidate that answers unseen: only failures end it, how it differs is for people."""
    figures, said = shadow.figures(), f"{shadow.failed} of {shadow.lists} mirrored requests failed"
    if crashes >= MOST_CRASHES:
        return Verdict("shadow", "broken", f"the candidate's process ended {crashes} times; {said}", figures)
    if sequential.exceeds(shadow.failed, shadow.lists, settings.max_error_rate) >= math.log(1 / alpha):
        return Verdict("shadow", "broken", f"{said}; {settings.max_error_rate:.1%} is accepted", figures)
    return Verdict("shadow", "passes" if shadow.lists else "undecided", said, figures)


def passing(harm: sequential.Harm, alpha: float) -> Verdicts:
    """`passes` when the opposite is proven: no more harm than accepted."""
    if min(harm.candidate_users, harm.champion_users) < sequential.LEAST_USERS or harm.information <= 0:
        return "undecided"
    limit = sequential.boundary(harm.information, alpha, harm.tuned)
    return "passes" if -harm.difference * harm.information >= limit else "undecided"


def broken(verdicts: list[Verdict]) -> Verdict | None:
    return next((verdict for verdict in verdicts if verdict.state == "broken"), None)


def named(causes: Counter[str]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in causes.most_common(3))


def percent(rate: float) -> str:
    return "-" if math.isnan(rate) else f"{rate:.1%}"


def known(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return round(value, 4) if math.isfinite(value) else None
