"""The chart's values: every group, with its defaults and reasons.

>>> Chart().gateway.replicas
1

Contradictions between groups (two replicas on one SQLite file) are refused by templates/_validate.tpl with a sentence.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from pipelines.chart.base import Annotations, Key, Labels, Name, RequiredName, Values
from pipelines.chart.kubernetes import Probe, Resources, TopologySpread
from pipelines.chart.network import NetworkPolicy
from pipelines.chart.pods import ROOM, Identity, Part, Persistence, Replicas, Service, room
from pipelines.chart.traffic import Autoscaling, Budget, HttpRoute, Ingress
from pipelines.chart.watching import Monitoring

Digest = Annotated[str, Field(pattern="^(sha256:[0-9a-f]{64})?$")]
Tag = Annotated[str, Field(pattern=r"^([A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?$")]
Repository = Annotated[
    str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$", max_length=200)
]
Registry = Annotated[
    str, Field(pattern=r"^([a-zA-Z0-9][-a-zA-Z0-9.]*(:[0-9]{1,5})?(/[-a-z0-9._]+)*/?)?$", max_length=200)
]
HomeUrl = Annotated[str, Field(pattern=r"^(s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9](/[-A-Za-z0-9_.=]+)*/?)?$")]
Url = Annotated[str, Field(pattern=r"^(https?://[-A-Za-z0-9.\[\]:]{1,200}(/[-A-Za-z0-9._~/%]*)?)?$")]


class Store(Values):
    """The keys of the home's bucket."""

    existing_secret: Name = Field(
        default="everloop-store",
        description="Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_ENDPOINT_URL, AWS_REGION; "
        "it and each of its keys may be missing, where pods have an identity of their own.",
    )


class Image(Values):
    """One image."""

    repository: Repository
    tag: Tag = Field(default="", description="Empty: the chart's appVersion.")
    digest: Digest = Field(default="", description="sha256:...; goes before the tag.")


class Images(Values):
    """Where images come from."""

    registry: Registry = Field(default="", description="Before every repository, as in registry.example:5000/mirror.")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(default="IfNotPresent", description="When to pull.")
    pull_secrets: list[RequiredName] = Field(default=[], description="Secrets of the registry, by name.")
    serving: Image = Field(
        default=Image(repository="everloop/serving"),
        description="Of the gateway, the rollout engine and the predictors.",
    )
    monitoring: Image = Field(
        default=Image(repository="everloop/monitoring"), description="Of the monitor and the retrain controller."
    )


class SecretUrl(Values):
    """A URL that holds a password stands in a Secret."""

    existing_secret: Name = Field(default="", description="Its Secret; empty: none.")
    key: Key = Field(default="url", description="The Secret's key.")


class Gateway(Part):
    """What people's requests reach: sticky groups, exploration, fallback, the prediction log, the console."""

    replicas: Replicas = Field(
        default=1, description="More than one need one history for all: history.existingSecret, a Redis."
    )
    history: SecretUrl = Field(
        default=SecretUrl(),
        description="redis://... of the online history; without it an SQLite file on the volume, for one replica.",
    )
    persistence: Persistence = Field(
        default=Persistence(size="5Gi"), description="For the SQLite history and the log's spool; not used with Redis."
    )
    spool_size: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(Mi|Gi)$")] = Field(
        default="2Gi", description="With Redis: most disk for log records that wait for the store (log.spool_bytes)."
    )
    resources: Resources = Field(default=room("250m", "256Mi", "1Gi"), description=ROOM)
    service: Service = Field(default=Service(), description="The Service of the gateway, on port 80.")
    pod_disruption_budget: Budget = Field(default=Budget(), description="How many may be away when nodes are drained.")
    autoscaling: Autoscaling = Field(default=Autoscaling(), description="Replicas that follow the load; needs Redis.")
    http_route: HttpRoute = Field(default=HttpRoute(), description="Gateway API, where the cluster has it.")
    ingress: Ingress = Field(default=Ingress(), description="The older way in.")
    topology_spread_constraints: list[TopologySpread] = Field(
        default=[
            TopologySpread(topology_key="topology.kubernetes.io/zone"),
            TopologySpread(topology_key="kubernetes.io/hostname"),
        ],
        description="How replicas spread; the chart fills in the labelSelector.",
    )
    readiness_probe: Probe = Field(
        default=Probe(period_seconds=2, failure_threshold=2), description="Takes a pod out of its Service."
    )


