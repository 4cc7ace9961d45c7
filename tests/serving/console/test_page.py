"""The console in a real browser: what it shows, what it does, and what it says when a part is down."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.recsys.events import ingest
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.routes import Routes, Target
from components.recsys.settings import Settings
from components.recsys.statuses import Statuses
from serving.rollout.state import Rollout, Rollouts

Made = Callable[..., Any]
HOSTILE = "<img src=x onerror=\"document.title='taken over'\">"
LONG = "an-id-without-a-single-blank-" * 8
DRIFT = {
    "kind": "data",
    "feature": "organic.class",
    "distance": 0.34,
    "limit": 0.11,
    "p_value": 0.001,
    "detected": True,
    "judged": True,
    "moved": "economy 31 % -> 52 %",
}


@pytest.fixture
def home(world: Any) -> Home:
    return Home(world.home)


@pytest.fixture
def url(world: Any, gateway: Made) -> Iterator[str]:
    with gateway(world.home, world.digest) as made:
        yield made


def opened(tab: Any, url: str) -> Any:
    tab.open(url)
    tab.until("document.querySelector('#serving .variants')")
    return tab


def say(home: Home, part: str, facts: dict[str, Any], time: str = "") -> None:
    """A part's word; with a time, one that it said then."""
    Statuses(home.store).write(part, facts)
    if time:
        key = f"status/{part}.json"
        home.store.write(key, json.dumps({**json.loads(home.store.read(key)), "time": time}).encode())


def test_shows_who_serves_and_why(tab: Any, url: str, world: Any) -> None:
    opened(tab, url)
    serving = tab.text("#serving")
    assert world.digest[:12] in serving
    assert "100 % of users" in serving
    assert "the first" in serving
    assert "promote" in tab.text("#ledger")
    assert not tab.complaints(), "nothing failed, and the policy refused nothing"


def test_a_click_changes_the_next_list(tab: Any, url: str) -> None:
    opened(tab, url)
    tab.write("#person", "u0\n")
    tab.until("document.querySelectorAll('.shown button').length")
    before = tab.texts(".shown strong")
    assert all(title.startswith("Film ") for title in before)
    assert "because of Film" in tab.text(".shown")
    tab.click(".shown button", 2)
    tab.until("document.querySelector('#said').innerText.startsWith('Took the click')")
    assert before[2] not in tab.texts(".shown strong")
    assert tab.texts(".past .fresh") == [before[2]]
    assert tab.texts(".shown .fresh"), "what came in is marked"
    assert before[2] in tab.text("#answer > p")
    assert "Answered by champion" in tab.text("#answer")
    assert not tab.complaints()


def test_all_of_it_works_with_the_keyboard(tab: Any, url: str) -> None:
    opened(tab, url)
    tab.write("#person", "u1\n")
    tab.until("document.querySelectorAll('.shown button').length")
    tab.press("Tab", 9)  # to the button beside the field
    tab.press("Tab", 9)  # to the first item
    chosen = tab.js("document.activeElement.querySelector('strong').innerText")
    tab.press("Enter", 13, "\r")
    tab.until(f"document.querySelector('#said').innerText.includes({json.dumps(chosen)})")
    assert tab.js("document.activeElement.dataset.item"), "the focus is on the new list"


def test_somebody_unknown_gets_what_is_popular_and_is_told_so(tab: Any, url: str) -> None:
    opened(tab, url)
    tab.write("#person", "nobody yet\n")
    tab.until("document.querySelectorAll('.shown button').length")
    assert "nobody has seen this person yet" in tab.text("#said")


def test_people_can_be_chosen_from_a_list(tab: Any, url: str) -> None:
    opened(tab, url)
    tab.until("document.querySelectorAll('#people option').length")
    assert "u0" in tab.js("[...document.querySelectorAll('#people option')].map(each => each.value)")


def test_a_silent_part_never_looks_as_if_all_were_well(tab: Any, url: str, home: Home) -> None:
    say(home, "monitor", {"drift": [DRIFT], "quality": {"variants": []}})
    opened(tab, url)
    tab.until("!document.querySelector('#drift').classList.contains('stale')")
    assert "Drifting: organic.class" in tab.text("#drift")
    assert "alive" in tab.texts("#parts li")[2]
    say(home, "monitor", {"drift": [], "quality": {"variants": []}}, time="2026-01-02T03:04:05.000+00:00")
    tab.until("document.querySelector('#drift').classList.contains('stale')")
    assert "the monitor is silent; this is its word of" in tab.text("#drift")
    assert "silent since 2026-01-02 03:04:05" in tab.texts("#parts li")[2]
    assert "silent" in tab.js("document.querySelectorAll('#parts li')[2].className")


