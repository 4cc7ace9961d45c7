"""`everloop doctor`: what a cluster can and cannot do, before anything is installed on it."""

from typing import Annotated

import typer
from rich.markup import escape

from pipelines.console import JsonOption, SetOption, SettingsOption, answer, err

EXAMPLES = """[bold]Examples[/]

everloop doctor                                             [dim]what would be possible[/]

everloop doctor -n team-a --values values.yaml              [dim]whether these values can work[/]

helm template everloop helm/everloop -f values.yaml | everloop doctor -n team-a --manifests -
"""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(doctor)


def doctor(
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace", "-n", help="Where Everloop will live; by default the context's.", show_default=False
        ),
    ] = "",
    values: Annotated[str, typer.Option("--values", help="Values of the chart that are to work here.")] = "",
    manifests: Annotated[
        list[str], typer.Option("--manifests", help="Rendered objects (YAML) that are to work here; - reads stdin.")
    ] = [],  # noqa: B006
    home: Annotated[
        str,
        typer.Option(
            "--home", envvar="EVERLOOP_HOME", help="s3://BUCKET/PREFIX, which is tried with the namespace's keys."
        ),
    ] = "",
    endpoint: Annotated[
        str,
        typer.Option(
            "--endpoint", envvar="KUBEFLOW_ENDPOINT", help="Kubeflow Pipelines' API as this machine reaches it."
        ),
    ] = "",
    context: Annotated[str, typer.Option("--context", help="Of the kubeconfig; by default the current one.")] = "",
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds for one answer of the API server.")
    ] = 10.0,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Say what this cluster can and cannot do, and refuse what it would silently ignore.

    Exit code 1: something that settings, values or manifests ask cannot work. 3: the cluster cannot be reached.
    """
    from dataclasses import replace

    from pipelines.doctor.cluster import Cluster
    from pipelines.doctor.examine import examine
    from pipelines.doctor.findings import exit_code
    from pipelines.doctor.show import show
    from pipelines.doctor.wants import read_wants

    wants = read_wants(namespace, settings, set_, values, manifests, home, endpoint)
    cluster = Cluster(context, timeout)
    try:
        wants = wants if namespace else replace(wants, namespace=cluster.namespace)
        findings = examine(cluster, wants, lambda area: err.print(f"[dim]{escape(area)} ...[/]") if not json else None)
    finally:
        cluster.close()
    value = {
        "server": cluster.server,
        "context": cluster.context,
        "namespace": wants.namespace,
        "refused": exit_code(findings) == 1,
        "findings": [finding.to_json() for finding in findings],
    }
    if not answer(value, json):
        show(findings)
    return exit_code(findings)
