"""When an alert does not become a run. Each guard says why in a sentence, or nothing.

>>> objections(trigger, situation, RetrainSettings(), models={"everloop"})
[('cooldown', 'everloop-drift-82761 had its run; the next window begins in at most 6 h')]
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from components.recsys.settings import RetrainSettings
from monitoring.controller.records import MANUAL, Trigger
from monitoring.controller.triggers import ON_ITS_WAY, Objections, Situation


@dataclass(frozen=True)
class Case:
    """All that a guard looks at."""

    trigger: Trigger
    situation: Situation
    settings: RetrainSettings
    models: Collection[str]


def unknown_model(case: Case) -> str:
    known = ", ".join(sorted(case.models))
    return "" if case.trigger.model in case.models else f"the alert's label model names none of ours ({known})"


def paused(case: Case) -> str:
    return f"paused: {case.situation.paused}" if case.situation.paused else ""


def data_quality(case: Case) -> str:
    names = ", ".join(case.situation.blocks)
    return f"alerts that forbid training are open: {names}" if names else ""


def breaker(case: Case) -> str:
    failed, most = case.situation.failures, case.settings.breaker_failures
    return f"{failed} runs failed in a row; see why, then `everloop controller resume`" if failed >= most else ""


def on_its_way(case: Case) -> str:
    """What people did before they had the release that answers it asks for nothing new."""
    return case.situation.on_its_way


def cooldown(case: Case) -> str:
    """The window is what the database holds unique; the time since the last one closes the gap between two windows."""
    seconds, since = case.settings.cooldown_seconds, case.situation.since_last
    if case.situation.key_used:
        return f"{case.trigger.key} had its run; one in {seconds:g} s"
    if case.trigger.reason_class != MANUAL and since is not None and since < seconds:
        return f"the last run for {case.trigger.reason_class} was {since:.0f} s ago; one in {seconds:g} s"
    return ""


def concurrency(case: Case) -> str:
    active = case.situation.active
    return f"{active} runs are under way" if active >= case.settings.max_concurrent else ""


def budget(case: Case) -> str:
    used, most = case.situation.admitted_in_day, case.settings.daily_budget
    return f"{used} runs in 24 hours, of {most}" if used >= most else ""


def settling(case: Case) -> str:
    """A weekend's excitement is not worth a run, and a run on the first day of something new has hardly seen it."""
    least = case.settings.settle_seconds.get(case.trigger.reason_class, 0.0)
    asked = case.situation.asked_for
    if asked >= least:
        return ""
    return f"asked for since {asked / 3600:.1f} h; a run for {case.trigger.reason_class} waits until it is {least / 3600:g} h"


def few_events(case: Case) -> str:
    new, least = case.situation.new_events, case.settings.min_new_events
    return f"{new} new events since the last run; fewer than {least} are not worth one" if _below(new, least) else ""


def dry_run(case: Case) -> str:
    return "retrain.dry_run is on: a run would have been started now" if case.settings.dry_run else ""


def _below(new: int | None, least: int) -> bool:
    return new is not None and new < least


# In the order in which their words help most: what a person must do first, what passes by itself last.
GUARDS: dict[str, Callable[[Case], str]] = {
    "unknown_model": unknown_model,
    "paused": paused,
    "data_quality": data_quality,
    "breaker": breaker,
    ON_ITS_WAY: on_its_way,
    "cooldown": cooldown,
    "concurrency": concurrency,
    "budget": budget,
    "settling": settling,
    "few_events": few_events,
    "dry_run": dry_run,
}


def objections(
    trigger: Trigger, situation: Situation, settings: RetrainSettings, models: Collection[str]
) -> Objections:
    """Every guard that says no, with its sentence."""
    case = Case(trigger, situation, settings, models)
    return [(reason, said) for reason, guard in GUARDS.items() if (said := guard(case))]
