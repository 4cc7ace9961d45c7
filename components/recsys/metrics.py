"""What makes a list good: accuracy against held-out items, and what accuracy does not see.

>>> found = hits(ranked, truth)                      # (rows, k) bool
>>> ndcg(found, relevant=truth.lengths).mean()
0.241

ranked: (rows, k) int positions in the vocabulary, best first, padded with -1. relevant: (rows,) how many items would
have been right, those included that the vocabulary lacks. Accuracy of a row with nothing relevant is not defined: NaN.
All are computed on full rankings: against sampled negatives orders reverse (Krichene and Rendle, KDD 2020).
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from components.recsys.frames import Histories, Ints

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def hits(ranked: Ints, truth: Histories) -> Bools:
    """(rows, k): is the item at this place one of the row's truths."""
    rows = np.repeat(np.arange(len(truth), dtype=np.int64), truth.lengths)
    wanted = np.sort(rows * truth.n_items + truth.indices)
    asked = np.arange(len(ranked), dtype=np.int64)[:, None] * truth.n_items + ranked
    if not len(wanted):
        return np.zeros(ranked.shape, bool)
    place = np.minimum(np.searchsorted(wanted, asked), len(wanted) - 1)
    return np.asarray((wanted[place] == asked) & (ranked >= 0))


def ndcg(found: Bools, relevant: Counts) -> Doubles:
    """DCG / ideal DCG, DCG = sum of 1 / log2(place + 1) over hits, places from 1 (Järvelin and Kekäläinen, TOIS 2002).

    Gains are binary; the ideal list has min(relevant, k) hits on top, so a perfect list of any k scores 1.
    """
    discount = 1 / np.log2(np.arange(2, found.shape[1] + 2))
    ideal = np.concatenate([[np.nan], np.cumsum(discount)])[np.minimum(relevant, found.shape[1])]
    return np.asarray((found * discount).sum(axis=1) / ideal)


def recall(found: Bools, relevant: Counts) -> Doubles:
    """Hits / relevant. The divisor is not cut at k, so k < relevant keeps it below 1 (as in trec_eval)."""
    return np.asarray(found.sum(axis=1) / _or_nan(relevant))


def precision(found: Bools, relevant: Counts) -> Doubles:
    """Hits / k; k counts in full also where the list is shorter."""
    return np.asarray(found.sum(axis=1) / found.shape[1] * np.where(relevant > 0, 1.0, np.nan))


def hit_rate(found: Bools, relevant: Counts) -> Doubles:
    """1 when there is any hit, else 0."""
    return np.asarray(np.where(relevant > 0, found.any(axis=1), np.nan))


def average_precision(found: Bools, relevant: Counts) -> Doubles:
    """Sum over hits of the precision down to the hit, / relevant; its mean over users is MAP (as map_cut of trec_eval).

    Divided by all that is relevant, not by min(relevant, k): numbers compare with ranx and Microsoft Recommenders.
    """
    down_to = np.cumsum(found, axis=1) / np.arange(1, found.shape[1] + 1)
    return np.asarray((found * down_to).sum(axis=1) / _or_nan(relevant))


def reciprocal_rank(found: Bools, relevant: Counts) -> Doubles:
    """1 / place of the first hit, 0 without one; its mean over users is MRR (Voorhees, TREC-8 1999)."""
    first = np.where(found.any(axis=1), 1 / (found.argmax(axis=1) + 1), 0.0)
    return np.where(relevant > 0, first, np.nan)


ACCURACY: Mapping[str, Callable[[Bools, Counts], Doubles]] = {
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "hit_rate": hit_rate,
    "map": average_precision,
    "mrr": reciprocal_rank,
}


def novelty(ranked: Ints, popularity: Counts, n_users: int) -> Doubles:
    """(rows,) mean self-information of a list's items, in bits: -log2 of the share of users who had the item.

    popularity: (n_items,) users who had each item; one whom nobody had counts as had by one, to stay finite.
    Zhou et al., PNAS 2010 ("Solving the apparent diversity-accuracy dilemma"). An empty list has 0.
    """
    bits = -np.log2(np.maximum(popularity, 1) / max(n_users, 1))
    return _mean_of_list(ranked, bits)


