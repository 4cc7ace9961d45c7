"""Objects for Prometheus, Alertmanager and Grafana.

>>> Monitoring().service_monitor.enabled
'auto'

auto: made where the cluster has the Prometheus operator (monitoring.coreos.com). true: made always, as for `helm template`,
which cannot ask a cluster. false: never.
"""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.chart.base import Annotations, Labels, MetadataKey, Values

Made = Literal["auto", True, False]
Duration = Annotated[str, Field(pattern="^[1-9][0-9]{0,3}(ms|s|m|h)$")]
Address = Annotated[str, Field(pattern=r"^(https?://[-A-Za-z0-9.:]{1,200}(/[-A-Za-z0-9._~/]*)?)?$")]
WHEN = "auto: where the cluster has the Prometheus operator. true: always. false: never."


class ServiceMonitor(Values):
    """What Prometheus scrapes: the four parts, and the releases' pods."""

    enabled: Made = Field(default="auto", description=WHEN)
    interval: Duration = Field(default="15s", description="How often.")
    labels: Labels = Field(default={}, description="By which your Prometheus chooses its monitors (release: ...).")


class PrometheusRule(Values):
    """The alerts of docs/loop/alerts.md."""

    enabled: Made = Field(default="auto", description=WHEN)
    labels: Labels = Field(default={}, description="By which your Prometheus chooses its rules (release: ...).")
    runbooks: Address = Field(
        default="",
        description="URL of the folder with the runbooks, if you host them; empty: their path in the source.",
    )
    console: Address = Field(
        default="",
        description="URL of the gateway's console as people reach it; empty: its address inside the cluster.",
    )


class Dashboards(Values):
    """A ConfigMap for each Grafana dashboard."""

    enabled: Made = Field(default="auto", description=WHEN)
    label: MetadataKey = Field(default="grafana_dashboard", description="Label by which Grafana's sidecar finds them.")
    label_value: Annotated[str, Field(pattern="^[A-Za-z0-9]{1,63}$")] = Field(default="1", description="Its value.")
    annotations: Annotations = Field(default={}, description="grafana_folder, for example.")


class AlertmanagerConfig(Values):
    """Sends what asks for a run to the controller; people are told by routes of your own."""

    enabled: Made = Field(default=False, description=WHEN)
    labels: Labels = Field(default={}, description="By which your Alertmanager chooses its configurations.")


class Monitoring(Values):
    """Objects for Prometheus, Alertmanager and Grafana."""

    service_monitor: ServiceMonitor = Field(default=ServiceMonitor(), description="What Prometheus scrapes.")
    prometheus_rule: PrometheusRule = Field(default=PrometheusRule(), description="The alerts.")
    dashboards: Dashboards = Field(default=Dashboards(), description="Grafana's dashboards.")
    alertmanager_config: AlertmanagerConfig = Field(
        default=AlertmanagerConfig(), description="The way to the controller."
    )
