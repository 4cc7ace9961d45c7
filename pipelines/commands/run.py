"""`everloop run`."""

import time
from typing import Annotated, Any

import typer
from rich.markup import escape

from components.recsys.datasets import movielens_100k
from components.recsys.errors import InputError, StoreError
from components.recsys.home import DEFAULT, Home
from components.recsys.release import SHORT
from components.recsys.settings import Settings, load_settings
from components.recsys.statuses import Statuses
from pipelines.console import (
    HomeOption,
    JsonOption,
    SetOption,
    SettingsOption,
    answer,
    err,
    figure,
    next_step,
    out,
    say,
    table,
)

SHOWN = {"ndcg": "nDCG", "recall": "recall", "coverage": "coverage"}  # what fits eighty columns; the report has all
EventsOption = Annotated[
    list[str],
    typer.Option("--events", help="Events: CSV, TSV, Parquet, JSON Lines (gzip too), a Delta table; may be repeated."),
]
ItemsOption = Annotated[list[str], typer.Option("--items", help="What is known of the items.")]
UsersOption = Annotated[
    list[str], typer.Option("--users", help="What is known of the users; for groups in the evaluation only.")
]
FeedbackOption = Annotated[
    bool,
    typer.Option(
        "--feedback", help="Feedback that the gateway took and no run has learnt from yet; with --events too."
    ),
]
DataOption = Annotated[str, typer.Option("--data", help="Instead of --events: ml-100k or travel (synthetic).")]
EXAMPLES = """[bold]Examples[/]

everloop run                                             [dim]MovieLens 100K, fetched on first use[/]

everloop run --events clicks.csv --items products.csv    [dim]your own data[/]

everloop run --feedback                                  [dim]what people did since the last run[/]

everloop run --events log.parquet --set data.events.columns.user_id=customer --set train.candidates='[popularity, ease]'
"""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(run)


