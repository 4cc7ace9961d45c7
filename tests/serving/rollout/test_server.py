"""What the engine's process does when its disk does not let it."""

from pathlib import Path

from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.settings import Settings
from components.recsys.statuses import Statuses
from serving.logs import log
from serving.rollout.measures import Measures
from serving.rollout.server import Loop


def test_a_disk_that_refuses_is_a_fault_that_is_told_and_passes(tmp_path):
    home = Home(tmp_path)
    Ledger(home).append("promote", "a" * 64, "the first")
    (tmp_path / "online").mkdir()
    barrier = tmp_path / "online" / "predictors"
    barrier.write_text("")  # nothing can be written below it
    loop = Loop(home, Settings(), Measures())
    loop.turn()
    assert "predictors" in Statuses(home.store).read("rollout").facts["fault"]
    barrier.unlink()
    try:
        loop.turn()
        assert Statuses(home.store).read("rollout").facts["fault"] == ""
        assert Statuses(home.store).read("rollout").facts["champion"] == "a" * 64
    finally:
        loop.predictors.stop_all()


def test_a_fault_that_the_engine_sees_reaches_its_status(tmp_path, monkeypatch):
    home = Home(tmp_path)
    loop = Loop(home, Settings(), Measures())
    monkeypatch.setattr(loop.engine, "turn", lambda: {"rollout": "", "fault": "the clock went back", "predictors": []})
    monkeypatch.setattr(loop.measures, "take", lambda *arguments: None)
    loop.turn()
    assert Statuses(home.store).read("rollout").facts["fault"] == "the clock went back"


def test_a_line_for_a_full_disk_ends_nobody(monkeypatch):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        log("predictor started", release="9f2c")
        monkeypatch.undo()
        full.buffer.raw.close()
