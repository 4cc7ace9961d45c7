import re
from typing import Any

import pytest

from components.recsys.report.drill import drill_page, drill_picture, told_figure

HOSTILE = "<img src=x onerror=alert(1)>$x_1$"


def result(**changes: Any) -> dict[str, Any]:
    """A drill as it goes: a shift on day 90, recovered on day 106, a bad release from day 110."""
    days = list(range(60, 130))
    falling = [0.30 if day < 90 else 0.19 if day < 106 else 0.29 for day in days]
    shares = [
        0.05 if 100 <= day < 103 else 0.25 if 103 <= day < 106 else 0.05 if 110 <= day < 112 else 0.0 for day in days
    ]
    marks = [
        (90, "people turn to economy flights"),
        (97, "drift seen, the alert fired"),
        (100, "the run ended: approved"),
    ]
    marks += [(106, "promoted"), (110, "a release with inverted scores is forced past the gate"), (112, "aborted")]
    marks += [(112, "1,000 copies of an alert"), (120, "rolled back by hand")]
    scenes = [
        {"name": "shift", "title": "people turn to economy flights", "ok": True, "seconds": 171.2,
         "figures": {"of_informed": 0.973, "days_to_alert": 7, "shares": [0.05, 0.25, 1.0], "model": "ease"},
         "evidence": ["alert: DriftDetected"]},
        {"name": "bad-data", "title": "bad data", "ok": True, "seconds": 21.0, "figures": {"paged": True}, "evidence": []},
    ]  # fmt: skip
    return {
        "label": "Synthetic travel world, not real data",
        "failed_requests": 0,
        "requests": 41_234,
        "seconds": 431.4,
        "watched_by": "Prometheus and Alertmanager",
        "scenes": scenes,
        "timeline": {
            "days": days,
            "click_rate": [rate + 0.01 * ((day * 7) % 5 - 2) / 2 for day, rate in zip(days, falling, strict=True)],
            "share": shares,
            "marks": [{"day": day, "text": text} for day, text in marks],
            "oracle_rate": 0.295,
        },
        **changes,
    }


def test_the_page_tells_each_scene_with_its_figures() -> None:
    page = drill_page(result())
    assert "All scenes went as they must; no client saw a failed request" in page
    assert "41,234 requests" in page
    assert "of informed&nbsp;<strong>97.3 %</strong>" in page
    assert "shares&nbsp;<strong>5 %, 25 %, 100 %</strong>" in page
    assert "paged&nbsp;<strong>yes</strong>" in page
    assert "alert: DriftDetected" in page


def test_it_loads_nothing_and_runs_nothing() -> None:
    page = drill_page(result())
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#)', page)


def test_a_scene_that_is_not_ok_is_not_hidden() -> None:
    scenes = [*result()["scenes"], {"name": "storm", "title": "an alert storm", "ok": False, "seconds": 9.0,
                                    "figures": {"runs": 2}, "evidence": ["NOT SO: 2 runs"]}]  # fmt: skip
    page = drill_page(result(scenes=scenes))
    assert "1 of 3 scenes did not go as they must" in page
    assert "<details open><summary>an alert storm" in page
    assert "All scenes" not in page


def test_failed_requests_are_a_failure_of_the_drill() -> None:
    page = drill_page(result(failed_requests=3, failures=["503"]))
    assert "clients saw 3 failed requests" in page
    assert 'class="verdict stopped"' in page


def test_the_picture_names_every_mark() -> None:
    picture, page = drill_picture(result()), drill_page(result())
    assert picture.startswith("<svg")
    for mark in result()["timeline"]["marks"]:
        assert mark["text"] in picture, "read aloud"
        assert f"{mark['text']} <small>(day {mark['day']})" in page
    assert ">6–7<" in picture, "two marks of one day share a label"


@pytest.mark.parametrize(
    "timeline",
    [{}, {"days": [60], "click_rate": [0.3]}, {"days": [60, 61], "click_rate": [0.3, 0.2], "oracle_rate": None}],
)
def test_a_short_drill_has_a_page_too(timeline: dict[str, Any]) -> None:
    assert ("<svg" in drill_page(result(timeline=timeline))) == (len(timeline.get("days", [])) > 1)


def test_a_drill_without_a_scene_is_no_success() -> None:
    assert "No scene was played" in drill_page({"scenes": []})


def test_what_came_with_the_data_is_text() -> None:
    hostile = {
        "name": HOSTILE,
        "title": HOSTILE,
        "ok": False,
        "seconds": 1.0,
        "figures": {HOSTILE: HOSTILE},
        "evidence": [HOSTILE],
    }
    marks = {**result()["timeline"], "marks": [{"day": 70, "text": HOSTILE}]}
    page = drill_page(result(scenes=[hostile], timeline=marks, label=HOSTILE, failures=[HOSTILE]))
    assert "<img" not in page


def test_equal_drills_give_equal_pages() -> None:
    assert drill_page(result()) == drill_page(result())


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("largest_share", 0.05, "5 %"), ("lists", 12345, "12,345"), ("guard", "", "none"), ("seconds", 3.25, "3.25"),
     ("click_rate_informed", 0.2951, "29.5 %"), ("runs", 0, "0"), ("shares", [], "none")],
)  # fmt: skip
def test_figures_in_words(name: str, value: Any, told: str) -> None:
    assert told_figure(name, value) == told
