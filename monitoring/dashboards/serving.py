"""What people get: how much, how fast, how well; and the log of it.

>>> serving().uid
'everloop-serving'
"""

from monitoring.dashboards.panel import Dashboard, Panel
from monitoring.metrics import (
    CUT_OFF,
    EVENT_EXPORT_FAILED,
    EVENT_EXPORT_SEEN,
    EVENTS,
    EVENTS_EXPORTED,
    FALLBACKS,
    GATEWAY_EXPLORED,
    GATEWAY_FAILED,
    GATEWAY_FALLBACKS,
    GATEWAY_LISTS,
    GATEWAY_SECONDS,
    GATEWAY_SHORT,
    HISTORY_ERRORS,
    LEDGER_SEEN,
    LISTS,
    LOG_RECORDS,
    LOG_SPOOL_BYTES,
    LOG_UPLOADED,
    LOG_UPLOADS,
    READY,
    REFUSED,
    RELEASE_INFO,
    RELEASE_SINCE,
    REQUEST_SECONDS,
    REQUESTS,
    ROUTE_SHARE,
    ROUTES_READ,
    SHADOW_LISTS,
    SHORT_LISTS,
    SWAPS,
    USERS_CACHED,
)
from monitoring.rules.slo import GATEWAY, OBJECTIVES

RATE = "[$__rate_interval]"


