"""Single models from the command line: train, recommend, evaluate."""

from pathlib import Path

import polars as pl
import pytest

from components.recsys.models import MODELS


@pytest.fixture(scope="module")
def release(finished, everloop, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "release"
    done = everloop(
        "train",
        "--model",
        "ease",
        "--events",
        finished.data["events"],
        "--items",
        finished.data["items"],
        "--out",
        str(folder),
        "--json",
    )
    assert done.code == 0, done.err
    assert done.json["model"] == "ease"
    return folder


def test_train_writes_a_release_that_recommend_reads(release: Path, finished, everloop, tmp_path: Path) -> None:
    events = pl.read_csv(finished.data["events"], infer_schema=False)
    users = events["user_id"].unique().sort().head(20)
    pl.DataFrame({"user_id": [*users, "nobody-knows-me"]}).write_csv(tmp_path / "users.csv")
    for name in ("lists.csv", "lists.parquet"):
        done = everloop(
            "recommend",
            "--release",
            str(release),
            "--users",
            str(tmp_path / "users.csv"),
            "--events",
            finished.data["events"],
            "-k",
            "7",
            "--out",
            str(tmp_path / name),
        )
        assert done.code == 0, done.err
    lists = pl.read_parquet(tmp_path / "lists.parquet")
    assert lists.columns == ["user_id", "item_id", "rank", "score"]
    assert set(lists["user_id"]) == {*users, "nobody-knows-me"}
    assert lists.group_by("user_id").len()["len"].unique().to_list() == [7]
    seen = lists.join(events.select("user_id", "item_id"), on=["user_id", "item_id"], how="semi")
    assert seen.height == 0
    written = pl.read_csv(tmp_path / "lists.csv", infer_schema=False)
    assert written["item_id"].to_list() == lists["item_id"].to_list()


def test_one_list_for_a_history_has_titles_and_reasons(release: Path, finished, everloop) -> None:
    items = pl.read_csv(finished.data["events"], infer_schema=False)["item_id"].unique().sort().head(2).to_list()
    done = everloop(
        "recommend", "--release", str(release), "--history", ",".join([*items, "no-such-item"]), "-k", "3", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["unknown"] == ["no-such-item"]
    assert len(done.json["items"]) == 3
    assert not {item["item_id"] for item in done.json["items"]} & set(items)


def test_a_flipped_byte_in_any_file_of_a_release_is_refused(release: Path, everloop, tmp_path: Path) -> None:
    import shutil

    for file in sorted(release.iterdir()):
        copy = Path(shutil.copytree(release, tmp_path / file.name.replace(".", "-")))
        raw = bytearray((copy / file.name).read_bytes())
        raw[len(raw) // 2] ^= 1
        (copy / file.name).write_bytes(raw)
        done = everloop("recommend", "--release", str(copy), "--history", "a")
        assert done.code == 1, file.name
        assert "will not be loaded" in done.err
        assert "Traceback" not in done.err


def test_training_into_a_folder_that_holds_something_is_refused(release: Path, finished, everloop) -> None:
    done = everloop("train", "--model", "ease", "--events", finished.data["events"], "--out", str(release))
    assert done.code == 2
    assert "not an empty folder" in done.err


def test_an_unknown_model_names_those_there_are(finished, everloop, tmp_path: Path) -> None:
    done = everloop("train", "--model", "eese", "--events", finished.data["events"], "--out", str(tmp_path / "x"))
    assert done.code == 2
    assert "ease" in done.err
    assert not (tmp_path / "x").exists()


def test_evaluate_compares_models_on_a_split_of_ones_own(finished, everloop, tmp_path: Path) -> None:
    events = pl.read_csv(finished.data["events"], infer_schema=False).sort("timestamp")
    cut = int(events.height * 0.8)
    events[:cut].write_csv(tmp_path / "train.csv")
    events[cut:].write_csv(tmp_path / "test.csv")
    done = everloop(
        "evaluate",
        "--train",
        str(tmp_path / "train.csv"),
        "--test",
        str(tmp_path / "test.csv"),
        "--models",
        "popularity,ease",
        "--k",
        "5",
        "--json",
    )
    assert done.code == 0, done.err
    assert done.json["k"] == 5
    scores = {name: model["metrics"]["ndcg"]["value"] for name, model in done.json["models"].items()}
    assert scores["ease"] > scores["popularity"] > 0


def test_every_model_is_documented(everloop) -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    assert [name for name in MODELS if f"`{name}`" not in page] == []
