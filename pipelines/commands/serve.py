"""`everloop serve`."""

import sys
from typing import Annotated

import typer

from components.recsys.home import DEFAULT
from components.recsys.settings import load_settings
from pipelines.console import HomeOption, JsonOption, SetOption, SettingsOption, answer, say


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog="[bold]Examples[/]\n\neverloop serve\n\neverloop serve --port 9000 --set serving.poll_seconds=5\n\n"
        "everloop serve --model-dir /mnt/models --expect DIGEST   [dim]one release, without a home (as KServe runs it)[/]"
    )(serve)


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on (setting serving.host).")] = "",
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 takes a free one (setting serving.port).")] = None,
    model_dir: Annotated[
        str, typer.Option("--model-dir", help="A release to serve, a folder or s3://..., without home and ledger.")
    ] = "",
    expect: Annotated[
        str, typer.Option("--expect", help="The digest that --model-dir must hold; anything else is not served.")
    ] = "",
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Serve the champion over KServe's V1 and V2 protocols; new champions are taken over without a failed request."""
    from serving.server import main

    given = [f"serving.host={host}"] if host else []
    given += [f"serving.port={port}"] if port is not None else []
    chosen = load_settings(settings, [*set_, *given])

    def ready(url: str) -> None:
        if answer({"url": url, "predict": f"{url}/v1/models/{chosen.serving.name}:predict"}, json):
            sys.stdout.flush()

    return main(home, chosen, model_dir=model_dir or None, told=say, ready=ready, expect=expect)
