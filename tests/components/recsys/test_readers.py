"""Files as strangers write them: every format, odd headers, and what is no such file at all."""

import gzip
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from deltalake import write_deltalake

from components.recsys.attributes import clean_attributes
from components.recsys.errors import InputError
from components.recsys.intake.cleaning import clean_events
from components.recsys.intake.readers import Table, read
from components.recsys.intake.sources import File, local_files
from components.recsys.settings import DataSettings, EventSource, Source

ROWS = pl.DataFrame(
    {"user_id": ["007", "8"], "item_id": ["ä", "b"], "timestamp": ["1704067200", "1704067201"], "value": ["4.5", None]}
)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HEADER = b"user_id,item_id,timestamp\n"


def load(folder: Path, name: str, data: bytes, settings: EventSource | None = None) -> Table:
    (folder / name).write_bytes(data)
    return read(File(str(folder / name), name), "events", settings or EventSource())


def refused(folder: Path, name: str, data: bytes, settings: EventSource | None = None) -> str:
    with pytest.raises(InputError) as told:
        load(folder, name, data, settings)
    sentence = str(told.value)
    assert "\n" not in sentence
    assert name in sentence
    return sentence


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[pl.DataFrame], bytes]] = {
    "a.csv": lambda frame: frame.write_csv().encode(),
    "a.csv.gz": lambda frame: gzip.compress(frame.write_csv().encode()),
    "a.tsv": lambda frame: frame.write_csv(separator="\t").encode(),
    "a.tsv.gz": lambda frame: gzip.compress(frame.write_csv(separator="\t").encode()),
    "a.txt": lambda frame: frame.write_csv(separator=";").encode(),
    "a.dat": lambda frame: frame.write_csv(separator="|").encode(),
    "movielens.dat": lambda frame: frame.write_csv(separator="\x1f").replace("\x1f", "::").encode(),
    "windows.csv": lambda frame: b"\xef\xbb\xbf" + frame.write_csv(line_terminator="\r\n").encode(),
    "a.jsonl": lambda frame: frame.write_ndjson().encode(),
    "a.ndjson.gz": lambda frame: gzip.compress(frame.write_ndjson().encode()),
    "a.parquet": parquet,
    "no_ending": parquet,
    "also_no_ending": lambda frame: frame.write_ndjson().encode(),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows_and_ids_keep_their_zeros(tmp_path: Path, name: str) -> None:
    table = load(tmp_path, name, WRITERS[name](ROWS))
    assert table.frame.select(ROWS.columns).rows() == ROWS.rows()
    assert table.broken == []
    assert table.messages == []


def test_a_delta_table_is_read(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "log", ROWS)
    with local_files(str(tmp_path / "log")) as (file,):
        assert read(file, "events", EventSource()).frame.select(ROWS.columns).rows() == ROWS.rows()


def test_a_folder_gives_its_files_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", ".hidden", "_SUCCESS"):
        (tmp_path / name).write_bytes(HEADER)
    with local_files(str(tmp_path)) as files:
        assert [file.label for file in files] == ["a.csv", "b.csv"]


def test_numbers_in_json_keep_all_their_digits(tmp_path: Path) -> None:
    data = b'{"user_id": 9007199254740993, "item_id": "007", "ts": 1704067200}\n'
    data += b'{"user_id": "x", "item_id": 7, "ts": 1704067200.5, "value": 2}\n'
    frame = load(tmp_path, "a.jsonl", data).frame
    assert frame["user_id"].to_list() == ["9007199254740993", "x"]
    assert frame["item_id"].to_list() == ["007", "7"]
    assert frame["value"].to_list() == [None, "2"]


def test_quotes_hold_separators_and_line_ends(tmp_path: Path) -> None:
    frame = load(tmp_path, "a.csv", HEADER + b'"a, b","x\ny",1704067200\n').frame
    assert frame.row(0) == ("a, b", "x\ny", "1704067200")


def test_a_quote_at_the_start_of_a_tab_separated_title_is_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "a.item").write_text('item_id:token\tmovie_title:token_seq\n1\t"Very Nice" (1961)\n2\t"all of it"\n')
    frame = read(File(str(tmp_path / "a.item"), "a.item"), "items", Source()).frame
    assert frame["title"].to_list() == ['"Very Nice" (1961)', "all of it"]


def test_recbole_headers_map_by_themselves_and_lists_are_marked(tmp_path: Path) -> None:
    (tmp_path / "a.item").write_text("item_id:token\tclass:token_seq\trelease_year:token\n1\tAction Drama\t1995\n")
    table = read(File(str(tmp_path / "a.item"), "a.item"), "items", Source())
    assert table.frame.columns == ["item_id", "genres", "release_year"]
    assert table.sequences == {"genres"}


