"""Items described by their attributes: TF-IDF over lists, categories, numbers and text.

>>> rows = describe(catalogue, text_weight=0.3, most_features=20_000)   # one row of unit length an item

Written here rather than taken from scikit-learn, whose import alone costs six seconds of every step.
"""

import numpy as np
import polars as pl

from components.recsys.frames import Catalogue
from components.recsys.models.sparse import Rows

TEXT = ("title", "name", "description")  # read as words whatever they hold
WORDS = 1.5  # words a value, on average, from which another column of strings is text rather than a category
BINS = 10  # quantiles that a number is cut into
REPEATED = (
    0.5  # distinct values, as a share of all, up to which a column of strings is a category; above it they are names
)
MOSTLY = 0.9  # share of strings that read as numbers, from which the column is one of numbers
COMMON = 0.5  # share of items from which a word says nothing
LINK = r"^https?://"
WORD = r"[\p{L}\p{N}]+"


def describe(catalogue: Catalogue, text_weight: float, most_features: int) -> Rows:
    """(n_items, features) float32, each row of unit length, or empty where nothing is known.

    Every column weighs the same, columns of text `text_weight` times that. Features of a single item are left out,
    since nothing can share them.
    """
    frame = catalogue.frame.with_row_index("item")
    parts = []
    for column in catalogue.frame.columns:
        if column == "item_id":
            continue
        values = _read_numbers(frame.select("item", value=pl.col(column)).drop_nulls())
        kind = _kind(column, values["value"])
        if kind:
            parts.append(_weigh(_TOKENS[kind](values), column, frame.height, text_weight if kind == "text" else 1.0))
    cells = (
        pl.concat(parts)
        if parts
        else pl.DataFrame(schema={"item": pl.UInt32, "feature": pl.String, "weight": pl.Float64})
    )
    known = cells.group_by("feature").len().sort(["len", "feature"], descending=[True, False]).head(most_features)
    known = known.select("feature").sort("feature").with_row_index("index")
    cells = cells.join(known, on="feature").with_columns(norm=(pl.col("weight") ** 2).sum().over("item").sqrt())
    cells = cells.filter(pl.col("norm") > 0).sort("item", "index")
    weight = (cells["weight"] / cells["norm"]).to_numpy()
    shape = (frame.height, known.height)
    return Rows.of(cells["item"].to_numpy().astype(np.int32), cells["index"].to_numpy().astype(np.int32), weight, shape)


def _read_numbers(values: pl.DataFrame) -> pl.DataFrame:
    """A column of strings that are numbers but for a few, as numbers: so come years and prices out of text files."""
    if values["value"].dtype != pl.String:
        return values
    numbers = values.with_columns(pl.col("value").cast(pl.Float64, strict=False)).drop_nulls()
    return numbers if numbers.height >= max(1.0, MOSTLY * values.height) else values


def _kind(column: str, values: pl.Series) -> str | None:
    """How a column is read; None: not at all (nothing in it, or names such as links and codes)."""
    dtype = values.dtype
    if not len(values):
        return None
    if isinstance(dtype, pl.List):
        return "list" if isinstance(dtype.inner, pl.String | pl.Categorical) else None
    if dtype == pl.Boolean:
        return "category"
    if dtype.is_numeric() or dtype.is_temporal():
        return "number"
    if dtype != pl.String:
        return None
    if values.str.contains(LINK).mean() > REPEATED:  # type: ignore[operator]
        return None
    if column in TEXT or values.str.count_matches(WORD).mean() >= WORDS:  # type: ignore[operator]
        return "text"
    return "category" if values.n_unique() <= REPEATED * len(values) else None


def _list(values: pl.DataFrame) -> pl.DataFrame:
    return values.select("item", token=pl.col("value").cast(pl.List(pl.String))).explode("token").drop_nulls()


def _category(values: pl.DataFrame) -> pl.DataFrame:
    return values.select("item", token=pl.col("value").cast(pl.String))


def _number(values: pl.DataFrame) -> pl.DataFrame:
    number = pl.col("value").to_physical().cast(pl.Float64)
    values = values.select("item", number=number).filter(pl.col("number").is_finite())
    edges = np.unique(np.quantile(values["number"], np.linspace(0, 1, BINS + 1)[1:-1])) if len(values) else np.array([])
    bins = np.searchsorted(edges, values["number"], side="right")
    return values.select("item", token=pl.Series(bins, dtype=pl.Int64).cast(pl.String))


def _text(values: pl.DataFrame) -> pl.DataFrame:
    words = (
        values.select("item", token=pl.col("value").str.to_lowercase().str.extract_all(WORD))
        .explode("token")
        .drop_nulls()
    )
    used = words.group_by("token").agg(items=pl.col("item").n_unique())
    common = used.filter(pl.col("items") > max(1, COMMON * values.height)).select("token")
    return words.join(common, on="token", how="anti")


_TOKENS = {"list": _list, "category": _category, "number": _number, "text": _text}


def _weigh(tokens: pl.DataFrame, column: str, n_items: int, weight: float) -> pl.DataFrame:
    """TF-IDF of one column, of length `weight` for every item that has something in it."""
    counts = tokens.group_by("item", "token").agg(count=pl.len())
    counts = counts.with_columns(items=pl.len().over("token")).filter(pl.col("items") > 1)
    counts = counts.with_columns(tfidf=(1 + pl.col("count").log()) * (1 + n_items / pl.col("items")).log())
    norm = (pl.col("tfidf") ** 2).sum().over("item").sqrt()
    return counts.select("item", feature=pl.lit(column + "=") + pl.col("token"), weight=weight * pl.col("tfidf") / norm)