def run(
    events: EventsOption = [],  # noqa: B006
    items: ItemsOption = [],  # noqa: B006
    users: UsersOption = [],  # noqa: B006
    data: DataOption = "",
    feedback: FeedbackOption = False,
    serve: Annotated[bool, typer.Option("--serve", help="Go on to serve the champion.")] = False,
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Run the whole pipeline once: events in, release out."""
    from components.recsys.training import check_candidates
    from pipelines.local import run_local

    chosen = load_settings(settings, set_)
    check_candidates(chosen.train)
    place = Home(home)
    sources = (
        feedback_sources(place, events, items, users, data) if feedback else chosen_sources(events, items, users, data)
    )
    began = time.monotonic()
    done = run_local(place, sources, chosen, _listener(began))
    seconds = time.monotonic() - began
    result = {**done.result, "cached": list(done.cached), "seconds": round(seconds, 1), "timings": done.timings}
    if not answer(result, json):
        show_result(result, chosen, home)
    if serve:
        from pipelines.commands.serve import serve as serve_command

        return serve_command(home=home, settings=settings, set_=set_)
    return 1 if result["outcome"] == "rejected" else 0


def chosen_sources(events: list[str], items: list[str], users: list[str], data: str) -> dict[str, list[str]]:
    """Absolute paths or URLs by kind: MovieLens 100K when nothing is named, the travel world when that cannot be had."""
    if events:
        if data:
            raise InputError("give either --events or --data, not both")
        given = {"events": events, "items": items, "users": users}
        return {kind: [_absolute(path) for path in paths] for kind, paths in given.items() if paths}
    if items or users:
        raise InputError("--items and --users go with --events: name the file of events too")
    if data in ("", "ml-100k"):
        try:
            return {kind: [path] for kind, path in movielens_100k().items()}
        except StoreError as error:
            if data:
                raise
            say(f"{error}; using the synthetic travel world instead (labelled, not real data)")
            data = "travel"
    if data == "travel":
        return _travel()
    raise InputError(f"--data {data}: known are ml-100k and travel; for your own files use --events")


def feedback_sources(
    home: Home, events: list[str], items: list[str], users: list[str], data: str
) -> dict[str, list[str]]:
    """The word for the home's new feedback, after the files named. Raises InputError when there is none."""
    from components.recsys.feedback.segments import FEEDBACK, new_segments

    if data:
        raise InputError("give either --feedback or --data, not both")
    if not new_segments(home):
        raise InputError(
            f"{home.url}: no feedback that no run has learnt from yet; "
            "send events to the gateway (POST /v1/events), or run without --feedback"
        )
    named = {"events": events, "items": items, "users": users}
    found = {kind: [_absolute(path) for path in paths] for kind, paths in named.items() if paths}
    return {**found, "events": [*found.get("events", []), FEEDBACK]}


def _travel() -> dict[str, list[str]]:
    from components.recsys.datasets import cache_folder
    from components.recsys.simulator import write

    return {kind: [str(path)] for kind, path in write(cache_folder() / "travel").items()}


def _absolute(path: str) -> str:
    from pathlib import Path

    return path if "://" in path else str(Path(path).expanduser().absolute())


def _listener(began: float) -> Any:
    def tell(message: dict[str, Any]) -> None:
        step, stamp = message["step"], f"{time.monotonic() - began:5.1f}s"
        if message["event"] == "told":
            err.print(f"[dim]{stamp}[/] [cyan]{step:<18}[/] {escape(message['text'])}")
        elif message["event"] == "done":
            err.print(f"[dim]{stamp}[/] [cyan]{step:<18}[/] [green]done[/] in {message['seconds']:.1f} s")

    return tell


def show_result(result: dict[str, Any], settings: Settings, home: str) -> None:
    """The table, the verdict and its reasons, lists for three people, and where everything lies."""
    if result["cached"]:
        out.print(f"[bold]from the cache:[/] {', '.join(result['cached'])} (same data, same settings)")
    ranked = sorted(result["candidates"].items(), key=lambda item: -(item[1]["metrics"]["ndcg"]["value"] or 0))
    k = settings.evaluate.k
    rows = [
        [
            ("→ " if name == result["chosen"] else "  ") + name,
            *(figure(candidate["metrics"].get(metric)) for metric in SHOWN),
        ]
        for name, candidate in ranked
    ]
    out.print(table(f"Candidates (at {k}, with 95 % intervals)", ["model", *SHOWN.values()], rows))
    colour = {"promoted": "green", "unchanged": "cyan"}.get(result["outcome"], "yellow")
    out.print(f"\n[bold]The gate's verdict:[/] [bold {colour}]{result['outcome']}[/]")
    for reason in result["reasons"]:
        out.print(f"  · {escape(reason)}")
    label = f" [yellow]({result['label']})[/]" if result.get("label") else ""
    out.print(f"\n[bold]Recommendations for three people[/]{label}")
    for sample in result["samples"]:
        history = "; ".join(sample["history"][:3])
        out.print(
            f"  [bold]{escape(sample['user'])}[/] [dim]{escape('who last chose ' + history) if history else 'without any history'}[/]"
        )
        for item in sample["items"]:
            out.print(f"    {escape(item['title'])} [dim]({escape(item['reason'])})[/]")
    if result["untracked"]:
        out.print(f"\n[yellow]{escape(result['untracked'])}[/]")
    out.print(f"\n[bold]release[/] {escape(result['release'])}")
    out.print(f"[bold]report[/]  {escape(result['report'])}")
    suffix = "" if home == DEFAULT else f" --home {home}"
    if result["outcome"] == "approved":
        out.print(f"[bold]serving[/] {escape(what_follows(Home(home)))}")
        next_step(
            f"everloop up{suffix}   ·   everloop promote {result['release'][:SHORT]}{suffix}   ({result['seconds']:.0f} s)"
        )
        return
    again = f"everloop reproduce {result['release'][:SHORT]}{suffix}"
    next_step(f"everloop up{suffix}   ·   everloop serve{suffix}   ·   {again}   ({result['seconds']:.0f} s)")


def what_follows(home: Home) -> str:
    """What becomes of an approved release, whether or not an engine is there to roll it out."""
    if Statuses(home.store).read("rollout").stale:
        return (
            "the champion, and nobody gets this release yet: the home releases gradually since `everloop up` ran on it, "
            "and no rollout engine runs now"
        )
    return "the champion; the rollout gives this release to a few people first"
