"""Where people travel in the synthetic world: real city names, invented traits.

>>> PLACES[0].city, PLACES[0].climate
('Lisbon', 'mediterranean')
"""

from typing import NamedTuple

CLIMATES = ("tropical", "mediterranean", "temperate", "cold", "desert")
REGIONS = ("europe", "asia", "americas", "africa", "oceania")
THEMES = ("beach", "city", "mountains", "culture", "food", "nature", "nightlife", "family", "wellness", "adventure")
KINDS = ("flight", "stay", "activity")
CLASSES = {"flight": ("economy", "business"), "stay": ("budget", "comfort", "luxury"), "activity": ("group", "private")}

# Warmth of a climate by season (spring, summer, autumn, winter), 0 to 1: when it is good to be there.
COMFORT = {
    "tropical": (0.7, 0.4, 0.6, 1.0),
    "mediterranean": (0.8, 1.0, 0.8, 0.3),
    "temperate": (0.8, 0.9, 0.7, 0.3),
    "cold": (0.4, 0.6, 0.4, 0.9),
    "desert": (0.9, 0.2, 0.8, 0.9),
}


class Place(NamedTuple):
    """fare: price level of an economy flight there, in EUR."""

    city: str
    region: str
    climate: str
    themes: tuple[str, ...]
    fare: int


PLACES = (
    Place("Lisbon", "europe", "mediterranean", ("city", "food", "nightlife"), 140),
    Place("Crete", "europe", "mediterranean", ("beach", "family", "food"), 210),
    Place("Rome", "europe", "mediterranean", ("culture", "city", "food"), 130),
    Place("Mallorca", "europe", "mediterranean", ("beach", "nightlife", "family"), 120),
    Place("Berlin", "europe", "temperate", ("city", "nightlife", "culture"), 110),
    Place("Edinburgh", "europe", "temperate", ("culture", "city", "nature"), 120),
    Place("Innsbruck", "europe", "cold", ("mountains", "adventure", "nature"), 150),
    Place("Reykjavik", "europe", "cold", ("nature", "adventure", "wellness"), 260),
    Place("Tromso", "europe", "cold", ("nature", "adventure", "mountains"), 240),
    Place("Budapest", "europe", "temperate", ("wellness", "city", "nightlife"), 100),
    Place("Kyoto", "asia", "temperate", ("culture", "food", "wellness"), 760),
    Place("Bangkok", "asia", "tropical", ("food", "city", "nightlife"), 620),
    Place("Bali", "asia", "tropical", ("beach", "wellness", "nature"), 780),
    Place("Singapore", "asia", "tropical", ("city", "food", "family"), 690),
    Place("Dubai", "asia", "desert", ("city", "family", "beach"), 410),
    Place("Petra", "asia", "desert", ("culture", "adventure", "nature"), 380),
    Place("New York", "americas", "temperate", ("city", "culture", "nightlife"), 480),
    Place("Cancun", "americas", "tropical", ("beach", "nightlife", "family"), 640),
    Place("Banff", "americas", "cold", ("mountains", "nature", "adventure"), 650),
    Place("Cusco", "americas", "temperate", ("mountains", "culture", "adventure"), 820),
    Place("Rio de Janeiro", "americas", "tropical", ("beach", "nightlife", "city"), 720),
    Place("Marrakesh", "africa", "desert", ("culture", "food", "wellness"), 170),
    Place("Cape Town", "africa", "mediterranean", ("nature", "food", "mountains"), 640),
    Place("Zanzibar", "africa", "tropical", ("beach", "nature", "wellness"), 590),
    Place("Serengeti", "africa", "tropical", ("nature", "adventure", "family"), 850),
    Place("Sydney", "oceania", "temperate", ("city", "beach", "food"), 1050),
    Place("Queenstown", "oceania", "cold", ("mountains", "adventure", "nature"), 1180),
    Place("Fiji", "oceania", "tropical", ("beach", "family", "wellness"), 1250),
)
