"""What a client asks for, read from JSON: one `Ask` a list.

>>> read_asks({"instances": [{"user_id": "42", "k": 10}]}, ServingSettings())
[Ask(user='42', k=10, ...)]

Every mistake is an InputError whose sentence names the place and what belongs there.
"""

import difflib
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from components.recsys.errors import InputError
from components.recsys.settings import ServingSettings

DEFAULT_K = 10
MOST_ITEMS = 25_000  # in one answer: 3 MB of JSON
MAX_ID = 1000  # characters; longer is no id, and would only fill logs and stores
FIELDS = frozenset({"user_id", "k", "history", "context", "filters"})
MOMENT = frozenset({"item_id", "event"})
FILTERS = frozenset({"seen", "exclude", "where"})
Value = str | int | float | bool


@dataclass(slots=True)
class Ask:
    """One list. user: "" for somebody without an id.

    history: (item, kind of event), oldest first, "" for a kind unsaid; None where the online history is to be used.
    """

    user: str = ""
    k: int = DEFAULT_K
    history: list[tuple[str, str]] | None = None
    genres: list[str] = field(default_factory=list)
    drop_seen: bool = True
    exclude: list[str] = field(default_factory=list)
    where: dict[str, list[str]] = field(default_factory=dict)


def read_asks(body: Any, settings: ServingSettings) -> list[Ask]:
    """The asks of a V1 body. Raises InputError."""
    if not isinstance(body, dict) or "instances" not in body:
        raise InputError(
            'the body must be a JSON object with "instances", such as {"instances": [{"user_id": "42", "k": 10}]}'
        )
    instances = body["instances"]
    if not isinstance(instances, list) or not instances:
        raise InputError(f'"instances" must be a list with at least one object, not {described(instances)}')
    if len(instances) > settings.max_instances:
        raise InputError(
            f'"instances" has {len(instances)} entries; at most {settings.max_instances} are answered at once'
        )
    return checked([read_ask(instance, settings, f"instances[{index}]") for index, instance in enumerate(instances)])


def checked(asks: list[Ask]) -> list[Ask]:
    total = sum(ask.k for ask in asks)
    if len(asks) > 1 and total > MOST_ITEMS:
        raise InputError(
            f"{total} items are asked for in all; at most {MOST_ITEMS} are answered at once: send fewer lists"
        )
    return asks


def read_ask(instance: Any, settings: ServingSettings, where: str) -> Ask:
    """One instance. Raises InputError."""
    if not isinstance(instance, dict):
        raise InputError(f'{where} must be an object such as {{"user_id": "42", "k": 10}}, not {described(instance)}')
    if not FIELDS.issuperset(instance):
        raise unknown(next(name for name in instance if name not in FIELDS), FIELDS, where)
    ask = Ask()
    user = instance.get("user_id")
    if user is not None:
        ask.user = read_id(user, f"{where}.user_id")
    k = instance.get("k")
    if k is not None:
        ask.k = read_k(k, settings, f"{where}.k")
    history = instance.get("history")
    if history is not None:
        ask.history = read_history(history, f"{where}.history")[-settings.max_history :]
    context = instance.get("context")
    if context is not None:
        ask.genres = read_genres(context, f"{where}.context")
    filters = instance.get("filters")
    if filters is not None:
        read_filters(filters, ask, f"{where}.filters")
    return ask