def test_a_part_that_never_spoke_is_not_good_news(tab: Any, url: str) -> None:
    opened(tab, url)
    assert "not the same as no drift" in tab.text("#drift")
    assert "never a word of the monitor" in tab.text("#drift")
    assert "never said a word" in tab.text("#parts")


def test_without_the_gateway_a_banner_says_since_when(tab: Any, gateway: Made, world: Any) -> None:
    with gateway(world.home, world.digest) as url:
        opened(tab, url)
        assert not tab.text("#banner")
        port = int(url.rsplit(":", 1)[1])
    tab.until("document.body.classList.contains('gone')")
    assert "The gateway has not answered since" in tab.text("#banner")
    assert world.digest[:12] in tab.text("#serving"), "the last state is kept"
    assert "does not answer" in tab.texts("#parts li")[0]
    assert "alive" not in tab.text("#parts"), "on whose word?"
    with gateway(world.home, world.digest, port):
        tab.until("!document.body.classList.contains('gone')")
        assert not tab.text("#banner")


def test_guards_and_steps_of_a_rollout(tab: Any, url: str, home: Home, world: Any) -> None:
    other = world.release(l2=9.0)
    approval = Ledger(home).append("approve", other, "beats the champion")
    rollout = Rollout.begin(approval, world.digest, "2026-11-24T10:00:00+00:00")
    for step, share in enumerate((0.05, 0.25)):
        rollout = rollout.moved("step", "2026-11-24T11:00:00+00:00", "no guard is broken", share=share, step=step)
    Rollouts(home.store).write(rollout)
    interval = {"low": -0.2, "value": 0.02, "high": 0.3, "limit": 0.1}
    guard = {
        "guard": "clicks",
        "state": "undecided",
        "sentence": "click rate 11.0 %",
        "figures": {"users": 812},
        "interval": interval,
    }
    say(
        home,
        "rollout",
        {"rollout": rollout.id, "steps": [0.05, 0.25, 1.0], "guards": [{**guard, "trail": [interval] * 5}]},
    )
    champion = Routes.read(home.store).champion  # type: ignore[union-attr]
    Routes(9, champion, Target(other, champion.urls), 0.25, salt="s", rollout=rollout.id).write(home.store)  # type: ignore[union-attr]
    opened(tab, url)
    tab.until("document.querySelector('#serving .split .candidate')")
    assert tab.texts("#rollout .steps li") == ["5 % ✓", "25 % now", "100 %"]
    assert "click rate 11.0 %" in tab.text("#rollout .guards")
    assert "between -0.2 and 0.3, limit 0.1" in tab.js("document.querySelector('#rollout .meter').ariaLabel")
    assert tab.js("document.querySelectorAll('#rollout .spark').length") == 1
    widths = tab.js("[...document.querySelectorAll('#serving .split span')].map(each => each.offsetWidth)")
    assert widths[1] / sum(widths) == pytest.approx(0.25, abs=0.02)


def test_what_the_controller_decided_and_what_holds_it(tab: Any, url: str, home: Home) -> None:
    decision = {
        "time": "2026-11-24T11:04:10+00:00",
        "state": "SUPPRESSED",
        "alert": "DriftDetected",
        "reason": "cooldown: a run began 2 min ago",
        "run": "",
    }
    say(home, "controller", {"decisions": [decision], "paused": "the data team asked", "budget": {"used": 1, "of": 4}})
    opened(tab, url)
    tab.until("document.querySelector('#controller .decisions li')")
    said = tab.text("#controller")
    assert "Paused: the data team asked." in said
    assert "suppressed" in said
    assert "cooldown: a run began 2 min ago" in said
    assert "1 of at most 4 runs" in said


