"""User groups: by how much history there is, and by every attribute given.

>>> groups, notes = group_users(judged, users, EvaluateSettings())
>>> groups.columns
['activity', 'age', 'gender', 'occupation']
"""

import numpy as np
import polars as pl

from components.recsys.settings import EvaluateSettings

ACTIVITY = "activity"
ACTIVITIES = ("no history", "cold", "lukewarm", "warm")
OTHER = "other"
UNKNOWN = "unknown"
QUANTILES = (0.25, 0.5, 0.75)  # quarters: enough to see a trend, large enough to judge
NEARLY_UNIQUE = 0.5  # groups, as a share of users, from which an attribute names people rather than groups


def group_users(
    judged: pl.DataFrame, users: pl.DataFrame | None, settings: EvaluateSettings
) -> tuple[pl.DataFrame, list[str]]:
    """A column of group names per attribute, in the rows' order, and sentences about what was binned or left out.

    judged: user_id and history (number of training events). users: user_id plus any attributes.
    """
    history = pl.col("history")
    activity = (
        pl.when(history == 0)
        .then(pl.lit("no history"))
        .when(history < settings.cold_below)
        .then(pl.lit("cold"))
        .when(history < settings.warm_from)
        .then(pl.lit("lukewarm"))
        .otherwise(pl.lit("warm"))
    )
    columns, notes = [judged.select(activity.alias(ACTIVITY)).to_series()], []
    if users is not None:
        known = users.unique("user_id", keep="last", maintain_order=True)
        joined = judged.select("user_id").join(known, on="user_id", how="left", maintain_order="left")
        for name in (name for name in joined.columns if name not in ("user_id", ACTIVITY)):
            groups, note = _group(joined[name], settings.max_slices)
            if groups is not None:
                columns.append(groups.alias(name))
            if note:
                notes.append(note)
    return pl.DataFrame(columns), notes


def order_of(attribute: str, groups: list[str]) -> list[str]:
    """Groups as people expect them: activities by activity, ranges by number, 'other' and 'unknown' last."""
    if attribute == ACTIVITY:
        return [name for name in ACTIVITIES if name in groups]
    last = {OTHER: 1, UNKNOWN: 2}
    return sorted(groups, key=lambda group: (last.get(group, 0), _number(group), group))


def _group(values: pl.Series, most: int) -> tuple[pl.Series | None, str]:
    """Group names, or None, and a sentence when there is something to say."""
    told, dtype = f"user attribute '{values.name}'", values.dtype
    if isinstance(dtype, pl.List | pl.Struct | pl.Array) or dtype.is_temporal():
        return None, f"{told} was left out of the groups: it holds no single category or number"
    values = values.alias("group")
    known = values.drop_nulls()
    distinct, number = known.n_unique(), _as_number(values)
    if distinct < 2:
        return None, f"{told} was left out of the groups: it has one value for all"
    if distinct <= most:
        return values.cast(pl.String).fill_null(UNKNOWN), ""
    if distinct > NEARLY_UNIQUE * len(known) and not dtype.is_numeric():
        return None, f"{told} was left out of the groups: it is nearly unique to each user"
    if number is not None:
        return _quarters(number), f"{told} was cut into quarters of the users"
    counts = pl.DataFrame([known]).group_by("group").len().sort(["len", "group"], descending=[True, False])
    common = pl.col("group").is_in(counts["group"].head(most).to_list())
    names = pl.when(common).then(pl.col("group")).otherwise(pl.lit(OTHER))
    groups = pl.DataFrame([values]).select(pl.when(pl.col("group").is_null()).then(pl.lit(UNKNOWN)).otherwise(names))
    return groups.to_series(), f"{told}: the {most} largest groups of {distinct} are shown"


def _as_number(values: pl.Series) -> pl.Series | None:
    """The values as floats, or None where they are names or codes."""
    if values.dtype == pl.String:
        text = values.str.strip_chars()
        if text.str.contains(r"^0\d").any():  # a code such as 02139, not a quantity
            return None
        number = text.cast(pl.Float64, strict=False)
        if number.null_count() > values.null_count():
            return None
    elif values.dtype.is_numeric():
        number = values.cast(pl.Float64)
    else:
        return None
    return number if number.is_finite().any() else None


def _quarters(values: pl.Series) -> pl.Series:
    """Ranges named by the values in them: '7 to 24', '25 to 30' ..."""
    number = values.fill_null(float("nan")).to_numpy()
    finite = np.isfinite(number)
    starts = np.unique(np.quantile(number[finite], (0.0, *QUANTILES), method="higher"))
    place = np.searchsorted(starts, number[finite], side="right") - 1
    ends = [number[finite][place == index].max() for index in range(len(starts))]
    texts = [f"{a:g} to {b:g}" if b > a else f"{a:g}" for a, b in zip(starts, ends, strict=True)]
    names = np.full(len(number), UNKNOWN, dtype=object)
    names[finite] = np.array(texts, dtype=object)[place]
    return pl.Series(names, dtype=pl.String)


def _number(group: str) -> float:
    try:
        return float(group.split(" ")[0])
    except ValueError:
        return 0.0
