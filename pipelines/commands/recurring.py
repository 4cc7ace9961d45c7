"""`everloop recurring`: schedules on Kubeflow, declared in a file in git."""

from typing import Annotated

import typer
from rich.markup import escape

from components.recsys.home import DEFAULT, Home
from pipelines.commands.kubeflow import (
    EndpointOption,
    NamespaceOption,
    ServiceAccountOption,
    TokenOption,
    named_endpoint,
)
from pipelines.console import HomeOption, JsonOption, answer, next_step, out, say, table

FileOption = Annotated[
    str, typer.Option("--file", "-f", help="The declared runs; docs/kubernetes/pipelines.md shows one.")
]
COLOURS = {"unchanged": "dim", "waiting": "yellow", "removed": "red"}


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        name="recurring", help="Recurring runs on Kubeflow, as a file in git declares them.", no_args_is_help=True
    )
    group.command(
        epilog="[bold]Examples[/]\n\neverloop recurring apply -f recurring-runs.yaml --dry-run\n\n"
        "everloop recurring apply -f recurring-runs.yaml --prune"
    )(apply)
    group.command(epilog="[bold]Example[/]\n\neverloop recurring check -f recurring-runs.yaml")(check)
    group.command("list", epilog="[bold]Example[/]\n\neverloop recurring list --json")(list_)
    app.add_typer(group)


def check(file: FileOption, json: JsonOption = False) -> int:
    """Whether the file will do, without a cluster: for a pull request's checks."""
    from pipelines.recurring.declared import load

    declared = load(file)
    names = [each.name for each in declared.recurring]
    if not answer({"set": declared.set, "recurring": names}, json):
        out.print(
            f"{file} declares {len(names)} recurring runs of the set {declared.set}: {', '.join(names) or 'none'}"
        )
        next_step(f"everloop recurring apply -f {file} --dry-run")
    return 0


def apply(
    file: FileOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove schedules of the file's set that it no longer declares.")
    ] = False,
    home: HomeOption = DEFAULT,
    endpoint: EndpointOption = "",
    token: TokenOption = "",
    namespace: NamespaceOption = "",
    service_account: ServiceAccountOption = "",
    json: JsonOption = False,
) -> int:
    """Make Kubeflow's schedules those of the file. The same file again changes nothing; runs in flight go on."""
    from pipelines.compile import compile_package
    from pipelines.kubeflow import Kubeflow
    from pipelines.recurring.declared import load
    from pipelines.recurring.reconcile import plain, plan, reconcile, standing_in
    from pipelines.recurring.schedules import wanted_of
    from pipelines.submit import seen_by_pods
    from pipelines.training import NAME

    declared = load(file)
    for each in declared.recurring:
        seen_by_pods(Home(each.home or home))
    package = compile_package(NAME)
    wanted = [
        wanted_of(declared.set, each, Home(each.home or home).url, package, service_account)
        for each in declared.recurring
    ]
    kubeflow = Kubeflow(named_endpoint(endpoint), token, namespace)
    if dry_run:
        changes = plan(wanted, standing_in(kubeflow, declared.set), prune)
    else:
        changes = reconcile(kubeflow, wanted, declared.set, package, prune, say)
    if not answer({"set": declared.set, "dry_run": dry_run, "changes": [plain(change) for change in changes]}, json):
        for change in changes:
            colour = COLOURS.get(change.what, "green")
            why = f"  [dim]{escape(change.why)}[/]" if change.why else ""
            out.print(f"[{colour}]{change.what:<12}[/] {change.schedule}{why}")
        next_step("everloop recurring list" if not dry_run else f"everloop recurring apply -f {file}")
    return 0


def list_(
    set_name: Annotated[str, typer.Option("--set-name", help="Only schedules of this set.")] = "",
    endpoint: EndpointOption = "",
    token: TokenOption = "",
    namespace: NamespaceOption = "",
    json: JsonOption = False,
) -> int:
    """Schedules that a file of recurring runs has made."""
    from pipelines.kubeflow import Kubeflow
    from pipelines.recurring.reconcile import standing_in

    standing = standing_in(Kubeflow(named_endpoint(endpoint), token, namespace), set_name)
    told = [
        {
            "set": one.set,
            "name": one.name,
            "schedule": one.title,
            "id": one.id,
            "enabled": one.enabled,
            "when": one.when(),
            "created": one.created,
        }
        for one in standing
    ]
    if answer({"recurring": told}, json):
        return 0
    rows = [[str(one[name]) for name in ("schedule", "set", "when", "enabled", "created")] for one in told]
    out.print(table("Recurring runs", ["schedule", "set", "when", "enabled", "created"], rows))
    next_step("everloop recurring apply -f FILE --dry-run")
    return 0
