"""Single models without the loop: train, evaluate, recommend."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.markup import escape

from components.recsys import events as tables
from components.recsys.errors import InputError
from components.recsys.frames import Histories
from components.recsys.home import DEFAULT, Home
from components.recsys.release import SHORT, Release, load, load_folder, releases_of, resolve, save_folder
from components.recsys.settings import Settings, load_settings
from pipelines.console import (
    HomeOption,
    JsonOption,
    SetOption,
    SettingsOption,
    answer,
    figure,
    next_step,
    out,
    say,
    table,
)

SHOWN = {"ndcg": "nDCG", "recall": "recall", "coverage": "coverage"}  # what fits eighty columns; the report has all


def add_to(app: typer.Typer) -> None:
    app.command(epilog="[bold]Example[/]\n\neverloop train --model ease --events clicks.csv --out my-release")(train)
    app.command(
        epilog="[bold]Example[/]\n\neverloop evaluate --train train.csv --test test.csv --models popularity,ease --k 10"
    )(evaluate)
    app.command(
        epilog="[bold]Examples[/]\n\neverloop recommend --release 9f2c4a --users people.csv -k 10 --out lists.parquet\n\n"
        "everloop recommend --history 242,302 -k 5"
    )(recommend)


def train(
    model: Annotated[str, typer.Option("--model", help="Which model; see docs/models.md.")],
    events: Annotated[list[str], typer.Option("--events", help="Events, any format; may be repeated.")],
    out_: Annotated[Path, typer.Option("--out", help="Folder of the release; must not hold anything yet.")],
    items: Annotated[list[str], typer.Option("--items", help="What is known of the items.")] = [],  # noqa: B006
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Train one model on all events of a file, into a release folder. No gate, no ledger."""
    from components.recsys.standalone import train_release

    chosen = load_settings(settings, set_)
    if out_.exists() and (not out_.is_dir() or any(out_.iterdir())):
        raise InputError(f"--out {out_} is not an empty folder; choose another")
    frame, catalogue, version = _read(events, items, chosen)
    trained = train_release(model, frame, catalogue, version, chosen, say)
    digest = save_folder(out_, trained.model, trained.catalogue, trained.content, {}, trained.reference, trained.card)
    value = {
        "digest": digest,
        "model": model,
        "out": str(out_),
        "seconds": round(trained.seconds, 2),
        "learnt": trained.learnt,
    }
    if not answer(value, json):
        out.print(f"{model} trained in {trained.seconds:.1f} s: release {digest[:SHORT]} in {out_}")
        next_step(f"everloop recommend --release {out_} --users FILE --events {events[0]} -k 10 --out lists.csv")
    return 0


