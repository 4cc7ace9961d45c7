"""Which part does what with which objects of the home's store: the one table that policies of buckets are made from.

>>> [use.path for use in USES if use.part == "predictor"]
['releases/']

A path that ends with a slash is a folder and all below it, another is one object. Actions: `list` the names, `read`,
`create` (put if absent, never over what is there), `write` (in place of what is there, in several parts where it is large), `delete`.
Parts are the service accounts of docs/kubernetes/access.md; `operator` and `auditor` are people, or the CI system on their behalf.

tests/access/test_store.py runs each part's code with a key that has these rights and no other, against a server that
enforces them: a right that is missing fails there, and so does one that nothing used.
"""

from dataclasses import dataclass
from typing import Literal

Action = Literal["list", "read", "create", "write", "delete"]
ACTIONS: tuple[Action, ...] = ("list", "read", "create", "write", "delete")
SERVICES = ("steps", "predictor", "gateway", "rollout", "monitor", "controller")
PEOPLE = ("operator", "auditor")
PARTS = (*SERVICES, *PEOPLE)


@dataclass(frozen=True)
class Use:
    """where: the module that does it. why: for the person who grants it."""

    part: str
    path: str
    actions: tuple[Action, ...]
    where: str
    why: str


def _use(part: str, path: str, actions: str, where: str, why: str) -> Use:
    wanted = tuple(action for action in ACTIONS if action in actions.split())
    assert len(wanted) == len(actions.split()), actions
    return Use(part, path, wanted, where, why)


