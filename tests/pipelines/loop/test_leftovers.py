import sys

from pipelines.loop.leftovers import Leftovers
from pipelines.loop.process import Part


def sleeping(tmp_path, name):
    part = Part(name, [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / f"{name}.log")
    part.start()
    return part


def test_what_a_killed_supervisor_left_is_ended_and_said(tmp_path):
    part, said = sleeping(tmp_path, "gateway"), []
    Leftovers(tmp_path / "parts.json").note([part])
    Leftovers(tmp_path / "parts.json").end(said.append)
    assert part.process.wait(timeout=10) == -15
    assert said == [f"gateway (process {part.pid}) was left by an everloop that was killed; ended"]
    assert not (tmp_path / "parts.json").exists()


def test_a_number_that_another_process_has_now_is_left_alone(tmp_path):
    part = sleeping(tmp_path, "other")
    (tmp_path / "parts.json").write_text(f'{{"gateway": [{part.pid}, "another boot:1"]}}')
    Leftovers(tmp_path / "parts.json").end(lambda text: None)
    assert part.alive
    part.stop()


def test_nothing_or_nonsense_written_down_is_nothing_to_end(tmp_path):
    Leftovers(tmp_path / "parts.json").end(lambda text: None)
    (tmp_path / "parts.json").write_text("[]]")
    Leftovers(tmp_path / "parts.json").end(lambda text: None)
