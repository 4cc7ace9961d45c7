"""Who travels in the synthetic world, and what they like.

>>> people = make_people(np.random.default_rng(0), n_users=500)
>>> people.frame.columns
['user_id', 'age_group', 'home_region', 'budget', 'climate', 'season']
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from components.recsys.frames import Ints, Strings
from components.recsys.simulator.numbers import Doubles
from components.recsys.simulator.places import CLIMATES, REGIONS, THEMES

AGES = ("18-29", "30-44", "45-59", "60+")
BUDGETS = ("low", "middle", "high")
SEASONS = ("spring", "summer", "autumn", "winter")
# What an age group leans to, in units of taste; people differ more within a group than between groups.
LEANINGS = {
    "18-29": {"nightlife": 1.0, "adventure": 0.6, "beach": 0.4},
    "30-44": {"family": 1.0, "beach": 0.5, "food": 0.3},
    "45-59": {"culture": 0.7, "food": 0.6, "nature": 0.4},
    "60+": {"wellness": 0.9, "culture": 0.7, "nature": 0.5},
}


@dataclass(frozen=True)
class People:
    """The users. frame: what is known of them. The rest is in step with its rows.

    wealth: (n,) standardised. climates: (n, len(CLIMATES)), themes: (n, len(THEMES)): taste, about standard normal.
    season: (n,) position in SEASONS. rate: (n,) share of days on which they look around. joined: (n,) first day.
    """

    frame: pl.DataFrame
    ids: Strings
    wealth: Doubles
    climates: Doubles
    themes: Doubles
    season: Ints
    rate: Doubles
    joined: Ints


def make_people(rng: np.random.Generator, n_users: int, horizon: int = 60) -> People:
    """`n_users` people; a quarter joins during the first `horizon` days, so that some have little history."""
    age = rng.choice(len(AGES), n_users, p=(0.3, 0.3, 0.22, 0.18))
    home = rng.choice(len(REGIONS), n_users, p=(0.5, 0.2, 0.2, 0.05, 0.05))
    wealth = rng.normal(0, 1, n_users) + 0.3 * (age - age.mean())
    climates = rng.normal(0, 1, (n_users, len(CLIMATES)))
    leaning = np.array([[LEANINGS[group].get(theme, 0.0) for theme in THEMES] for group in AGES])
    themes = rng.normal(0, 1, (n_users, len(THEMES))) + leaning[age]
    season = rng.choice(len(SEASONS), n_users, p=(0.25, 0.4, 0.15, 0.2)).astype(np.int32)
    budget = np.digitize(wealth, (-0.6, 0.7))
    frame = pl.DataFrame(
        {
            "user_id": [f"syn-u{index:04d}" for index in range(n_users)],
            "age_group": [AGES[index] for index in age],
            "home_region": [REGIONS[index] for index in home],
            "budget": [BUDGETS[index] for index in budget],
            "climate": [CLIMATES[index] for index in climates.argmax(axis=1)],
            "season": [SEASONS[index] for index in season],
        }
    )
    return People(
        frame=frame,
        ids=np.array(frame["user_id"], dtype=object),
        wealth=wealth,
        climates=climates,
        themes=themes,
        season=season,
        # Heavy-tailed: a few look every day, many hardly ever, as in every real log.
        rate=np.clip(rng.lognormal(-1.2, 0.8, n_users), 0.02, 0.95),
        joined=np.where(rng.random(n_users) < 0.25, rng.integers(0, horizon, n_users), 0).astype(np.int32),
    )