USES: tuple[Use, ...] = (
    # The pipeline's pods: the only part that writes tables, releases and reports.
    _use("steps", "landing/", "list read", "components.recsys.intake.sources", "files that a run was given"),
    _use("steps", "log/events/", "list read", "components.recsys.intake.sources", "feedback that a run learns from"),
    _use("steps", "tables/", "list read create write", "components.recsys.intake.tables", "events, items, users"),
    _use("steps", "batches/", "list read write", "components.recsys.intake.batches", "what each ingest brought"),
    _use("steps", "pending/", "list read create delete", "components.recsys.intake.pending", "batches not yet judged"),
    _use("steps", "releases/", "list read write", "components.recsys.release", "the release that is registered"),
    _use("steps", "judged/", "list read write", "components.recsys.release", "the fit that the gate compares with"),
    _use("steps", "ledger/", "list read create", "components.recsys.ledger", "the decision of the gate"),
    _use("steps", "policy.json", "read", "components.recsys.policy", "whether releases go out gradually"),
    _use("steps", "runs/", "write", "components.recsys.registration", "the run's report and result"),
    # Predictors only ever read releases: KServe's storage initializer, under the predictor's service account.
    _use("predictor", "releases/", "list read", "serving.kserve", "KServe's storage initializer fetches one release"),
    # The gateway answers people: it reads who answers, and writes what was shown and what came back.
    _use("gateway", "routes.json", "read", "components.recsys.routes", "who answers with which share"),
    _use("gateway", "releases/", "read", "serving.gateway.routing", "its own list for when no predictor answers"),
    _use("gateway", "tables/", "list read", "serving.champion", "histories as of the release's data"),
    _use("gateway", "ledger/", "list read", "serving.champion", "champions before routes exist; the console"),
    _use("gateway", "keys/pseudonyms", "read create", "components.recsys.buckets", "the secret behind pseudonyms"),
    _use("gateway", "log/predictions/", "read create", "serving.predictions.uploads", "what was shown to whom"),
    _use("gateway", "log/events/", "list create", "serving.predictions.export", "accepted feedback"),
    _use("gateway", "status/", "read", "serving.console.state", "what every part says of itself"),
    _use("gateway", "status/gateway.json", "write", "serving.gateway.heartbeat", "its own word"),
    _use("gateway", "rollouts/", "list read", "serving.console.rollouts", "the console's picture of a rollout"),
    _use("gateway", "monitor/reports/", "read", "serving.console.report", "the newest report about drift"),
    # The rollout engine: the only writer of routes.
    _use("rollout", "ledger/", "list read create", "serving.rollout.engine", "shares, aborts, promotions"),
    _use("rollout", "releases/", "read", "serving.rollout.engine", "is the candidate what was released"),
    _use("rollout", "policy.json", "read", "components.recsys.policy", "whether releases go out gradually"),
    _use("rollout", "routes.json", "read write", "components.recsys.routes", "who answers with which share"),
    _use("rollout", "rollouts/", "list read write", "serving.rollout.state", "where a rollout stands"),
    _use(
        "rollout", "rollout/", "read write", "serving.kserve.memory", "which InferenceServices are idle, what git said"
    ),
    _use(
        "rollout", "leases/rollout/", "list read create write delete", "components.recsys.lease", "one engine at a time"
    ),
    _use("rollout", "wishes/rollout/", "list read delete", "serving.rollout.state", "what people asked for"),
    _use("rollout", "log/predictions/", "list read", "serving.rollout.evidence", "errors, latency, what was shown"),
    _use("rollout", "log/events/", "list read", "serving.rollout.evidence", "what was clicked"),
    _use("rollout", "status/rollout.json", "write", "serving.rollout.server", "its own word"),
    # The monitor reads all that people did and were shown; what it makes of it is its own.
    _use("monitor", "tables/", "list read", "monitoring.watching.reading", "what people did before"),
    _use("monitor", "releases/", "read", "monitoring.watching.reference", "what the champion was trained on"),
    _use("monitor", "ledger/", "list read", "monitoring.watching.reference", "who leads since when"),
    _use("monitor", "log/predictions/", "list read", "monitoring.watching.reading", "what was shown"),
    _use("monitor", "log/events/", "list read", "monitoring.watching.reading", "what was clicked"),
    _use("monitor", "log/joined/", "list read create write", "components.recsys.feedback.tables", "lists with labels"),
    _use("monitor", "keys/pseudonyms", "read", "components.recsys.feedback.tables", "to join feedback with lists"),
    _use("monitor", "monitor/", "read write", "monitoring.watching.watch", "counts, findings, reports"),
    _use("monitor", "status/monitor.json", "write", "monitoring.watching.watch", "its own word"),
    # The controller starts runs on Kubeflow and reads how they ended.
    _use("controller", "ledger/", "list read", "monitoring.controller.server", "what became of a release"),
    _use("controller", "log/events/", "list read", "pipelines.launching", "whether there is enough to learn from"),
    _use("controller", "batches/", "list read", "components.recsys.feedback.segments", "what runs have learnt from"),
    _use("controller", "pending/", "list", "components.recsys.feedback.segments", "batches not yet judged"),
    _use("controller", "runs/", "read", "pipelines.follow", "how a run ended"),
    _use("controller", "submissions/", "write", "pipelines.submit", "which run was asked for, and why"),
    _use("controller", "status/controller.json", "write", "monitoring.controller.server", "its own word"),
    # A person who decides, or the CI system for them: submit, promote, roll back, start and stop rollouts.
    _use("operator", "landing/", "list write", "pipelines.submit", "files of one's own machine, for a run"),
    _use("operator", "submissions/", "write", "pipelines.submit", "which run was asked for"),
    _use(
        "operator",
        "log/events/",
        "list",
        "components.recsys.feedback.segments",
        "what a run with --feedback learns from",
    ),
    _use(
        "operator",
        "batches/",
        "list read",
        "components.recsys.intake.batches",
        "which feedback is in the tables already",
    ),
    _use("operator", "pending/", "list", "components.recsys.intake.pending", "which of it waits for the data gate"),
    _use("operator", "runs/", "read", "pipelines.follow", "how a run ended"),
    _use("operator", "releases/", "list read", "pipelines.commands.releases", "what there is to promote"),
    _use("operator", "judged/", "read", "pipelines.commands.rollout", "is it whole, before people get it"),
    _use("operator", "ledger/", "list read create", "pipelines.commands.releases", "promotions, rollbacks, approvals"),
    _use("operator", "policy.json", "read write", "components.recsys.policy", "whether releases go out gradually"),
    _use("operator", "rollouts/", "list read", "pipelines.commands.rollout", "which rollout is under way"),
    _use("operator", "wishes/rollout/", "write", "pipelines.commands.rollout", "pause, resume, abort"),
    _use("operator", "status/", "read", "pipelines.commands.status", "what every part says of itself"),
    # An auditor reads what decided, and can have a release trained again; nothing can be changed with this.
    _use("auditor", "ledger/", "list read", "components.recsys.served", "who served when, and why"),
    _use("auditor", "releases/", "list read", "pipelines.commands.releases", "what served, its card and lineage"),
    _use("auditor", "tables/", "list read", "components.recsys.registration", "the data that a release was made from"),
    _use("auditor", "log/predictions/", "list read", "components.recsys.served", "what a person was shown"),
    _use("auditor", "keys/pseudonyms", "read", "components.recsys.served", "to find one person's lists"),
    _use("auditor", "policy.json", "read", "components.recsys.policy", "whether releases go out gradually"),
    _use("auditor", "rollouts/", "list read", "pipelines.commands.rollout", "what guards said"),
    _use("auditor", "status/", "read", "pipelines.commands.status", "what every part says of itself"),
)


def paths_of(part: str, action: Action) -> tuple[str, ...]:
    """The paths on which a part does this, sorted."""
    return tuple(sorted({use.path for use in USES if use.part == part and action in use.actions}))


def holds(path: str, key: str) -> bool:
    """Whether a path of the table covers an object's key."""
    return key.startswith(path) if path.endswith("/") else key == path


def allowed(part: str, action: Action, key: str) -> bool:
    """Whether the table gives a part this action on a key (for `list`: on the names that begin with it).

    Putting an object that is absent needs `create` or `write`; who may only create cannot replace.
    """
    wanted: tuple[Action, ...] = ("create", "write") if action == "create" else (action,)
    return any(holds(path, key) for each in wanted for path in paths_of(part, each))
