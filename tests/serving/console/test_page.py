"""The console in a real browser: what it shows, what it does, and what it says when a part is down."""

from collections.abc import Callable
from typing import Any

from components.recsys.home import Home
from components.recsys.statuses import Statuses

Made = Callable[..., Any]


def test_shows_who_serves_and_why(tab: Any, front: Made, world: Any) -> None:
    with front(world.home, world.digest) as url:
        tab.open(url)
        tab.until("document.querySelector('#serving .variants')")
        serving = tab.text("#serving")
        assert world.digest[:12] in serving
        assert "100 % of users" in serving
        assert "the first" in serving
        assert "promote" in tab.text("#ledger")
        assert not tab.complaints()


def test_a_click_changes_the_next_list(tab: Any, front: Made, world: Any) -> None:
    with front(world.home, world.digest) as url:
        tab.open(url)
        tab.write("#person", "u0\n")
        tab.until("document.querySelectorAll('.shown button').length")
        before = tab.texts(".shown strong")
        tab.click(".shown button", 2)
        tab.until("document.querySelector('#said').innerText.startsWith('Took the click')")
        after = tab.texts(".shown strong")
        assert before[2] not in after
        assert after != before
        assert tab.texts(".past .fresh") == [before[2]]
        assert tab.texts(".shown .fresh"), "what came in is marked"
        assert before[2] in tab.text("#answer > p")
