"""Whether people have changed, whether lists are as good as before, and whether anybody is looking.

>>> drift().uid
'everloop-drift'
"""

from components.recsys.settings import Settings
from monitoring.dashboards.panel import Dashboard, Panel
from monitoring.metrics import (
    CLICK_RATE,
    CLICK_RATE_BASELINE,
    CLICK_RATE_DROPPED,
    DRIFT_DETECTED,
    DRIFT_DISTANCE,
    DRIFT_EVENTS,
    DRIFT_LIMIT,
    DRIFT_P,
    EXPLORATION_SHARE,
    EXPOSURE_COVERAGE,
    EXPOSURE_GINI,
    MATURE_LISTS,
    MONITOR_BROKEN,
    MONITOR_DATA_AGE,
    MONITOR_RUNS,
    MONITOR_SECONDS,
    MONITOR_SEEN,
)
from monitoring.rules.absence import NO_EVENTS_SECONDS
from monitoring.rules.serving import LEAST_COVERAGE, MOST_GINI

NO_YES = {0: "steady", 1: "drifts"}


def drift() -> Dashboard:
    settings = Settings().drift
    return Dashboard(
        "drift",
        "Everloop: drift and quality",
        "Whether what people do has changed, whether lists are as good as they were, and whether the monitor sees it.",
        {
            "At a glance": (
                Panel(
                    "Features that drift",
                    "Features whose last window differs from the baseline by more than season and noise explain.",
                    {f"sum({DRIFT_DETECTED})": "features"},
                    kind="stat",
                    limit=1,
                ),
                Panel(
                    "Click rate",
                    "Lists with a click among the champion's lists whose labels are mature.",
                    {f'avg({CLICK_RATE}{{variant="champion"}} >= 0)': "champion"},
                    "percentunit",
                    "stat",
                ),
                Panel(
                    "Against the baseline",
                    f"The same divided by the baseline; a fall by {settings.quality_drop:.0%} and beyond chance is an alarm.",
                    {f'avg({CLICK_RATE}{{variant="champion"}} >= 0) / max({CLICK_RATE_BASELINE})': "ratio"},
                    "percentunit",
                    "stat",
                    limit=1 - settings.quality_drop,
                    bad_below=True,
                ),
                Panel(
                    "Quality alarm",
                    "1 while the click rate has dropped.",
                    {f"max({CLICK_RATE_DROPPED})": "dropped"},
                    kind="stat",
                    limit=1,
                    words={0: "no", 1: "dropped"},
                ),
                Panel(
                    "Catalogue shown",
                    "Share of the catalogue shown in the last window.",
                    {f"max({EXPOSURE_COVERAGE})": "coverage"},
                    "percentunit",
                    "stat",
                    limit=LEAST_COVERAGE,
                    bad_below=True,
                ),
                Panel(
                    "Last look",
                    "Time since the monitor looked without a fault. Beyond the limit the figures here say nothing about now.",
                    {f"time() - max({MONITOR_SEEN})": "ago"},
                    "s",
                    "stat",
                    limit=5 * settings.interval_seconds,
                ),
            ),
            "Drift": (
                Panel(
                    "What drifts",
                    "Each feature: what people do (data), what they are shown (prediction), which items they take (embedding).",
                    {f"max by (kind, feature) ({DRIFT_DETECTED})": "{{kind}}: {{feature}}"},
                    kind="state-timeline",
                    limit=1,
                    highest=1,
                    words=NO_YES,
                    width=12,
                ),
                Panel(
                    "Distance over limit",
                    "Distance of the last window to the baseline, divided by what season and noise explain. Above 1 it counts.",
                    {
                        f"max by (kind, feature) ({DRIFT_DISTANCE}) / max by (kind, feature) ({DRIFT_LIMIT})": "{{kind}}: {{feature}}"
                    },
                    limit=1,
                    width=12,
                ),
                Panel(
                    "Distance",
                    "0 is the same distribution, 1 is nothing in common.",
                    {f"max by (kind, feature) ({DRIFT_DISTANCE})": "{{kind}}: {{feature}}"},
                    width=8,
                ),
                Panel(
                    "p-value",
                    f"Against shuffles of the same size, corrected over all features. Below {settings.alpha:g} it counts.",
                    {f"min by (kind, feature) ({DRIFT_P})": "{{kind}}: {{feature}}"},
                    limit=settings.alpha,
                    bad_below=True,
                    highest=1,
                    width=8,
                ),
                Panel(
                    "Rows in the window",
                    f"With fewer than {settings.min_events} nothing is said.",
                    {f"max by (kind) ({DRIFT_EVENTS})": "{{kind}}"},
                    limit=settings.min_events,
                    bad_below=True,
                    width=8,
                ),
            ),
            "Quality": (
                Panel(
                    "Click rate by release",
                    "Of mature labels, by group and release, with the baseline.",
                    {
                        f"max by (variant, release) ({CLICK_RATE})": "{{release}} ({{variant}})",
                        f"max({CLICK_RATE_BASELINE})": "baseline",
                    },
                    "percentunit",
                ),
                Panel(
                    "Mature lists",
                    "Lists of the last window whose labels are final: what the click rate rests on.",
                    {f"max({MATURE_LISTS})": "lists"},
                ),
                Panel(
                    "Concentration and coverage",
                    "Gini of what is shown (0 even, 1 one item), share of the catalogue shown, share of lists that explored.",
                    {
                        f"max({EXPOSURE_GINI})": "concentration",
                        f"max({EXPOSURE_COVERAGE})": "coverage",
                        f"max({EXPLORATION_SHARE})": "explored",
                    },
                    "percentunit",
                    limit=MOST_GINI,
                    highest=1,
                ),
            ),
            "The monitor": (
                Panel(
                    "Looks",
                    "Looks at the logs in an hour, by outcome, and what could not be read.",
                    {
                        f"sum by (outcome) (increase({MONITOR_RUNS}[1h]))": "{{outcome}}",
                        f"sum by (kind) (increase({MONITOR_BROKEN}[1h]))": "broken {{kind}}",
                    },
                ),
                Panel(
                    "Time of a look",
                    "Seconds that the last look took.",
                    {f"max({MONITOR_SECONDS})": "look"},
                    "s",
                    limit=settings.interval_seconds,
                ),
                Panel(
                    "Age of the newest data",
                    "By the loop's clock: the newest list in the log, the newest event of people.",
                    {f"max by (kind) ({MONITOR_DATA_AGE})": "{{kind}}"},
                    "s",
                    limit=NO_EVENTS_SECONDS,
                ),
            ),
        },
    )