def read_id(value: Any, where: str) -> str:
    """An id as the event table spells it: NFC, outer blanks off, inner runs to one. Whole numbers become text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InputError(f"{where} must be text or a whole number, not {described(value)}")
    text: str = value
    if not (text.isascii() and text.isalnum()):
        text = " ".join(unicodedata.normalize("NFC", text).split())
        if not text:
            raise InputError(f"{where} is blank; leave it out where there is none")
    if len(text) > MAX_ID:
        raise InputError(f"{where} has {len(text)} characters; an id has at most {MAX_ID}")
    return text


def read_ids(value: Any, where: str) -> list[str]:
    if not isinstance(value, list):
        raise InputError(f"{where} must be a list of item ids, not {described(value)}")
    return [read_id(item, f"{where}[{index}]") for index, item in enumerate(value)]


def read_history(value: Any, where: str) -> list[tuple[str, str]]:
    """Ids, or objects of an id and the kind of event, which releases may weigh."""
    if not isinstance(value, list):
        raise InputError(f"{where} must be a list of item ids, not {described(value)}")
    return [read_moment(one, where, index) for index, one in enumerate(value)]


def read_moment(value: Any, where: str, index: int) -> tuple[str, str]:
    if not isinstance(value, dict):
        return read_id(value, f"{where}[{index}]"), ""
    where = f"{where}[{index}]"
    if not MOMENT.issuperset(value):
        raise unknown(next(name for name in value if name not in MOMENT), MOMENT, where)
    if value.get("item_id") is None:
        raise InputError(f'{where} lacks item_id; write {{"item_id": "50", "event": "click"}}, or the id alone')
    kind = value.get("event")
    return read_id(value["item_id"], f"{where}.item_id"), "" if kind is None else read_id(kind, f"{where}.event")


def read_k(value: Any, settings: ServingSettings, where: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{where} must be a whole number, not {described(value)}")
    if not 1 <= value <= settings.max_k:
        raise InputError(f"{where} must be from 1 to {settings.max_k}, not {value}")
    return value


def read_genres(context: Any, where: str) -> list[str]:
    """The genres of a context. Other names are left for models that know them."""
    if not isinstance(context, dict):
        raise InputError(f'{where} must be an object such as {{"genres": ["Drama"]}}, not {described(context)}')
    genres = context.get("genres")
    if genres is None:
        return []
    if isinstance(genres, str):
        return [genres]
    if not isinstance(genres, list) or not all(isinstance(genre, str) for genre in genres):
        raise InputError(f"{where}.genres must be a list of texts, not {described(genres)}")
    return genres


def read_filters(filters: Any, ask: Ask, where: str) -> None:
    if not isinstance(filters, dict):
        raise InputError(f'{where} must be an object such as {{"exclude": ["50"]}}, not {described(filters)}')
    if not FILTERS.issuperset(filters):
        raise unknown(next(name for name in filters if name not in FILTERS), FILTERS, where)
    seen = filters.get("seen")
    if seen is not None:
        if not isinstance(seen, bool):
            raise InputError(
                f"{where}.seen must be true (leave seen items out) or false (keep them), not {described(seen)}"
            )
        ask.drop_seen = seen
    exclude = filters.get("exclude")
    if exclude is not None:
        ask.exclude = read_ids(exclude, f"{where}.exclude")
    wanted = filters.get("where")
    if wanted is not None:
        if not isinstance(wanted, dict):
            raise InputError(f'{where}.where must be an object such as {{"genres": "Drama"}}, not {described(wanted)}')
        ask.where = {name: read_values(value, f"{where}.where.{shortened(name)}") for name, value in wanted.items()}


def read_values(value: Any, where: str) -> list[str]:
    """The values that an attribute may have, each in the spelling of `spelled`."""
    values = value if isinstance(value, list) else [value]
    for one in values:
        if not isinstance(one, str | int | float | bool):
            raise InputError(f"{where} must be a value or a list of values, not {described(one)}")
    return [spelled(one) for one in values]


def spelled(value: Value) -> str:
    """One text for equal values: 1995 and 1995.0 are the same year, true is not 1.

    >>> spelled(1995.0), spelled(True)
    ('1995', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def unknown(name: str, known: frozenset[str], where: str) -> InputError:
    near = difflib.get_close_matches(name[:MAX_ID], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else "known are " + ", ".join(sorted(known))
    return InputError(f"{where} has an unknown field '{shortened(name)}'; {hint}")


def described(value: Any) -> str:
    """A value for a sentence: short, whatever was sent.

    >>> described({"a": 1}), described("x" * 1000)
    ('an object', '"xxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"')
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{shortened(value)}"'
        case list():
            return "an empty list" if not value else "a list"
        case dict():
            return "an object"
        case _:
            return shortened(str(value))


def shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