def evaluate(
    train: Annotated[list[str], typer.Option("--train", help="Events to learn from.")],
    test: Annotated[list[str], typer.Option("--test", help="Events held out.")],
    models: Annotated[str, typer.Option("--models", help="Comma-separated.")] = "popularity,item_knn,ease,ials",
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Length of the lists.")] = 10,
    items: Annotated[list[str], typer.Option("--items", help="What is known of the items.")] = [],  # noqa: B006
    users: Annotated[list[str], typer.Option("--users", help="What is known of the users, for groups.")] = [],  # noqa: B006
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Compare models on a split of your own: full rankings, minus what was in the training part."""
    from components.recsys.standalone import evaluate_models

    chosen = load_settings(settings, [*set_, f"evaluate.k={k}"])
    names = tuple(name.strip() for name in models.split(",") if name.strip())
    learn, catalogue, people = _frames(train, items, users, chosen)
    held, _, _ = _frames(test, [], [], chosen)
    done = evaluate_models(names, learn, held, catalogue, people, chosen, say)
    value = {
        "k": k,
        "models": {name: {**result.to_dict(), "seconds": seconds} for name, (result, seconds) in done.items()},
    }
    if not answer(value, json):
        rows = [
            [name, *(figure(result.metrics.get(metric), 4) for metric in SHOWN), f"{seconds:.1f} s"]
            for name, (result, seconds) in sorted(
                done.items(), key=lambda item: -(item[1][0].metrics["ndcg"]["value"] or 0)
            )
        ]
        out.print(table(f"At {k}, with 95 % intervals", ["model", *SHOWN.values(), "fit"], rows))
        next_step("everloop run --events FILE   (the whole pipeline, with a gate and a release)")
    return 0


def recommend(
    release: Annotated[
        str, typer.Option("--release", help="A release folder or digest; by default the champion.")
    ] = "",
    users: Annotated[
        str, typer.Option("--users", help="File with a user_id column; with item_id too, it holds the histories.")
    ] = "",
    history: Annotated[
        str, typer.Option("--history", help="Comma-separated item ids, oldest first, for one list.")
    ] = "",
    events: Annotated[
        list[str], typer.Option("--events", help="Where the histories are; by default the home's event table.")
    ] = [],  # noqa: B006
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Length of the lists.")] = 10,
    out_: Annotated[Path | None, typer.Option("--out", help="CSV or Parquet, by its name.")] = None,
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Lists for a file of users, or one list for a history. Items already in a history are left out."""
    from components.recsys.explanation import explain_list
    from components.recsys.standalone import recommend_lists

    if bool(users) == bool(history):
        raise InputError("give either --users FILE or --history a,b,c")
    place = Home(home)
    used = _release(place, release)
    if history:
        listed = explain_list(used, [part.strip() for part in history.split(",") if part.strip()], k)
        if not answer({"release": used.digest, **listed}, json):
            if listed["unknown"]:
                say(f"not known to this release and left out: {', '.join(listed['unknown'])}")
            for rank_, item in enumerate(listed["items"], 1):
                out.print(f"{rank_:3d}  {escape(item['title'])} [dim]({escape(item['reason'])})[/]")
        return 0
    if out_ is None or out_.suffix not in (".csv", ".parquet"):
        raise InputError("--users needs --out FILE.csv or --out FILE.parquet")
    chosen = load_settings(settings, set_)
    people, histories = _people(place, users, events, chosen, used)
    lists = recommend_lists(used, people, histories, k)
    out_.parent.mkdir(parents=True, exist_ok=True)
    lists.write_csv(out_) if out_.suffix == ".csv" else lists.write_parquet(out_)
    value = {"release": used.digest, "users": len(people), "rows": lists.height, "out": str(out_)}
    if not answer(value, json):
        out.print(f"{lists.height:,} rows for {len(people):,} users in {out_}")
    return 0


def _release(home: Home, name: str) -> Release:
    if name and (Path(name).is_dir() or "/" in name):
        return load_folder(Path(name))
    from components.recsys.ledger import Ledger

    digest = name or Ledger(home).champion()
    if not digest:
        raise InputError(f"{home.url} has no champion yet; run `everloop run` or name a --release")
    store = releases_of(home)
    return load(store, resolve(store, digest))


def _people(
    home: Home, users: str, events: list[str], settings: Settings, release: Release
) -> tuple[list[str], Histories]:
    """The asked users, in the file's order, and their histories."""
    people = tables.read_user_ids(users, settings.data)
    if events:
        frame, _, _ = _frames(events, [], [], settings)
    elif (own := tables.try_read_events_file(users, settings.data)) is not None:
        frame = own
    else:
        version = release.manifest.get("data_version")
        frame = tables.read_latest_events(home) if version else pl.DataFrame(schema=tables.EVENT_SCHEMA)
    wanted = pl.DataFrame({"user_id": people})
    grouped = frame.sort("timestamp", "item_id").group_by("user_id", maintain_order=True).agg("item_id")
    joined = wanted.join(grouped, on="user_id", how="left", maintain_order="left")
    return people, Histories.of([row or [] for row in joined["item_id"].to_list()], release.model.items)


def _frames(events: list[str], items: list[str], users: list[str], settings: Settings) -> tuple[pl.DataFrame, Any, Any]:
    """Files through the same reading and cleaning as `ingest`, in a home that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(folder)
        sources = {kind: paths for kind, paths in {"events": events, "items": items, "users": users}.items() if paths}
        done = tables.ingest(home, sources, settings.data, say)
        return (
            tables.read_events(home, done.data),
            tables.read_items(home, done.data),
            tables.read_users(home, done.data),
        )


def _read(
    events: list[str], items: list[str], settings: Settings
) -> tuple[pl.DataFrame, pl.DataFrame | None, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(folder)
        sources = {kind: paths for kind, paths in {"events": events, "items": items}.items() if paths}
        done = tables.ingest(home, sources, settings.data, say)
        return tables.read_events(home, done.data), tables.read_items(home, done.data), done.data
