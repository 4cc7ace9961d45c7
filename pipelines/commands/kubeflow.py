"""`everloop compile` and `everloop submit`."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from components.recsys.errors import InputError
from components.recsys.home import Home
from components.recsys.settings import load_settings
from pipelines.commands.run import (
    DataOption,
    EventsOption,
    FeedbackOption,
    ItemsOption,
    UsersOption,
    chosen_sources,
    feedback_sources,
    show_result,
)
from pipelines.console import HomeOption, JsonOption, SetOption, SettingsOption, answer, err, next_step, out, say

EXAMPLES = """[bold]Examples[/]

export KUBEFLOW_ENDPOINT=http://localhost:8888 EVERLOOP_HOME=s3://recommender/home

everloop submit --wait                           [dim]MovieLens 100K[/]

everloop submit --events clicks.csv --items products.csv --namespace team-a

everloop submit --feedback --wait                [dim]what people did since the last run[/]
"""

EndpointOption = Annotated[
    str,
    typer.Option(
        "--endpoint",
        envvar="KUBEFLOW_ENDPOINT",
        help="Kubeflow Pipelines' API: http://HOST:8888, or https://HOST/pipeline.",
    ),
]
TokenOption = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="KUBEFLOW_TOKEN",
        help="Bearer token, where the endpoint wants one; in a pod its own is found.",
        show_default=False,
    ),
]
NamespaceOption = Annotated[
    str,
    typer.Option("--namespace", envvar="KUBEFLOW_NAMESPACE", help="Your profile, where Kubeflow serves several users."),
]
ServiceAccountOption = Annotated[
    str,
    typer.Option(
        "--service-account",
        envvar="KUBEFLOW_SERVICE_ACCOUNT",
        help="Service account of the run's pods; by default the one that Kubeflow is set up with.",
    ),
]


def named_endpoint(endpoint: str) -> str:
    """Raises InputError where none was named."""
    if not endpoint:
        raise InputError("which Kubeflow? give --endpoint http://HOST:8888 or set KUBEFLOW_ENDPOINT")
    return endpoint


def add_to(app: typer.Typer) -> None:
    app.command("compile", epilog="[bold]Example[/]\n\neverloop compile && kubectl apply -f manifests/pipelines")(
        compile_
    )
    app.command(epilog=EXAMPLES)(submit)


def compile_(
    target: Annotated[Path, typer.Option("--target", help="Folder of the manifests.")] = Path("manifests/pipelines"),
    namespace: Annotated[str, typer.Option("--namespace", help="Where the objects will live.")] = "kubeflow",
    json: JsonOption = False,
) -> int:
    """Write each pipeline as a PipelineVersion manifest for kubectl and Argo CD."""
    from pipelines.compile import compile_all

    written = compile_all(target, namespace)
    if not answer({"files": [str(path) for path in written]}, json):
        for path in written:
            out.print(str(path))
        next_step(f"kubectl apply -f {target}   ·   everloop submit")
    return 0


def submit(
    home: HomeOption,
    events: EventsOption = [],  # noqa: B006
    items: ItemsOption = [],  # noqa: B006
    users: UsersOption = [],  # noqa: B006
    data: DataOption = "",
    feedback: FeedbackOption = False,
    endpoint: EndpointOption = "",
    token: TokenOption = "",
    namespace: NamespaceOption = "",
    service_account: ServiceAccountOption = "",
    name: Annotated[
        str, typer.Option("--name", help="Of the run; by default made from data, settings and version.")
    ] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Take no step from Kubeflow's cache.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run and show its result.")] = False,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Run the pipeline on Kubeflow. The same data, settings and version make one run, however often submitted."""
    from pipelines.follow import follow, result_of
    from pipelines.kubeflow import Kubeflow
    from pipelines.submit import submit as submit_run

    chosen, place = load_settings(settings, set_), Home(home)
    kubeflow = Kubeflow(named_endpoint(endpoint), token, namespace)
    sources = (
        feedback_sources(place, events, items, users, data) if feedback else chosen_sources(events, items, users, data)
    )
    submitted = submit_run(kubeflow, place, sources, chosen, name, fresh, say, service_account)
    value = {"run_id": submitted.run_id, "name": submitted.name, "created": submitted.created, "key": submitted.key}
    if not submitted.created:
        say(f"{submitted.name} was submitted before: this is that run")
    if not wait:
        if not answer(value, json):
            out.print(f"[bold]run[/] {submitted.run_id}\n[bold]name[/] {submitted.name}")
            next_step("the same command with --wait follows it")
        return 0
    began = time.monotonic()

    def tell(step: str, state: str) -> None:
        err.print(f"[dim]{time.monotonic() - began:5.1f}s[/] [cyan]{step:<18}[/] {escape(state)}")

    followed = follow(kubeflow, submitted.run_id, tell)
    result = {
        **result_of(place, submitted.run_id),
        **value,
        "cached": [],
        "seconds": followed.seconds,
        "timings": followed.steps,
    }
    if not answer(result, json):
        show_result(result, chosen, home)
    return 1 if result["outcome"] == "rejected" else 0
