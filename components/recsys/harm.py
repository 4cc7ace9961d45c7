"""Whom a challenger would harm: each user group, against the champion.

>>> compare_slices(challenger, champion, GateSettings())[0]
{'attribute': 'gender', 'group': 'F', 'users': 273, ..., 'state': 'safe'}
"""

from typing import Any

import numpy as np

from components.recsys.evaluation import GROUP, Evaluation
from components.recsys.settings import GateSettings
from components.recsys.slices import order_of
from components.recsys.stats import holm, t_test

Json = dict[str, Any]


def compare_slices(challenger: Evaluation, champion: Evaluation, settings: GateSettings) -> list[Json]:
    """A dict a judged group: attribute, group, users, challenger, champion, difference, low, high, p, state.

    p: for no loss at all, one-sided, corrected over the groups (Holm). state: harmed when the loss is larger than
    `slice_margin` of the champion's mean and p is at most alpha; safe when a loss as large as that can be ruled out at
    alpha; else undecided. Both evaluations are of the same users in the same order.
    """
    ours, theirs = (each.per_user[settings.metric].cast(float).to_numpy() for each in (challenger, champion))
    judged = {(each["attribute"], each["group"]) for each in challenger.slices if each["judged"]}
    kept = 1 - settings.slice_margin
    found: list[Json] = []
    for column in (name for name in challenger.per_user.columns if name.startswith(GROUP)):
        attribute, groups = column.removeprefix(GROUP), challenger.per_user[column]
        for group in order_of(attribute, groups.unique().to_list()):
            if (attribute, group) not in judged:
                continue
            within = (groups == group).to_numpy()
            mean, low, high, p = t_test(ours[within] - theirs[within], settings.alpha)
            spare = t_test(ours[within] - kept * theirs[within], settings.alpha)[1]
            found.append(
                {
                    "attribute": attribute,
                    "group": group,
                    "users": int(within.sum()),
                    "challenger": float(ours[within].mean()),
                    "champion": float(theirs[within].mean()),
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "p": p,
                    "state": "safe" if spare >= 0 else "undecided",
                }
            )
    for each, p in zip(found, holm(np.array([each["p"] for each in found])), strict=True):
        each["p"] = float(p)
        if p <= settings.alpha and each["challenger"] < kept * each["champion"]:
            each["state"] = "harmed"
    return found