def test_a_refresh_keeps_what_was_opened_and_where_the_focus_is(tab: Any, url: str, home: Home, world: Any) -> None:
    opened(tab, url)
    tab.click("#ledger summary")
    tab.until("document.querySelector('#ledger details').open")
    Ledger(home).append("reject", world.digest, "not shown to be better")
    tab.until("document.querySelectorAll('#ledger details').length === 2")
    assert tab.js("[...document.querySelectorAll('#ledger details')].map(each => each.open)") == [False, True]
    assert tab.js("document.activeElement.dataset.key") == "1"


def test_a_ledger_that_was_changed_by_hand_is_said_and_the_rest_is_shown(tab: Any, url: str, home: Home) -> None:
    home.store.write("ledger/0000000002.json", b"{}")
    tab.open(url)
    tab.until("document.querySelector('#ledger .bad')")
    assert "changed by hand" in tab.text("#ledger")
    assert "100 % of users" in tab.text("#serving")


@pytest.fixture
def hostile(tmp_path: Path, small_world: Any) -> tuple[Path, str]:
    """A home whose titles, people, reasons and words are markup."""
    made = Path(shutil.copytree(small_world.home, tmp_path / "hostile"))
    home = Home(made)
    with (tmp_path / "items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "title", "genres", "year", "price", "family"])
        rows.writerows([f"f{film}", f"{HOSTILE} {film} {LONG}", "Drama", 1990, film, True] for film in range(24))
    got = ingest(home, {"events": [], "items": str(tmp_path / "items.csv")}, Settings().data)
    digest = small_world.__class__(made, small_world.digest, got.data).release(l2=7.0)
    Ledger(home).append("promote", digest, f"{HOSTILE} {LONG}")
    say(
        home,
        "monitor",
        {
            "drift": [{**DRIFT, "feature": HOSTILE, "moved": f"{HOSTILE}{LONG}"}],
            "report": "javascript:alert(1)",
            "faults": [HOSTILE],
            "quality": {"variants": [{"variant": HOSTILE, "release": LONG}], "sentence": HOSTILE},
        },
    )
    say(
        home,
        "controller",
        {"decisions": [{"time": "", "state": HOSTILE, "alert": HOSTILE, "reason": LONG, "run": LONG}]},
    )
    return made, digest


@pytest.mark.parametrize("width", [390, 1280])
def test_markup_in_data_is_text_and_long_words_break(
    tab: Any, gateway: Made, hostile: tuple[Path, str], width: int
) -> None:
    tab.size(width, 844, mobile=width < 600)
    with gateway(*hostile) as url:
        opened(tab, url)
        tab.write("#person", f"{HOSTILE[:150]}\n")
        tab.until("document.querySelectorAll('.shown button').length")
        assert tab.texts(".shown strong")[0].startswith(HOSTILE)
        for section in ("drift", "quality", "controller", "ledger"):
            assert "<img" in tab.text(f"#{section}"), section
        assert tab.js("document.querySelectorAll('img').length") == 0
        assert tab.js("document.title") == "Everloop console"
        assert not tab.js("[...document.querySelectorAll('a')].some(each => each.href.startsWith('javascript'))")
        assert tab.js("document.scrollingElement.scrollWidth") <= width
        assert not tab.complaints()


def test_it_asks_nothing_while_nobody_looks(tab: Any, url: str) -> None:
    opened(tab, url)
    tab.js("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    tab.js("new Promise(done => setTimeout(done, 300))")  # what was asked before is answered
    asked = "performance.getEntriesByType('resource').filter(each => each.name.endsWith('/v1/state')).length"
    before = tab.js(asked)
    tab.js("new Promise(done => setTimeout(done, 2500))")
    assert tab.js(asked) == before
    tab.js("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    tab.until(f"{asked} > {before}")


def test_every_section_has_a_heading_and_every_field_a_label(tab: Any, url: str) -> None:
    opened(tab, url)
    assert tab.js("document.documentElement.lang") == "en"
    assert tab.js("document.querySelectorAll('h1').length") == 1
    named = "document.getElementById(each.getAttribute('aria-labelledby'))?.matches('h2')"
    assert tab.js(f"[...document.querySelectorAll('section')].every(each => {named})")
    assert tab.js("[...document.querySelectorAll('input')].every(each => each.labels.length === 1)")
    assert tab.js(
        "[...document.querySelectorAll('nav a')].every(each => document.querySelector(each.getAttribute('href')))"
    )