def test_what_is_guessed_is_told(tmp_path: Path) -> None:
    table = load(tmp_path, "a.csv", b"visitorId,SKU,Date,Event Type,stars,other\nu,i,2024-01-01,view,5,x\n")
    assert table.frame.columns == ["user_id", "item_id", "timestamp", "event", "value"]
    assert table.messages == [
        "a.csv: took visitorId as user_id, SKU as item_id, Date as timestamp, Event Type as event, stars as value"
    ]


def test_settings_win_over_names(tmp_path: Path) -> None:
    settings = EventSource(columns={"user_id": "who", "timestamp": "when"})
    table = load(tmp_path, "a.csv", b"user_id,who,item_id,timestamp,when\nold,new,i,1,1704067200\n", settings)
    assert table.frame.row(0, named=True) == {"user_id": "new", "item_id": "i", "timestamp": "1704067200"}


def test_a_file_without_header_line_gets_its_names_from_settings(tmp_path: Path) -> None:
    settings = EventSource(header=("user_id", "item_id", "value", "timestamp"))
    table = load(tmp_path, "u.data", b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n", settings)
    assert table.frame["user_id"].to_list() == ["196", "186"]


def test_movielens_files_without_header_and_with_long_separators_are_read(tmp_path: Path) -> None:
    settings = EventSource(header=("user_id", "item_id", "value", "timestamp"))
    table = load(tmp_path, "ratings.dat", b"1::1193::5::978300760\n1::661::3::978302109\n", settings)
    assert table.frame.select("user_id", "item_id").rows() == [("1", "1193"), ("1", "661")]


def test_blank_lines_before_the_header_are_passed_over(tmp_path: Path) -> None:
    assert load(tmp_path, "a.csv", b"\r\n\n" + HEADER + b"1,2,1704067200\n").frame.height == 1


def test_lists_in_json_with_broken_lines_stay_lists(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        b'{"item_id": 1, "genres": ["sea", "city"]}\nnope\n{"item_id": 2, "genres": null}\n'
    )
    table = read(File(str(tmp_path / "a.jsonl"), "a.jsonl"), "items", Source())
    items = clean_attributes([table], "items", DataSettings()).frame
    assert items.rows() == [("1", ["sea", "city"]), ("2", None)]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            b"userNr2,film,when\n1,2,3\n",
            "a.csv: no column for user_id. Columns found: userNr2, film, when. "
            "Name it with --set data.events.columns.user_id=NAME",
        ),
        (b"user_id,item_id\n1,2\n", "--set data.events.time_unit=order takes the order of the rows"),
        (b"user_id item_id timestamp\n1 2 3\n", "if that is the wrong separator, give it with"),
        (b"196,242,3,881250949\n186,302,3,891717742\n", "if there is no header line, name the columns with"),
        (
            b"user,uid,item_id,timestamp\n",
            "'user' and 'uid' both could be user_id; choose with --set data.events.columns.user_id",
        ),
        (b"user_id:token,user_id,item_id,timestamp\n", "'user_id:token' and 'user_id' both could be user_id"),
        (b"user_id,user_id,timestamp\n1,2,3\n", "two columns are called 'user_id'; rename one of them"),
        (HEADER, "a.csv has a header but no rows"),
        (b"", "a.csv is empty"),
        (b" \n\n", "a.csv is empty"),
        (b"PK\x03\x04abc", "a zip archive or an Excel workbook"),
        ("user_id,item_id".encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is binary, not text"),
        (gzip.compress(HEADER * 1000, mtime=0)[:40], "cut short or damaged"),
        (gzip.compress(b"", mtime=0), "a.csv is empty"),
        (b"PAR1" + b"x" * 100, "no Parquet file, or is cut short or damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_sentence(tmp_path: Path, data: bytes, sentence: str) -> None:
    assert sentence in refused(tmp_path, "a.csv", data)


@pytest.mark.parametrize("cut", [4, 100, -1, -4, -100])
def test_a_truncated_parquet_file_is_told_in_one_sentence(tmp_path: Path, cut: int) -> None:
    assert "cut short or damaged" in refused(tmp_path, "a.parquet", parquet(ROWS)[:cut])


PIECES = (
    b"\x00",
    b"\xff",
    b'"',
    b",",
    b"\n",
    b"\r\n",
    b"\t",
    b"{",
    b"[",
    b"null",
    b"1e999",
    b'{"a":' * 2000,
    b"9" * 30,
    b"",
)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz", "a.parquet"])
def test_no_change_to_a_file_gives_a_traceback(tmp_path: Path, name: str) -> None:
    rng, whole, refusals = np.random.default_rng(7), WRITERS[name](pl.concat([ROWS] * 20)), 0
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 5)):
            place = int(rng.integers(0, len(data) + 1)) if rng.random() < 0.6 else int(rng.integers(0, 40))
            data[place : place + int(rng.choice([0, 1, 30]))] = PIECES[rng.integers(0, len(PIECES))]
        try:
            clean_events([load(tmp_path, name, bytes(data))], DataSettings(), NOW)
        except InputError:
            refusals += 1
    assert 0 < refusals <= 120


