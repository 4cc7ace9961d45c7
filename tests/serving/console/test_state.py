"""What the page is told, whatever lies in the home."""

import json
import math
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.recsys.errors import NotFound
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.routes import Routes, Target
from components.recsys.statuses import PARTS, Statuses
from serving.console import CSP, latest_report, page, state
from serving.console.state import plain
from serving.rollout.state import Rollout, Rollouts

NAMES = (
    "drift",
    "quality",
    "decisions",
    "report",
    "faults",
    "guards",
    "steps",
    "rollout",
    "budget",
    "blocks",
    "breaker",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from((*NAMES, "kind", "feature")), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def approved(home: Home) -> Rollout:
    Ledger(home).append("promote", "a" * 64, "the first")
    approval = Ledger(home).append("approve", "b" * 64, "beats the champion")
    return Rollout.begin(approval, "a" * 64, "2026-11-24T10:00:00+00:00")


def test_of_an_empty_home_nothing_is_said_to_be_well(home: Home) -> None:
    seen = state(home, {})
    assert seen["serving"]["variants"] == []
    assert [seen[name] for name in ("rollout", "drift", "quality", "controller")] == [None] * 4
    assert [part["stale"] for part in seen["parts"]] == [False, True, True, True]


def test_before_any_routes_the_ledgers_champion_serves(home: Home) -> None:
    Ledger(home).append("promote", "a" * 64, "the first")
    (only,) = state(home, {})["serving"]["variants"]
    assert (only["release"], only["share"], only["why"]) == ("a" * 64, 1.0, "the first")


def test_shares_add_up_and_each_has_its_reason(home: Home) -> None:
    approved(home)
    Ledger(home).append("share", "b" * 64, "5 % of users", evidence={"share": 0.05})
    Routes(3, Target("a" * 64, ()), Target("b" * 64, ()), 0.05).write(home.store)
    champion, candidate = state(home, {})["serving"]["variants"]
    assert champion["share"] + candidate["share"] == 1.0
    assert (champion["why"], candidate["why"]) == ("the first", "5 % of users")


def test_routes_that_do_not_follow_the_ledger_are_named(home: Home) -> None:
    Ledger(home).append("promote", "a" * 64, "the first")
    Routes(3, Target("c" * 64, ())).write(home.store)
    (fault,) = state(home, {})["serving"]["faults"]
    assert "aaaaaaaaaaaa" in fault
    assert "cccccccccccc is routed" in fault


def test_an_aborted_rollout_shows_where_it_was_stopped_and_why(home: Home) -> None:
    guards = [{"guard": "clicks", "state": "broken", "sentence": "61 % of clicks lost", "figures": {}}]
    rollout = approved(home).moved("step", "2026-11-24T11:00:00+00:00", "its predictor answers", share=0.05, step=0)
    ended = rollout.moved(
        "aborted", "2026-11-24T12:00:00+00:00", "clicks: 61 % lost", guards, broken="clicks", share=0.0
    )
    Rollouts(home.store).write(ended)
    Statuses(home.store).write("rollout", {"rollout": ended.id, "steps": [0.05, 0.25, 1.0], "guards": []})
    seen = state(home, {})["rollout"]
    assert seen["steps"] == [{"share": 0.05, "state": "stopped"}]
    assert seen["guards"][0]["sentence"] == "61 % of clicks lost"
    assert seen["why"] == "clicks: 61 % lost"


def test_guards_of_another_rollout_are_not_shown(home: Home) -> None:
    rollout = approved(home).moved("step", "2026-11-24T11:00:00+00:00", "its predictor answers", share=0.05, step=0)
    Rollouts(home.store).write(rollout)
    Statuses(home.store).write(
        "rollout", {"rollout": "r-0000000001", "guards": [{"guard": "clicks", "state": "passes"}]}
    )
    assert state(home, {})["rollout"]["guards"] == []


def test_drifting_features_come_first_then_the_nearest_to_their_limit(home: Home) -> None:
    features = [("far", 0.01, False), ("near", 0.09, False), ("drifts", 0.3, True)]
    drift = [{"feature": name, "distance": far, "limit": 0.1, "detected": seen} for name, far, seen in features]
    Statuses(home.store).write("monitor", {"drift": drift})
    assert [each["feature"] for each in state(home, {})["drift"]["features"]] == ["drifts", "near", "far"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.sampled_from(PARTS), word=JSON | st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5))
def test_whatever_a_part_writes_the_rest_is_shown(home: Home, part: str, word: Any) -> None:
    Rollouts(home.store).write(Rollout("r-1", "b", "a", "s", 1, "why", "2026-11-24", "2026-11-24", "step"))
    home.store.write(f"status/{part}.json", json.dumps({"time": "2026-11-24T10:00:00+00:00", "facts": word}).encode())
    seen = state(home, {"lists": 1})
    home.store.delete(f"status/{part}.json")
    json.dumps(seen, allow_nan=False)
    assert len(seen["parts"]) == len(PARTS)


@pytest.mark.parametrize("key", ["routes.json", "rollouts/r-1.json", "status/monitor.json", "ledger/0000000001.json"])
@pytest.mark.parametrize("junk", [b"", b"[]", b"\xff", b'{"time": "now", "facts": []}'])
def test_junk_in_the_home_is_a_sentence_and_no_crash(home: Home, key: str, junk: bytes) -> None:
    home.store.write(key, junk)
    seen = state(home, {})
    said = [*seen["faults"], *seen["serving"]["faults"], seen["ledger"]["fault"]]
    assert any(said) or key.startswith("status")


def test_numbers_that_json_does_not_have_become_null() -> None:
    assert plain({"a": [math.nan, math.inf, 1.5]}) == {"a": [None, None, 1.5]}


def test_the_policy_names_the_pages_own_style_and_script_and_nothing_else() -> None:
    assert CSP.count("sha256-") == 2
    assert "unsafe" not in CSP
    html = page().decode()
    assert not re.search(r"<[^>]*\s(on\w+|style)=", html.split("<script>")[0]), "no handlers or styles in attributes"
    assert "innerHTML" not in html
    assert 'src="' not in html


def test_the_newest_report_is_shown_in_a_sandbox(world: Any, gateway: Any) -> None:
    home = Home(world.home)
    with pytest.raises(NotFound, match="no report yet"):
        latest_report(home)
    key = "monitor/reports/2026-11-24T133000.html"
    home.store.write(key, b"<p>a report</p>")
    Statuses(home.store).write("monitor", {"drift": [], "report": f"{home.url}/{key}"})
    assert state(home, {})["drift"]["report"] == "v1/report"
    with gateway(world.home, world.digest) as url:
        answer = httpx.get(f"{url}/v1/report")
    assert answer.content == b"<p>a report</p>"
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")


@pytest.mark.parametrize(
    "named", ["keys/pseudonyms", "file:///etc/passwd", "monitor/reports/../../keys/pseudonyms", "javascript:1"]
)
def test_only_reports_can_be_asked_for(home: Home, named: str) -> None:
    home.store.write("keys/pseudonyms", b"secret")
    Statuses(home.store).write("monitor", {"drift": [], "report": named})
    assert state(home, {})["drift"]["report"] == ""
    with pytest.raises(NotFound):
        latest_report(home)
