"""`everloop images` as people call it."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.cli import main

POD = "spec: {containers: [{image: 'r.example/ml/a:1'}, {image: 'b:2'}]}\n"


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Exit code, output and errors of `everloop images ARGUMENTS`."""

    def call(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["everloop", "images", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code)), *capsys.readouterr()

    return call


def test_it_lists_files_and_what_is_piped_in(images: Said, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("a: {image: 'c:3'}\n---\n")
    code, out, _ = images("-", str(tmp_path / "other.yaml"), stdin=POD)
    assert (code, out.split()) == (0, ["b:2", "c:3", "r.example/ml/a:1"])
    assert json.loads(images("-", "--json", stdin=POD)[1]) == {"images": ["b:2", "r.example/ml/a:1"]}


def test_an_image_from_elsewhere_is_a_no_with_its_name(images: Said) -> None:
    code, _, err = images("-", "--only-from", "r.example/ml", stdin=POD)
    assert (code, err.strip()) == (1, "error: not from r.example/ml: b:2")


@pytest.mark.parametrize(
    ("given", "stdin", "said"),
    [
        ("missing.yaml", "", "missing.yaml does not exist"),
        ("-", "", "no object there names an image"),
        ("-", "a: [", "neither YAML nor JSON"),
    ],
)
def test_unusable_input_is_told(images: Said, given: str, stdin: str, said: str) -> None:
    code, _, err = images(given, stdin=stdin)
    assert code == 2
    assert said in err
