"""`everloop images`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from components.recsys.errors import InputError, Refused
from pipelines.console import JsonOption, answer

EXAMPLES = """[bold]Examples[/]

helm template everloop helm/everloop -f values.yaml | everloop images -

kubectl kustomize manifests/overlays/prod | everloop images - --only-from registry.example:5000/ml

kubectl get pods -A -o yaml | everloop images -        [dim]with what the platform puts into pods[/]
"""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(images)


def images(
    files: Annotated[list[str], typer.Argument(help="Rendered Kubernetes objects (YAML or JSON); - reads stdin.")],
    only_from: Annotated[
        str,
        typer.Option(
            "--only-from",
            help="Exit 1 when an image does not come from this registry, and name it.",
            metavar="REGISTRY",
        ),
    ] = "",
    json: JsonOption = False,
) -> None:
    """List every image that rendered manifests name, to copy it into a closed network."""
    from pipelines.images.manifests import images_in, outside, parsed

    found = images_in(document for file in files for document in parsed(_text(file), file))
    if not found:
        raise InputError(f"{', '.join(files)}: no object there names an image")
    strange = outside(found, only_from) if only_from else []
    if strange:
        raise Refused(f"not from {only_from}: {', '.join(strange)}")
    if not answer({"images": found}, json):
        typer.echo("\n".join(found))


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{file} does not exist") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is no text; give rendered manifests") from None
