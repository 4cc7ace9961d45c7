"""`everloop gateway`."""

import sys
from typing import Annotated

import typer

from components.recsys.home import DEFAULT
from components.recsys.settings import load_settings
from pipelines.console import HomeOption, JsonOption, SetOption, SettingsOption, answer, say


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog="[bold]Examples[/]\n\neverloop gateway\n\neverloop gateway --port 9000 --set gateway.explore=0.02\n\n"
        "`everloop up` starts it together with everything it needs."
    )(gateway)


def gateway(
    host: Annotated[str, typer.Option("--host", help="Address to listen on (setting gateway.host).")] = "",
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 takes a free one (setting gateway.port).")] = None,
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Answer people from the releases that the rollout engine routes to: sticky groups, exploration, no failed request."""
    from serving.gateway.server import main

    given = [f"gateway.host={host}"] if host else []
    given += [f"gateway.port={port}"] if port is not None else []
    chosen = load_settings(settings, [*set_, *given])

    def ready(url: str) -> None:
        if answer(
            {"url": url, "predict": f"{url}/v1/models/{chosen.serving.name}:predict", "console": f"{url}/"}, json
        ):
            sys.stdout.flush()

    return main(home, chosen, told=say, ready=ready)