def serving() -> Dashboard:
    available, quick, _ = OBJECTIVES
    predictions = f'{REQUEST_SECONDS}_bucket{{job!="gateway"}}'  # gateways count their own under the same name
    buckets = f"sum by (le, variant) (rate({GATEWAY_SECONDS}_bucket{RATE}))"
    lists = f"sum(rate({GATEWAY_LISTS}{RATE}))"
    return Dashboard(
        "serving",
        "Everloop: serving",
        "What people get from the gateway, from which release, how fast; and whether the log of it is whole.",
        {
            "At a glance": (
                Panel(
                    "Lists a second",
                    "Lists given to people in the last minutes, by all gateways.",
                    {lists: "lists"},
                    "reqps",
                    "stat",
                ),
                Panel(
                    "Answered without error, 1 h",
                    f"Share of requests without a server error. The objective is {available.target:.1%} over 30 days.",
                    {f"1 - (({available.share('1h')}) or vector(0))": "availability"},
                    "percentunit",
                    "stat",
                    limit=available.target,
                    bad_below=True,
                ),
                Panel(
                    "Within 50 ms, 1 h",
                    f"Share of lists given within 50 ms. The objective is {quick.target:.0%} over 30 days.",
                    {f"1 - ({quick.share('1h')})": "latency"},
                    "percentunit",
                    "stat",
                    limit=quick.target,
                    bad_below=True,
                ),
                Panel(
                    "Candidate's share",
                    "Share of people whose lists come from the candidate of a rollout.",
                    {f'max({ROUTE_SHARE}{{variant="candidate"}})': "candidate"},
                    "percentunit",
                    "stat",
                ),
                Panel(
                    "Champion serves for",
                    "Time since the release that answers began to answer.",
                    {f'time() - max({RELEASE_SINCE}{{variant!~"candidate|former"}})': "since"},
                    "s",
                    "stat",
                ),
                Panel(
                    "Ready",
                    "Gateways and predictors that answer.",
                    {f"sum by (job) ({READY})": "{{job}}"},
                    kind="stat",
                    limit=1,
                    bad_below=True,
                ),
            ),
            "People": (
                Panel(
                    "Lists by group",
                    "Lists a second, by the group that people are in. The groups' shares follow the routes.",
                    {f"sum by (variant) (rate({GATEWAY_LISTS}{RATE}))": "{{variant}}"},
                    "reqps",
                    stacked=True,
                ),
                Panel(
                    "Time to a list",
                    "Median, 95th and 99th percentile of the time from a list asked for to its answer, by group.",
                    {f"histogram_quantile({q}, {buckets})": f"{{{{variant}}}} p{q * 100:g}" for q in (0.5, 0.95, 0.99)},
                    "s",
                    limit=0.05,
                ),
                Panel(
                    "Requests by answer",
                    "Requests a second to the gateway, by HTTP status. 4xx are clients' errors, 5xx ours.",
                    {f"sum by (code) (rate({REQUESTS}{{{GATEWAY}}}{RATE}))": "{{code}}"},
                    "reqps",
                ),
                Panel(
                    "Lists that no model gave",
                    "Share of lists by popularity, by reason. no_history and unknown_user are new people and no fault.",
                    {f"sum by (reason) (rate({GATEWAY_FALLBACKS}{RATE})) / on () group_left () {lists}": "{{reason}}"},
                    "percentunit",
                ),
                Panel(
                    "Another had to answer",
                    "Lists a second that a group's own predictor did not give. People did not notice; the rollout's guard does.",
                    {f"sum by (variant, reason) (rate({GATEWAY_FAILED}{RATE}))": "{{variant}}: {{reason}}"},
                    "reqps",
                ),
                Panel(
                    "Short, explored",
                    "Share of lists shorter than asked for, and of lists in which one place explores.",
                    {
                        f"sum(rate({GATEWAY_SHORT}{RATE})) / {lists}": "short",
                        f"sum(rate({GATEWAY_EXPLORED}{RATE})) / {lists}": "explored",
                    },
                    "percentunit",
                ),
            ),
            "Predictors": (
                Panel(
                    "Lists by release",
                    "Lists a second that predictors answered, by release. A shadow's are not shown to anybody.",
                    {f"sum by (release, variant) (rate({LISTS}{RATE}))": "{{release}} ({{variant}})"},
                    "reqps",
                ),
                Panel(
                    "Time of a prediction",
                    "95th percentile of a predictor's own time, by endpoint.",
                    {f"histogram_quantile(0.95, sum by (le, endpoint) (rate({predictions}{RATE})))": "{{endpoint}}"},
                    "s",
                ),
                Panel(
                    "Releases in place",
                    "1 for the release that a predictor answers with.",
                    {f"max by (model, release) ({RELEASE_INFO})": "{{release}} ({{model}})"},
                ),
                Panel(
                    "Swaps, refusals, mirrors",
                    "Releases taken over, refused as broken, and requests mirrored to a shadow, in an hour.",
                    {
                        f"sum(increase({SWAPS}[1h]))": "swapped",
                        f"sum(increase({REFUSED}[1h]))": "refused",
                        f"sum by (outcome) (increase({SHADOW_LISTS}[1h]))": "shadow: {{outcome}}",
                    },
                ),
                Panel(
                    "Predictors' fallback, short lists",
                    "What predictors themselves answered by popularity, and lists that filters left short.",
                    {
                        f"sum by (reason) (rate({FALLBACKS}{RATE}))": "{{reason}}",
                        f"sum(rate({SHORT_LISTS}{RATE}))": "short",
                    },
                    "reqps",
                ),
                Panel(
                    "Age of what is followed",
                    "Seconds since the routes (gateways) and the ledger (predictors) were last read without a fault.",
                    {
                        f"time() - min({ROUTES_READ})": "routes",
                        f"time() - min({LEDGER_SEEN})": "ledger",
                    },
                    "s",
                    limit=60,
                ),
            ),
            "The log": (
                Panel(
                    "Records",
                    "Prediction log records a second. Dropped ones can never be judged.",
                    {f"sum by (outcome) (rate({LOG_RECORDS}{RATE}))": "{{outcome}}"},
                    "reqps",
                ),
                Panel(
                    "Waiting for upload",
                    "Disk that segments take until the sink has them.",
                    {f"sum by (instance) ({LOG_SPOOL_BYTES})": "{{instance}}"},
                    "bytes",
                ),
                Panel(
                    "Uploads",
                    "Segments uploaded in an hour, by outcome.",
                    {f"sum by (outcome) (increase({LOG_UPLOADS}[1h]))": "{{outcome}}"},
                ),
                Panel(
                    "Events from people",
                    "Feedback events a second: accepted, duplicates, refused; and copied into the home.",
                    {
                        f"sum by (outcome) (rate({EVENTS}{RATE}))": "{{outcome}}",
                        f"sum(rate({EVENTS_EXPORTED}{RATE}))": "copied",
                    },
                    "reqps",
                    width=6,
                ),
                Panel(
                    "Time since the last copy",
                    "Seconds since the last segment was uploaded, and since the home had every accepted event.",
                    {
                        f"time() - min({LOG_UPLOADED})": "segments",
                        f"time() - min({EVENT_EXPORT_SEEN})": "events",
                    },
                    "s",
                    limit=600,
                    width=6,
                ),
                Panel(
                    "Faults",
                    "In an hour: reads and writes of the online history that failed, copies that failed, connections cut off.",
                    {
                        f"sum by (operation) (increase({HISTORY_ERRORS}[1h]))": "history: {{operation}}",
                        f"sum(increase({EVENT_EXPORT_FAILED}[1h]))": "copy of events",
                        f"sum by (reason) (increase({CUT_OFF}[1h]))": "cut off: {{reason}}",
                    },
                    width=6,
                ),
                Panel(
                    "Histories in memory",
                    "Users whose history a gateway or predictor holds in memory.",
                    {f"sum by (job) ({USERS_CACHED})": "{{job}}"},
                    width=6,
                ),
            ),
        },
    )
