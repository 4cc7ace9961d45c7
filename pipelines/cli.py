"""`everloop`: the command line. Exit codes: 0 done, 1 the answer is no, 2 usage or unusable input, 3 the machine or a store failed.

Progress goes to stderr; stdout carries the answer, with --json as one machine-readable object.
"""

import sys

import typer

from components.recsys.errors import EverloopError
from components.recsys.version import VERSION
from pipelines.commands import (
    controller,
    doctor,
    drill,
    gateway,
    gitops,
    images,
    kserve,
    kubeflow,
    models,
    monitor,
    recurring,
    releases,
    rollout,
    run,
    serve,
    status,
    up,
)
from pipelines.console import say_error
from pipelines.groups import lacking

app = typer.Typer(
    name="everloop",
    help="Everloop keeps a recommender alive: an event log becomes a served recommender that looks after itself.",
    epilog="Start with: everloop run   ·   then: everloop serve   ·   docs: docs/getting-started.md",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"everloop {VERSION}")
        raise typer.Exit


@app.callback()
def everloop(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


for commands in (
    run,
    status,
    up,
    drill,
    models,
    serve,
    releases,
    gateway,
    rollout,
    monitor,
    controller,
    kubeflow,
    recurring,
    gitops,
    kserve,
    doctor,
    images,
):
    commands.add_to(app)

COMMANDS = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
COMMANDS |= {group.name for group in app.registered_groups if isinstance(group.name, str)}


def main() -> None:
    """Run a command; every error that people can act on is one sentence, never a traceback."""
    as_json = "--json" in sys.argv
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except EverloopError as error:
        say_error(str(error), as_json, error.exit_code, error.stage)
        sys.exit(error.exit_code)
    except typer.TyperException as error:
        if str(error):  # without words it is the help page, which has been shown
            command = next((name for name in sys.argv[1:] if not name.startswith("-")), "")
            say_error(
                f"{str(error).rstrip('.')}; see `everloop {command + ' ' if command in COMMANDS else ''}--help`",
                as_json,
            )
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        say_error("stopped by you; nothing half-done stays behind, run again when you like", as_json, 130)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except ModuleNotFoundError as error:
        if not lacking(error):
            raise
        say_error(lacking(error), as_json)
        sys.exit(2)
    except OSError as error:
        say_error(f"{error.filename or 'the machine'}: {error.strerror or error}", as_json, 3)
        sys.exit(3)


if __name__ == "__main__":
    main()
