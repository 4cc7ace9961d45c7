import json

import pytest

from components.recsys.home import Home
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
