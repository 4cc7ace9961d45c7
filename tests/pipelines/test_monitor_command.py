import json

import pytest

from components.recsys.home import Home
from pipelines import console
from pipelines.commands.monitor import monitor


def test_one_look_at_an_empty_home_is_an_answer(tmp_path, capsys):
    assert monitor(once=True, home=str(tmp_path / "home"), json=True) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["drift"] == []
    assert facts["drift_sentence"].startswith("nothing is known yet")
    assert Home(tmp_path / "home").store.list("status") == ["status/monitor.json"]


def test_people_are_told_in_words(tmp_path, capsys):
    assert monitor(once=True, home=str(tmp_path / "home")) == 0
    assert "the home has no events" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_look_that_failed_is_exit_code_3(tmp_path, content, capsys):
    (tmp_path / "home" / "tables" / "events" / "_delta_log").mkdir(parents=True)
    (tmp_path / "home" / "tables" / "events" / "_delta_log" / "00000000000000000000.json").write_text(content)
    assert monitor(once=True, home=str(tmp_path / "home"), json=True) == 3
    assert json.loads(capsys.readouterr().out)["faults"]


LONG = "the baseline is not over yet: the last window is part of it, and until then nothing can be said of this feature"


def finding(feature: str, distance: float | None, untested: str = "") -> dict[str, object]:
    told = {"feature": feature, "kind": "data", "distance": distance, "limit": None, "p_value": None}
    return {**told, "detected": False, "judged": not untested, "untested": untested}


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look whose facts hold what is hard to show: no data, and a sentence longer than a terminal is wide."""
    facts = {
        "drift": [
            finding("organic.a_feature_with_quite_a_long_name", None, "0 rows in the last window, 500 needed"),
            finding("lists.class", 0.25, LONG),
        ],
        "drift_sentence": "nothing can be said yet",
        "quality": {},
        "report": "",
        "report_note": "",
        "faults": [],
        "detected": False,
    }

    class Looked:
        def __init__(self, *_: object) -> None: ...

        def look(self, **_: object) -> dict[str, object]:
            return facts

    monkeypatch.setattr("monitoring.watching.watch.Watch", Looked)


def test_a_feature_without_data_says_so_and_a_pipe_keeps_every_column(looked, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(console.out, "_width", console.PIPED_WIDTH)
    assert monitor(once=True, home=str(tmp_path)) == 0
    shown = capsys.readouterr().out
    [row] = [line for line in shown.splitlines() if "a_feature_with_quite_a_long_name" in line]
    assert "no data" in row
    assert "0.000" not in row
    assert any("0.250" in line and LONG in line for line in shown.splitlines())
    assert "\u2026" not in shown


def test_at_80_columns_sentences_take_more_lines_and_nothing_is_cut(looked, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(console.out, "_width", 80)
    assert monitor(once=True, home=str(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "a_feature_with_quite_a_long_name" in shown
    assert "\u2026" not in shown
    assert LONG.split()[-1] in shown
