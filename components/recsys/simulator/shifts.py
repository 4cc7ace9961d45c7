"""How the synthetic world's tastes can move: what a recommender that never learns again will miss.

>>> world.shift("economy", day=60, strength=1.0)

Each is a function of people and offers to a change of utility, (users, items) or (items,), at strength 1.
"""

from collections.abc import Callable

import numpy as np

from components.recsys.simulator.catalogue import Offers
from components.recsys.simulator.numbers import Doubles
from components.recsys.simulator.people import People

LARGE = 2.5  # utility of a strong wish: about the spread of tastes between the best and a middling offer


def to_economy(people: People, offers: Offers) -> Doubles:
    """People turn to economy flights, and away from business class."""
    return LARGE * (offers.mask("class", "economy") - offers.mask("class", "business"))


def to_thrift(people: People, offers: Offers) -> Doubles:
    """Money gets tight: whatever is dear for its kind loses, whatever is cheap wins."""
    return np.asarray(-LARGE / 2 * offers.upmarket)


def to_cold(people: People, offers: Offers) -> Doubles:
    """People flee the heat: cold and temperate places win, tropical and desert ones lose."""
    warmth = offers.mask("climate", "tropical") + offers.mask("climate", "desert")
    return LARGE * (offers.mask("climate", "cold") + offers.mask("climate", "temperate") - warmth)


def to_home(people: People, offers: Offers) -> Doubles:
    """People stay in their own region."""
    near = people.frame["home_region"].to_numpy()[:, None] == offers.frame["region"].to_numpy()[None, :]
    return np.asarray(LARGE * (near.astype(float) - 0.5))


def to_hype(people: People, offers: Offers) -> Doubles:
    """One place is in everybody's feed."""
    return LARGE * offers.mask("city", offers.frame["city"].sort()[0])


SHIFTS: dict[str, Callable[[People, Offers], Doubles]] = {
    "economy": to_economy,
    "thrift": to_thrift,
    "cold": to_cold,
    "home": to_home,
    "hype": to_hype,
}
