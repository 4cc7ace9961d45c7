"""Some of the drill, as people call it: real processes, no Prometheus needed, nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCENES = ("inverted", "rollback")  # a canary taken back, and a champion put back; the others take minutes: make drill


@pytest.mark.slow
def test_scenes_played_by_the_command_go_as_they_must(tmp_path):
    folder = tmp_path / "drill"
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "drill", *SCENES, "--builtin", "--json", "--folder", str(folder)],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert result["failed_requests"] == 0
    assert [(scene["name"], scene["ok"]) for scene in result["scenes"]] == [(name, True) for name in SCENES]
    assert result["scenes"][0]["figures"]["largest_share"] < 0.25
    assert "<svg" in (folder / "report.html").read_text()
    assert not processes_over(folder)


def processes_over(folder: Path) -> list[str]:
    """Commands of processes that still have the folder in their arguments."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def test_a_folder_that_holds_something_else_is_not_emptied(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "drill", "steady", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "holds something that is no drill" in done.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_a_scene_that_is_not_known_is_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "drill", "stedy", "--folder", str(tmp_path / "drill")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no scene 'stedy'; known are steady, shift" in done.stderr
