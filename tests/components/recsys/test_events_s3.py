"""The same home and sources in object storage: same rows, same hashes."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from components.recsys.errors import InputError
from components.recsys.events import ingest, read_events, read_items, read_quarantine, withdraw
from components.recsys.home import Home
from components.recsys.quality import examine
from components.recsys.settings import DataSettings, QualitySettings
from components.recsys.store import open_store, storage_options

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LOG = "\n".join(
    [
        "user_id,item_id,timestamp",
        *(f"u{n % 20},i{n % 9},{1_704_067_200 + 60 * n}" for n in range(200)),
        ",i1,1704067200",
    ]
)
ITEMS = "item_id,title,genres\n" + "\n".join(f"i{n},Place {n},sea|city" for n in range(9))


def test_a_home_and_sources_in_object_storage_give_what_folders_give(s3_url: str, tmp_path: Path) -> None:
    bucket = s3_url.removesuffix("/home")
    store = open_store(bucket)
    store.write("in/log-1.csv", LOG.encode())
    store.write("in/items.csv", ITEMS.encode())
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "items.csv").write_text(ITEMS)
    local = Home(tmp_path / "home")
    sources = {"events": str(tmp_path / "log.csv"), "items": str(tmp_path / "items.csv")}
    expected = ingest(local, sources, DataSettings(), now=NOW)
    home = Home(s3_url)
    sources = {"events": f"{bucket}/in/log-*.csv", "items": f"{bucket}/in/items.csv"}
    done = ingest(home, sources, DataSettings(), now=NOW)
    assert (done.data, done.batch, done.added) == (expected.data, expected.batch, 200)
    assert ingest(home, sources, DataSettings(), now=NOW).added == 0
    assert read_events(home, done.data).equals(read_events(local, expected.data))
    items = read_items(home, done.data)
    assert items is not None
    assert items["genres"][0].to_list() == ["sea", "city"]
    settings = QualitySettings()
    assert (
        examine(home, done.data, done.batch, settings).checks
        == examine(local, expected.data, expected.batch, settings).checks
    )
    assert withdraw(home, done.batch, "no good") == 200
    assert read_quarantine(home).height == 201


def test_a_delta_table_in_object_storage_is_a_source(s3_url: str, tmp_path: Path) -> None:
    url = s3_url.replace("/home", "/log")
    write_deltalake(url, pl.read_csv(LOG.encode(), infer_schema=False), storage_options=storage_options(url))
    done = ingest(Home(tmp_path / "home"), {"events": url}, DataSettings(), now=NOW)
    assert done.added == 200
    assert ingest(Home(tmp_path / "home"), {"events": url}, DataSettings(), now=NOW).added == 0


@pytest.mark.parametrize("name", ["missing.csv", "missing-*.csv"])
def test_a_missing_object_is_named(s3_url: str, tmp_path: Path, name: str) -> None:
    url = s3_url.replace("home", name)
    with pytest.raises(InputError, match=r"does not exist|no object fits this pattern") as told:
        ingest(Home(tmp_path / "home"), {"events": url}, DataSettings())
    assert name in str(told.value)