def mean_popularity(ranked: Ints, popularity: Counts) -> Doubles:
    """(rows,) mean number of users who had the items of a list.

    Over users, the mean of this / the mean of the same of their histories, - 1, is the popularity lift: 0 when lists
    are as mainstream as what people chose, 1 when twice as much (delta GAP of Abdollahpouri et al., RMSE 2019).
    """
    return _mean_of_list(ranked, popularity.astype(np.float64))


def diversity(ranked: Ints, features: "sp.csr_array | Doubles") -> Doubles:
    """(rows,) 1 - mean cosine over all pairs of a list's items (intra-list distance, Ziegler et al., WWW 2005).

    features: (n_items, any) row vectors, made unit length here; an item without features has cosine 0 with every other.
    A list of fewer than two items has 0.
    """
    # The sum over pairs is (|sum of vectors|^2 - sum of |vector|^2) / 2: no pair is ever formed.
    vectors = sp.csr_array(features, dtype=np.float64)
    norms = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
    vectors = sp.csr_array(sp.diags_array(1 / np.where(norms > 0, norms, 1.0)) @ vectors)
    own = (norms > 0).astype(np.float64)
    result = np.zeros(len(ranked))
    for start in range(0, len(ranked), BATCH):
        part = ranked[start : start + BATCH]
        lists = _incidence(part, vectors.shape[0])
        total = lists @ vectors
        pairs = np.asarray(total.multiply(total).sum(axis=1)).ravel() - lists @ own
        length = (part >= 0).sum(axis=1)
        result[start : start + BATCH] = np.where(length > 1, 1 - pairs / np.maximum(length * (length - 1), 1), 0.0)
    return np.clip(result, 0.0, 2.0)


def serendipity(ranked: Ints, found: Bools, expected: Ints) -> Doubles:
    """(rows,) share of the k places that hold an item which was right and which a popularity list did not show.

    expected: (rows, any) the popularity baseline's list for the same person. Ge, Delgado and Jannach, RecSys 2010.
    """
    primitive = (ranked[:, :, None] == expected[:, None, :]).any(axis=2)
    return np.asarray((found & ~primitive).sum(axis=1) / ranked.shape[1])


def exposure(ranked: Ints, n_items: int, weights: Doubles | None = None) -> Doubles:
    """(n_items,) how often each item is shown, each row counting `weights` times."""
    shown = ranked >= 0
    repeated = None if weights is None else np.repeat(weights, shown.sum(axis=1))
    return np.bincount(ranked[shown], weights=repeated, minlength=n_items).astype(np.float64)


def coverage(exposures: Doubles) -> float:
    """Share of the catalogue that appears in any list (catalogue coverage, Ge, Delgado and Jannach, RecSys 2010)."""
    return float((exposures > 0).mean()) if len(exposures) else 0.0


def gini(exposures: Doubles) -> float:
    """Concentration of exposure: 0 when all items are shown equally often, near 1 when a few take it all.

    sum over items, least shown first, of (2 i - n - 1) e_i / (n sum e), i from 1 (Fleder and Hosanagar, Management
    Science 2009). Items never shown count. 0 when nothing is shown.
    """
    n, total = len(exposures), exposures.sum()
    if total == 0:
        return 0.0
    return float(((2 * np.arange(1, n + 1) - n - 1) * np.sort(exposures)).sum() / (n * total))


BATCH = 4096  # lists whose summed vectors are held at once


def _or_nan(relevant: Counts) -> Doubles:
    return np.where(relevant > 0, relevant.astype(np.float64), np.nan)


def _mean_of_list(ranked: Ints, values: Doubles) -> Doubles:
    shown = ranked >= 0
    total = np.where(shown, values[np.maximum(ranked, 0)] if len(values) else 0.0, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(shown.sum(axis=1), 1))


def _incidence(ranked: Ints, n_items: int) -> sp.csr_array:
    shown = ranked >= 0
    indptr = np.concatenate([[0], np.cumsum(shown.sum(axis=1))])
    return sp.csr_array((np.ones(int(indptr[-1])), ranked[shown], indptr), shape=(len(ranked), n_items))
