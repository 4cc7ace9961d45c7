import sys

import pytest

from components.recsys.errors import StoreError
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.settings import Settings
from pipelines.loop import loop as loops
from pipelines.loop.leftovers import Leftovers
from pipelines.loop.process import Part


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    Ledger(home).append("promote", "a" * 64, "the first")
    return home


def running(tmp_path, home):
    """A part that a loop on this home has written down."""
    part = Part("gateway", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "gateway.log")
    part.start()
    Leftovers(home.local / "loop" / "parts.json").note([part])
    return part


def test_a_second_loop_on_a_home_is_refused_and_the_first_ones_parts_live_on(tmp_path, home, monkeypatch):
    monkeypatch.setattr(loops, "ALONE_SECONDS", 0.1)
    part = running(tmp_path, home)
    try:
        with home.lock("loop"), pytest.raises(StoreError, match="holds"):
            loops.Loop(home, Settings(), builtin=True).start()
        assert part.alive
        assert (home.local / "loop" / "parts.json").exists()
    finally:
        part.stop()


def test_a_loop_that_cannot_start_frees_the_home_and_forgets_no_leftovers(tmp_path, home, monkeypatch):
    part = running(tmp_path, home)
    (home.local / "loop" / "settings.yaml").mkdir()  # cannot be written
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            loops.Loop(home, Settings(), builtin=True).start()
        assert (home.local / "loop" / "parts.json").exists()
        with home.lock("loop", wait_seconds=0):
            pass
    finally:
        part.stop()