class Rollout(Part):
    """The engine of gradual releases: follows the ledger, sees to predictors, writes the gateways' routes."""

    resources: Resources = Field(default=room("50m", "192Mi", "1Gi"), description=ROOM)


class Monitor(Part):
    """Watches what people do, what they are shown and what they click."""

    resources: Resources = Field(default=room("100m", "512Mi", "4Gi"), description=ROOM)


class Kubeflow(Values):
    """Where the controller submits runs (settings.retrain.runner=kubeflow, the chart's default)."""

    endpoint: Url = Field(
        default="http://ml-pipeline.kubeflow.svc:8888", description="Kubeflow Pipelines' API as pods reach it."
    )
    namespace: Name = Field(default="", description="Your profile, where Kubeflow serves several users.")
    existing_secret: Name = Field(default="", description="Secret with a bearer token, where the endpoint wants one.")
    key: Key = Field(default="token", description="The Secret's key.")


class Controller(Part):
    """Turns alerts into training runs, one for each reason."""

    database: SecretUrl = Field(
        default=SecretUrl(), description="postgresql://... of its states; without it an SQLite file on the volume."
    )
    token: SecretUrl = Field(
        default=SecretUrl(key="token"),
        description="Bearer token that Alertmanager must show; without it none is asked.",
    )
    persistence: Persistence = Field(
        default=Persistence(), description="For the SQLite file; not used with PostgreSQL."
    )
    kubeflow: Kubeflow = Field(default=Kubeflow(), description="Where runs go.")
    resources: Resources = Field(default=room("50m", "256Mi", "1Gi"), description=ROOM)


class Test(Values):
    """`helm test`: a pod that asks the gateway for its health and for a list."""

    enabled: bool = Field(default=True, description="Whether there is one.")
    user: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        default="helm-test", description="For whom the list is; somebody unknown gets what is popular."
    )
    needs_release: bool = Field(
        default=False, description="Fail while no release serves yet; by default that is only said."
    )


class Chart(Values):
    """Values of the chart `everloop`."""

    home: HomeUrl = Field(
        default="", description="Where tables, releases and the ledger lie: s3://BUCKET/PREFIX. Must be given."
    )
    store: Store = Field(default=Store(), description="The keys of that bucket.")
    settings: dict[str, Any] = Field(
        default={},
        description="Settings of every part, by section, as in docs/reference/settings.md; what is not named keeps its default.",
    )
    image: Images = Field(default=Images(), description="Where images come from.")
    fullname_override: Name = Field(
        default="", description="First part of every object's name; by default the release's name."
    )
    common_labels: Labels = Field(default={}, description="On every object.")
    common_annotations: Annotations = Field(default={}, description="On every object.")
    gateway: Gateway = Field(default=Gateway(), description="What people's requests reach.")
    rollout: Rollout = Field(default=Rollout(), description="The engine of gradual releases.")
    monitor: Monitor = Field(default=Monitor(), description="Watches what people do and click.")
    controller: Controller = Field(default=Controller(), description="Turns alerts into training runs.")
    predictor: Identity = Field(default=Identity(), description="The releases' pods, which KServe makes.")
    steps: Identity = Field(default=Identity(), description="The pipelines' pods, which Kubeflow makes.")
    network_policy: NetworkPolicy = Field(default=NetworkPolicy(), description="Who may talk to whom.")
    monitoring: Monitoring = Field(default=Monitoring(), description="Objects for Prometheus and Grafana.")
    test: Test = Field(default=Test(), description="`helm test`.")
    extra_manifests: list[dict[str, Any] | str] = Field(
        default=[], description="More objects, as maps or as text; templates in them are rendered."
    )
