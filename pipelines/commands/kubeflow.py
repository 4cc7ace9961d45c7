"""`everloop compile` and `everloop submit`."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.console import JsonOption, answer, next_step, out


def add_to(app: typer.Typer) -> None:
    app.command("compile", epilog="[bold]Example[/]\n\neverloop compile && kubectl apply -f manifests/pipelines")(compile_)


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
