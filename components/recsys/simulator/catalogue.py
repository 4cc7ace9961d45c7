"""What can be booked in the synthetic world: flights, stays and activities, with the traits that people choose by.

>>> offers = make_offers(np.random.default_rng(0), n_items=300)
>>> offers.frame.columns
['item_id', 'title', 'genres', 'kind', 'class', 'price', 'climate', 'region', 'city']
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from components.recsys.frames import Ints, Strings
from components.recsys.simulator.numbers import Doubles
from components.recsys.simulator.places import CLASSES, CLIMATES, KINDS, PLACES, THEMES

AIRLINES = ("Albatross Air", "Meridian", "Northwind", "Palm Jet", "Bluebird")
STAYS = {
    "budget": ("Hostel", "Guesthouse", "Rooms"),
    "comfort": ("Hotel", "Inn", "Apartments"),
    "luxury": ("Resort", "Palace", "Spa Hotel"),
}
STAY_NAMES = (
    "Harbour",
    "Old Town",
    "Garden",
    "Sunrise",
    "Lantern",
    "Terrace",
    "Juniper",
    "Compass",
    "Marble",
    "Willow",
)
ACTIVITIES = {
    "beach": ("Surf lesson", "Sailing day"),
    "city": ("City walk", "Rooftop tour"),
    "mountains": ("Ridge hike", "Cable car day"),
    "culture": ("Museum pass", "Temple and palace tour"),
    "food": ("Street food tour", "Cooking class"),
    "nature": ("Wildlife tour", "Canoe trip"),
    "nightlife": ("Bar tour", "Concert evening"),
    "family": ("Theme park", "Aquarium visit"),
    "wellness": ("Thermal baths", "Yoga morning"),
    "adventure": ("Climbing day", "Rafting trip"),
}
# Price of a class against the plain one of its kind: a business seat costs about four economy ones.
MULTIPLE = {"economy": 1.0, "business": 4.0, "budget": 0.5, "comfort": 1.2, "luxury": 3.5, "group": 1.0, "private": 3.0}
SHARES = {"flight": (0.7, 0.3), "stay": (0.35, 0.4, 0.25), "activity": (0.7, 0.3)}
KIND_SHARES = (0.4, 0.35, 0.25)


@dataclass(frozen=True)
class Offers:
    """The items. frame: what is published. The rest is in step with its rows.

    place: (n,) position in PLACES. kind: (n,) position in KINDS. upmarket: (n,) log price against the middle of its
    kind, standardised. themes: (n, len(THEMES)) rows that sum to 1. quality: (n,) what everybody sees in it.
    launch: (n,) first day on sale.
    """

    frame: pl.DataFrame
    ids: Strings
    place: Ints
    kind: Ints
    upmarket: Doubles
    themes: Doubles
    quality: Doubles
    launch: Ints

    def mask(self, column: str, value: str) -> Doubles:
        """(n,) 1 where an attribute has a value, else 0."""
        return (self.frame[column] == value).to_numpy().astype(float)

    @cached_property
    def price(self) -> Doubles:
        """(n,) EUR."""
        return self.frame["price"].to_numpy()

    def climates(self) -> Doubles:
        """(n, len(CLIMATES)) one-hot."""
        return np.stack([self.mask("climate", climate) for climate in CLIMATES], axis=1)


def make_offers(rng: np.random.Generator, n_items: int, horizon: int = 60) -> Offers:
    """`n_items` offers; one in ten comes on sale during the first `horizon` days, so that there are new items."""
    rows = []
    titles: Counter[str] = Counter()
    themes = np.zeros((n_items, len(THEMES)))
    place = rng.permutation(np.arange(n_items) % len(PLACES)).astype(np.int32)  # every place gets its share
    kind = rng.choice(len(KINDS), n_items, p=KIND_SHARES).astype(np.int32)
    for index in range(n_items):
        where, what = PLACES[place[index]], KINDS[kind[index]]
        tier = str(rng.choice(CLASSES[what], p=SHARES[what]))
        theme = str(rng.choice(where.themes))
        base = where.fare if what == "flight" else 85 * (where.fare / 300) ** 0.2 if what == "stay" else 45
        price = base * MULTIPLE[tier] * rng.lognormal(0, 0.25)
        title = _title(rng, what, tier, theme, where.city)
        titles[title] += 1
        if titles[title] > 1:
            title = f"{title} ({titles[title]})"
        genres = [what, *(where.themes[:2] if what == "flight" else dict.fromkeys((theme, where.themes[0])))]
        for genre in genres[1:]:
            themes[index, THEMES.index(genre)] = 1 / (len(genres) - 1)
        rows.append(
            (
                f"syn-{what[0]}{index:04d}",
                title,
                genres,
                what,
                tier,
                round(price, 2),
                where.climate,
                where.region,
                where.city,
            )
        )
    columns = ["item_id", "title", "genres", "kind", "class", "price", "climate", "region", "city"]
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    log_price = pl.col("price").log()
    upmarket = frame.select(
        ((log_price - log_price.mean().over("kind")) / (log_price.std().over("kind") + 1e-9)).fill_null(0.0)
    )
    return Offers(
        frame=frame,
        ids=np.array(frame["item_id"], dtype=object),
        place=place,
        kind=kind,
        upmarket=upmarket.to_series().to_numpy(),
        themes=themes,
        quality=rng.normal(0, 0.6, n_items),
        launch=np.where(rng.random(n_items) < 0.1, rng.integers(0, horizon, n_items), 0).astype(np.int32),
    )


def _title(rng: np.random.Generator, kind: str, tier: str, theme: str, city: str) -> str:
    if kind == "flight":
        return f"{tier.capitalize()} flight to {city} with {rng.choice(AIRLINES)}"
    if kind == "stay":
        return f"{rng.choice(STAY_NAMES)} {rng.choice(STAYS[tier])}, {city}"
    private = ", private" if tier == "private" else ""
    return f"{rng.choice(ACTIVITIES[theme])} in {city}{private}"
