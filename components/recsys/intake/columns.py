"""Which column of a file is which of ours.

>>> map_columns(["userId", "movieId", "rating", "timestamp"], "events", EventSource(), "ratings.csv").names
{'user_id': 'userId', 'item_id': 'movieId', 'value': 'rating', 'timestamp': 'timestamp'}

Settings win (`columns: {user_id: userId}`), then our own names, then names that other tools use. RecBole's types in the
header (`user_id:token`) are taken off. What was guessed is told.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from components.recsys.errors import InputError
from components.recsys.settings import Source

Kind = Literal["events", "items", "users"]

REQUIRED: dict[str, tuple[str, ...]] = {
    "events": ("user_id", "item_id", "timestamp"),
    "items": ("item_id",),
    "users": ("user_id",),
}
EVENT_COLUMNS = ("user_id", "item_id", "timestamp", "event", "value", "event_id", "request_id")

# Spelt as `_plain` spells: lower case, letters and digits only.
USER = "userid user uid userno usernr customerid customer visitorid visitor memberid reviewerid accountid clientid"
ITEM = (
    "itemid item iid itemno itemnr movieid movie filmid productid product sku asin parentasin articleid trackid "
    "isbn hotelid offerid listingid destinationid newsid videoid contentid gameid animeid businessid poiid "
    "bookid songid"
)
ALIASES: dict[str, dict[str, str]] = {
    "events": {
        "user_id": USER,
        "item_id": ITEM,
        "timestamp": "timestamp ts time date datetime eventtime eventtimestamp unixtime createdat occurredat",
        "event": "event eventtype action behavior behaviour behaviortype interaction interactiontype",
        "value": "value rating ratings score stars",
        "event_id": "eventid",
        "request_id": "requestid",
    },
    "items": {
        "item_id": ITEM + " id",
        "title": "title name movietitle itemname itemtitle productname producttitle bookname booktitle",
        "genres": "genres genre categories category class",
    },
    "users": {"user_id": USER + " id"},
}
RECBOLE = re.compile(r":(token|token_seq|float|float_seq)$")


@dataclass(frozen=True)
class Mapping:
    """names: our name -> the file's. sequences: ours whose cells are blank-separated lists (RecBole)."""

    names: dict[str, str]
    sequences: frozenset[str] = frozenset()
    messages: list[str] = field(default_factory=list)


def map_columns(found: Sequence[str], kind: Kind, settings: Source, label: str) -> Mapping:
    """Raises InputError when a required column is missing, a named one does not exist, or two claim one name."""
    names = _asked(found, kind, settings, label)
    taken = set(names.values())
    messages, guessed = [], []
    for ours, aliases in ALIASES[kind].items():
        if ours in names:
            continue
        free = [name for name in found if name not in taken]
        same = [name for name in free if RECBOLE.sub("", name) == ours]
        near = same or [name for name in free if _plain(name) in aliases.split()]
        if len(near) > 1:
            listed = " and ".join(f"'{name}'" for name in near)
            choose = f"choose with --set data.{kind}.columns.{ours}=NAME"
            if ours in REQUIRED[kind] or same:
                raise InputError(f"{label}: {listed} both could be {ours}; {choose}")
            messages.append(f"{label}: {listed} both could be {ours}, so neither is; {choose}")
        elif near:
            names[ours] = near[0]
            taken.add(near[0])
            if not same:
                guessed.append(f"{near[0]} as {ours}")
    ordered = kind == "events" and getattr(settings, "time_unit", "") == "order"
    for ours in REQUIRED[kind]:
        if ours not in names and not (ours == "timestamp" and ordered):
            raise InputError(_missing(ours, found, kind, settings, label))
    if kind != "events":
        _keep_the_rest(found, names, taken)
    if guessed:
        messages.append(f"{label}: took {', '.join(guessed)}")
    sequences = frozenset(ours for ours, name in names.items() if name.endswith("_seq") and RECBOLE.search(name))
    return Mapping(names, sequences, messages)


def _asked(found: Sequence[str], kind: Kind, settings: Source, label: str) -> dict[str, str]:
    bare = {RECBOLE.sub("", name): name for name in found}
    names: dict[str, str] = {}
    for ours, theirs in settings.columns.items():
        if kind == "events" and ours not in EVENT_COLUMNS:
            near = difflib.get_close_matches(ours, EVENT_COLUMNS, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(EVENT_COLUMNS)}"
            raise InputError(f"setting 'data.events.columns.{ours}': events have no such column; {hint}")
        name = theirs if theirs in found else bare.get(theirs)
        if name is None:
            near = difflib.get_close_matches(theirs, found, n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else "."
            raise InputError(f"{label}: no column '{theirs}' for {ours}{hint} Columns found: {_listed(found)}")
        if name in names.values():
            other = next(key for key, value in names.items() if value == name)
            raise InputError(f"{label}: column '{name}' is named for both {other} and {ours}; each needs its own")
        names[ours] = name
    return names


def _keep_the_rest(found: Sequence[str], names: dict[str, str], taken: set[str]) -> None:
    """Other columns of items and users are attributes under their own names; a nameless one is pandas' index."""
    for name in found:
        ours = re.sub(r"[ ,;{}()\n\t=]+", "_", RECBOLE.sub("", name)).strip("_")
        if name not in taken and ours and ours not in names:
            names[ours] = name


def _missing(ours: str, found: Sequence[str], kind: Kind, settings: Source, label: str) -> str:
    text = f"{label}: no column for {ours}. Columns found: {_listed(found)}. "
    text += f"Name it with --set data.{kind}.columns.{ours}=NAME"
    if len(found) == 1:
        text += f"; if that is the wrong separator, give it with --set data.{kind}.separator=';'"
    elif sum(_is_data(name) for name in found) * 2 >= len(found):
        text += (
            f"; if there is no header line, name the columns with --set data.{kind}.header='[user_id, item_id, ...]'"
        )
    elif ours == "timestamp":
        text += "; if there are no times, --set data.events.time_unit=order takes the order of the rows"
    return text


def _is_data(name: str) -> bool:
    return bool(re.fullmatch(r"[-+0-9.:eT ]+(_duplicated_\d+)?", name))


def _listed(found: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(name[:40] for name in found[:most])
    return f"{shown} and {len(found) - most} more" if len(found) > most else shown


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", RECBOLE.sub("", name).lower())
