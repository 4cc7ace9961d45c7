"""User groups: by how much history there is, and by every attribute given.

>>> groups, notes = group_users(judged, users, EvaluateSettings())
>>> groups.columns
['activity', 'age', 'gender', 'occupation']
"""

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
                columns.append(groups)
            if note:
                notes.append(note)
    return pl.DataFrame(columns), notes


def order_of(attribute: str, groups: list[str]) -> list[str]:
    """Groups as people expect them: activities by activity, ranges by number, 'other' and 'unknown' last."""
    if attribute == ACTIVITY:
        return [name for name in ACTIVITIES if name in groups]
    return sorted(
        groups,
        key=lambda group: (
            (OTHER, UNKNOWN).index(group) + 1 if group in (OTHER, UNKNOWN) else 0,
            _number(group),
            group,
        ),
    )


def _group(values: pl.Series, most: int) -> tuple[pl.Series | None, str]:
    """Group names, or None with a sentence that says why there are none."""
    name, dtype = values.name, values.dtype
    if isinstance(dtype, pl.List | pl.Struct | pl.Array) or dtype.is_temporal():
        return None, f"user attribute '{name}' was left out of the groups: it holds no single category or number"
    known = values.drop_nulls()
    if known.n_unique() < 2:
        return None, f"user attribute '{name}' was left out of the groups: it has one value for all" if len(
            known
        ) else ""
    number = _as_number(values)
    crowded = known.n_unique() > max(most, NEARLY_UNIQUE * len(known))
    if crowded and (number is None or not dtype.is_numeric()):
        return None, f"user attribute '{name}' was left out of the groups: it is nearly unique to each user"
    if number is not None and known.n_unique() > most:
        return _quarters(number), f"user attribute '{name}' was cut into quarters of the users"
    text = values.cast(pl.String)
    if known.n_unique() <= most:
        return text.fill_null(UNKNOWN).alias(name), ""
    counts = text.drop_nulls().value_counts().sort(["count", name], descending=[True, False])
    common = counts[name].head(most)
    groups = pl.DataFrame([text]).select(
        pl.when(pl.col(name).is_null())
        .then(pl.lit(UNKNOWN))
        .when(pl.col(name).is_in(common.to_list()))
        .then(name)
        .otherwise(pl.lit(OTHER))
    )
    return groups.to_series().alias(
        name
    ), f"user attribute '{name}': the {most} largest groups of {known.n_unique()} are shown"


def _as_number(values: pl.Series) -> pl.Series | None:
    if values.dtype.is_numeric():
        return values.cast(pl.Float64)
    if values.dtype != pl.String:
        return None
    text = values.str.strip_chars()
    if (text.str.contains(r"^0\d")).any():  # a code such as 02139, not a quantity
        return None
    number = text.cast(pl.Float64, strict=False)
    return number if number.null_count() == values.null_count() else None


def _quarters(values: pl.Series) -> pl.Series:
    finite = values.filter(values.is_finite())
    edges = sorted({float(finite.quantile(share, "nearest") or 0) for share in QUANTILES} - {float(finite.min() or 0)})  # type: ignore[arg-type]
    low, high = float(finite.min()), float(finite.max())  # type: ignore[arg-type]
    starts = [low, *edges]
    groups = pl.when(pl.col(values.name).is_finite().not_().fill_null(True)).then(pl.lit(UNKNOWN))
    for index in reversed(range(len(starts))):
        within = finite.filter(
            (finite >= starts[index]) & (finite < (starts[index + 1] if index + 1 < len(starts) else float("inf")))
        )
        end = float(within.max()) if index + 1 < len(starts) else high  # type: ignore[arg-type]
        label = f"{starts[index]:g} to {end:g}" if end > starts[index] else f"{end:g}"
        groups = groups.when(pl.col(values.name) >= starts[index]).then(pl.lit(label))
    return pl.DataFrame([values]).select(groups.otherwise(pl.lit(UNKNOWN))).to_series().alias(values.name)


def _number(group: str) -> float:
    try:
        return float(group.split(" ")[0])
    except ValueError:
        return 0.0