def test_flipped_bytes_in_parquet_are_never_a_traceback(tmp_path: Path) -> None:
    whole, refusals = parquet(pl.concat([ROWS] * 200)), 0
    for place in range(8, len(whole) - 8, 37):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        (tmp_path / "a.parquet").write_bytes(bytes(broken))
        try:
            read(File(str(tmp_path / "a.parquet"), "a.parquet"), "events", EventSource())
        except InputError:
            refusals += 1
    assert refusals


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            EventSource(columns={"user_id": "usr"}),
            "a.csv: no column 'usr' for user_id; did you mean 'user'? Columns found: user, item, time",
        ),
        (
            EventSource(columns={"usr_id": "user"}),
            "setting 'data.events.columns.usr_id': events have no such column; did you mean 'user_id'?",
        ),
        (
            EventSource(columns={"user_id": "user", "item_id": "user"}),
            "a.csv: column 'user' is named for both user_id and item_id; each needs its own",
        ),
    ],
)
def test_a_mapping_that_cannot_be_says_what_is_near(tmp_path: Path, settings: EventSource, sentence: str) -> None:
    with pytest.raises(InputError) as told:
        load(tmp_path, "a.csv", b"user,item,time\n1,2,3\n", settings)
    assert str(told.value) == sentence


def test_json_that_is_no_json_lines_is_told(tmp_path: Path) -> None:
    assert "is one JSON array" in refused(tmp_path, "a.json", b'[{"user_id": 1}]')
    assert "is not JSON Lines" in refused(tmp_path, "a.jsonl", b"user_id,item_id\n1,2\n")


def test_lines_that_are_no_rows_are_set_aside_with_their_number(tmp_path: Path) -> None:
    table = load(tmp_path, "a.csv", HEADER + b'1,2,1704067200\n1,2,3,4\n"1,2,3\n4,5,1704067200\n')
    assert [(each.row, each.reason) for each in table.broken] == [
        (2, "4 fields, not 3"),
        (3, "a quote that does not end"),
    ]
    assert table.frame.height == 2
    assert table.messages == ["a.csv: 2 lines are no rows (first: line 2)"]
    table = load(tmp_path, "a.jsonl", b'{"user_id": 1, "item_id": 2, "ts": 3}\nnope\n{"user_id": 1, "item\n')
    assert [each.row for each in table.broken] == [2, 3]


def test_missing_files_are_named_with_what_is_near(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_bytes(HEADER)
    (tmp_path / "empty").mkdir()
    for path, sentence in {
        "rating.csv": f"did you mean {tmp_path}/ratings.csv?",
        "nowhere/x.csv": f"nor does the folder {tmp_path}/nowhere",
        "x*.csv": "no file fits this pattern",
        "empty": "is a folder without files",
        "x" * 300: "cannot be opened: File name too long",
    }.items():
        with pytest.raises(InputError, match=r".*") as told, local_files(str(tmp_path / path)):
            pass
        assert sentence in str(told.value)
    with pytest.raises(InputError, match="no file was named"), local_files([]):
        pass


def values_of(folder: Path, *cells: str) -> tuple[list[float | None], list[str]]:
    rows = [f"u;i{n};{1_704_067_200 + 60 * n};{cell}" for n, cell in enumerate(cells)]
    table = load(folder, "v.csv", "\n".join(["user_id;item_id;timestamp;value", *rows]).encode())
    done = clean_events([table], DataSettings(), NOW)
    return done.events.sort("timestamp")["value"].to_list(), done.messages


def test_decimal_commas_are_read_as_such_and_told(tmp_path: Path) -> None:
    values, messages = values_of(tmp_path, "99,94", "3", "", "-0,5")
    assert values == [99.94, 3.0, None, -0.5]
    assert "v.csv: took the comma in value as a decimal point" in messages


@pytest.mark.parametrize("cells", [("1,234", "12,500"), ("1.234,50", "3,50"), ("3,50", "3.50")])
def test_commas_that_may_mean_thousands_are_not_guessed_at(cells: tuple[str, ...], tmp_path: Path) -> None:
    values, messages = values_of(tmp_path, *cells)
    assert [value for value in values if value is not None] in ([], [3.5])
    assert not any("decimal" in message for message in messages)
