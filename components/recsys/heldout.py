"""Who is judged by what: the held-out part of a split, laid out in a model's vocabulary.

>>> held = HeldOut.of(parts, model.items)
>>> ranked, _ = rank(model, held.histories, k=10)
>>> hits(ranked, held.truth)
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp

from components.recsys.frames import Catalogue, Histories, Interactions, Strings
from components.recsys.metrics import Counts
from components.recsys.models.attributes import describe
from components.recsys.splits import Split
from components.recsys.stats import Doubles

PAIR = ["user_id", "item_id"]
EXACT_USERS = 1024  # above it, item vectors of who had them are projected at random to as many dimensions
MOST_FEATURES = 20_000


@dataclass(frozen=True)
class HeldOut:
    """Rows are judged users, sorted by id.

    people: user_id, history (training events), relevant (new items, those included that the vocabulary lacks).
    histories: what lists are made from. truth: the relevant items that the vocabulary has.
    popularity: (n_items,) users who had each item before. known: distinct pairs of user and item before.
    counts: who and what was left out, for people.
    """

    people: pl.DataFrame
    histories: Histories
    truth: Histories
    popularity: Counts
    known: pl.DataFrame
    counts: dict[str, int]

    @classmethod
    def of(cls, split: Split, items: Strings, part: str = "test") -> "HeldOut":
        """A test user's history is all of the training and validation parts; a validation user's, the training part.

        What counts as right is what a user took for the first time, so somebody who only came back is not judged.
        """
        before = pl.concat([split.train, split.validation]) if part == "test" else split.train
        after = split.test if part == "test" else split.validation
        known, asked = before.select(PAIR).unique(), after.select(PAIR).unique()
        new = asked.join(known, on=PAIR, how="anti")
        people = _people(before, after, new)
        new = new.join(people, on="user_id", how="semi")
        if split.min_events_per_user > 1:
            enough = (
                pl.concat([before, after]).group_by("user_id").len().filter(pl.col("len") >= split.min_events_per_user)
            )
            kept = people.join(enough, on="user_id", how="semi", maintain_order="left")
        else:
            kept = people
        truth = new.join(kept, on="user_id", how="semi")
        position = positions(items)
        counts = {
            "users_asked": asked["user_id"].n_unique(),
            "users_nothing_new": asked["user_id"].n_unique() - people.height,
            "users_few_events": people.height - kept.height,
            "users_no_history": int((kept["history"] == 0).sum()),
            "items_unknown": truth.join(position, on="item_id", how="anti")["item_id"].n_unique(),
            "events_unknown": truth.join(position, on="item_id", how="anti").height,
        }
        return cls(
            people=kept,
            histories=_histories(before, kept, items, split.event_weights),
            truth=_truth(kept, truth, position),
            popularity=_count_users(known, position),
            known=known,
            counts=counts,
        )

    @property
    def relevant(self) -> Counts:
        return self.people["relevant"].to_numpy().astype(np.int64)

    @property
    def n_users(self) -> int:
        """Users before the held-out part."""
        return self.known["user_id"].n_unique()

    def usual_popularity(self) -> Doubles:
        """(rows,) mean popularity of what a user had before, or of what somebody without history took afterwards."""
        had, took = (_mean_popularity(rows, self.popularity) for rows in (self.histories, self.truth))
        return np.where(self.histories.lengths > 0, had, took)

    def catalogue_size(self, items: Strings, attributes: pl.DataFrame | None) -> int:
        """Items that are known from events, from the items file or from the model."""
        ids = [self.known["item_id"], pl.Series("item_id", items, dtype=pl.String)]
        return pl.concat([*ids, *([attributes["item_id"]] if attributes is not None else [])]).n_unique()

    def features(self, items: Strings, attributes: pl.DataFrame | None) -> "sp.csr_array | Doubles":
        """(n_items, any) what makes two items alike: their attributes without running text, or else who had them."""
        described = describe(Catalogue.align(items, attributes), text_weight=0.0, most_features=MOST_FEATURES).matrix()
        if described.nnz:
            return described
        cells = self.known.join(positions(items), on="item_id")
        cells = cells.with_columns(user=pl.col("user_id").rank("dense").cast(pl.Int64) - 1).sort("index", "user")
        place = (cells["index"].to_numpy(), cells["user"].to_numpy())
        had = sp.csr_array((np.ones(cells.height), place), shape=(len(items), max(self.n_users, 1)))
        if had.shape[1] <= EXACT_USERS:
            return had
        # Johnson and Lindenstrauss: inner products survive a random projection, so a million users cost no more than
        # a thousand. The error of one cosine is 3 %, and averages out over the pairs of a list.
        return np.asarray(had @ np.random.default_rng(0).standard_normal((had.shape[1], EXACT_USERS), dtype=np.float32))


def positions(items: Strings) -> pl.DataFrame:
    """item_id and its index in the vocabulary."""
    return pl.DataFrame({"item_id": pl.Series(items, dtype=pl.String), "index": np.arange(len(items), dtype=np.int32)})


def _people(before: pl.DataFrame, after: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    history = before.join(after, on="user_id", how="semi").group_by("user_id").agg(history=pl.len())
    return (
        new.group_by("user_id")
        .agg(relevant=pl.len())
        .join(history, on="user_id", how="left")
        .select("user_id", pl.col("history").fill_null(0).cast(pl.Int64), pl.col("relevant").cast(pl.Int64))
        .sort("user_id")
    )


def _histories(events: pl.DataFrame, people: pl.DataFrame, items: Strings, weights: dict[str, float]) -> Histories:
    """A history per row, in the rows' order, empty for people without."""
    own = Interactions.from_frame(events.join(people, on="user_id", how="semi"), items, weights)
    lengths = pl.DataFrame({"user_id": pl.Series(own.users, dtype=pl.String), "length": own.histories.lengths})
    aligned = people.join(lengths, on="user_id", how="left", maintain_order="left")["length"].fill_null(0)
    indptr = np.concatenate([[0], np.cumsum(aligned.to_numpy())]).astype(np.int64)
    return Histories(indptr, own.histories.indices, own.histories.weights, len(items))


def _truth(people: pl.DataFrame, new: pl.DataFrame, position: pl.DataFrame) -> Histories:
    rows = people.with_row_index("row").select("user_id", "row")
    known = new.join(position, on="item_id").join(rows, on="user_id").sort("row", "index")
    counts = np.bincount(known["row"].to_numpy(), minlength=people.height)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Histories(indptr, known["index"].to_numpy(), np.ones(known.height, np.float32), position.height)


def _count_users(known: pl.DataFrame, position: pl.DataFrame) -> Counts:
    counts = position.join(known.group_by("item_id").len(), on="item_id", how="left", maintain_order="left")
    return counts["len"].fill_null(0).to_numpy().astype(np.int64)


def _mean_popularity(histories: Histories, popularity: Counts) -> Doubles:
    rows = np.repeat(np.arange(len(histories)), histories.lengths)
    total = np.bincount(rows, weights=popularity[histories.indices], minlength=len(histories))
    return np.asarray(total / np.maximum(histories.lengths, 1))
