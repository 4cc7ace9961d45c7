"""What Kubeflow's page of a run gets to show, from the artifacts of a real run of the steps."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.recsys import registration, showing


class Logged(dict[str, float]):
    """kfp's Metrics, as far as it is used."""

    def log(self, name: str, value: float) -> None:
        assert isinstance(value, int | float)
        self[name] = value


class Roc:
    """kfp's ClassificationMetrics, as far as it is used."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.points: list[tuple[float, float, float]] = []

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None:
        self.points = list(zip(fpr, tpr, threshold, strict=True))


def whole(page: Path) -> str:
    """A page that loads nothing: Kubeflow shows it in a frame without a network of its own."""
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "<svg" in text
    for word in ("<script", "http://", "https://", "src=", "@import"):
        assert word not in text, word
    return text


def test_the_data_has_a_page_and_its_sizes(judged: Any, tmp_path: Path) -> None:
    logged = Logged()
    showing.show_data(str(judged.parts["quality"]), str(tmp_path / "c.html"), logged.log, str(tmp_path / "m"))
    assert "The data of this run" in whole(tmp_path / "c.html")
    assert (logged["users"], logged["items"], logged["warnings"]) == (60, 30, 0)
    assert json.loads((tmp_path / "m").read_text()) == logged


def test_the_split_is_a_table(judged: Any, tmp_path: Path) -> None:
    showing.show_split(str(judged.parts["split"]), ["ease", "popularity"], str(tmp_path / "s.md"))
    text = (tmp_path / "s.md").read_text()
    assert text.startswith("# Split: user_time")
    assert "| training |" in text
    assert "Candidates, trained side by side: ease, popularity." in text


def test_a_fit_tells_its_seconds_and_what_it_learnt(judged: Any, tmp_path: Path) -> None:
    logged = Logged()
    showing.show_fit(str(judged.parts["challenger"]), logged.log, str(tmp_path / "m"))
    assert logged["fit_seconds"] >= 0
    assert showing._numbers({"parts": {"ease": {"l2": 5, "on": True}}, "kind": "x"}) == [("parts_ease_l2", 5.0)]


def test_candidates_are_compared_on_one_page(judged: Any, tmp_path: Path) -> None:
    showing.show_comparison(str(judged.parts["evaluation"]), str(tmp_path / "c.html"))
    text = whole(tmp_path / "c.html")
    assert "The candidates of this run" in text
    assert "User groups" in text


def test_the_curve_has_a_bounded_number_of_real_points_and_a_sentence(judged: Any, tmp_path: Path) -> None:
    note, roc = tmp_path / "v.md", Roc(tmp_path / "roc")
    note.write_text("# verdict\n")
    showing.show_curve({}, str(judged.parts["split"]), str(judged.parts["challenger"]), roc, str(note))
    assert 3 <= len(roc.points) <= 42
    assert all(0 <= part <= 1 for point in roc.points for part in point)
    assert note.read_text().startswith("# verdict\n\nArea under the ROC curve 0.")
    assert json.loads(Path(roc.path).read_text())["lengths"][0] == 0


def test_the_chosen_ones_metrics_are_those_of_its_evaluation(judged: Any, tmp_path: Path) -> None:
    logged = Logged()
    parts = judged.parts
    showing.show_chosen(str(parts["evaluation"]), str(parts["verdict"]), logged.log, str(tmp_path / "m"))
    chosen = json.loads((parts["verdict"] / "verdict.json").read_text())["chosen"]
    metrics = json.loads((parts["evaluation"] / chosen / "evaluation.json").read_text())["metrics"]
    assert logged["ndcg"] == metrics["ndcg"]["value"]


@pytest.mark.parametrize("outcome", ["promoted", "approved", "rejected", "unchanged"])
def test_every_outcome_of_a_registration_can_be_told(outcome: str) -> None:
    result = {
        "release": "ab" * 32,
        "outcome": outcome,
        "chosen": "ease",
        "champion": "",
        "report": "s3://r",
        "run": "1",
    }
    text = registration.release_markdown(result, "s3://b/home")
    assert text.startswith(f"# ease abababababab: {outcome}\n")
    assert "| champion now | `none` |" in text
