from typing import Any

from components.recsys.card import card

SECTIONS = ["Model", "Intended use", "Data", "Training", "Metrics", "Limits", "Reproduce, roll back"]


def manifest(**more: Any) -> dict[str, Any]:
    return {
        "model": "ease",
        "config": {"l2": 500.0},
        "learnt": {"l2": 200.0},
        "code_version": "0.1.0",
        "refit": True,
        "settings": {"train": {"seed": 42}},
        "split": {"kind": "user_time", "train": 800, "validation": 100, "test": 100},
        "data": {"events": {"rows": 1000, "sha256": "ee" * 32}, "users": None},
        **more,
    }


def evaluation(group: str = "warm", judged: bool = True) -> dict[str, Any]:
    figures = {
        "ndcg": {"value": 0.24, "low": 0.22, "high": 0.26},
        "coverage": {"value": None, "low": None, "high": None},
    }
    part = {"attribute": "activity", "group": group, "users": 1300, "judged": judged, "metrics": figures}
    return {"k": 10, "users": 1312, "metrics": figures, "slices": [part], "notes": ["5 users took nothing new"]}


SUMMARY = {"rows": 1000, "users": 50, "items": 20, "first": "2025-03-01 10:00:00", "last": "2025-04-02 10:00:00"}


def test_a_card_tells_use_data_training_quality_limits_and_the_way_back() -> None:
    text = card(manifest(), None, evaluation(), SUMMARY)
    assert [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")] == SECTIONS
    for said in (
        "1,000 events of 50 users on 20 items, from 2025-03-01 to 2025-04-02",
        "ee" * 32,
        '`{"l2": 200.0}`',
        "Seed: 42",
        "800 train, 100 validation, 100 test events",
        "fitted once more on all events",
        "| nDCG@10 | 0.240 [0.220, 0.260] |",
        "| coverage | unknown |",
        "| activity warm | 1,300 | 0.240 [0.220, 0.260] |",
        "5 users took nothing new.",
        "everloop reproduce DIGEST",
        "everloop rollback",
    ):
        assert said in text, said


def test_a_card_is_the_same_for_the_same_release() -> None:
    assert card(manifest(), None, evaluation(), SUMMARY) == card(manifest(), None, evaluation(), SUMMARY)


def test_a_group_too_small_to_judge_is_marked() -> None:
    assert "activity cold (too few to judge)" in card(manifest(), None, evaluation("cold", judged=False), SUMMARY)


def test_a_model_without_a_test_part_does_not_claim_quality() -> None:
    text = card({"model": "ease"}, None, None, None)
    assert "nothing is known about its quality" in text
    assert "## Training" not in text


def test_what_the_gate_said_and_the_digest_are_told_when_known() -> None:
    verdict = {"outcome": "promoted", "reasons": ["nDCG@10 beats the champion"]}
    text = card(manifest(digest="9f2c" * 16), verdict, evaluation(), SUMMARY)
    assert "## The gate: promoted\n\n- nDCG@10 beats the champion" in text
    assert f"everloop reproduce {'9f2c' * 16}" in text


def test_a_group_name_cannot_break_out_of_its_cell() -> None:
    text = card(manifest(), None, evaluation("a | b\n# <script>"), SUMMARY)
    assert "<script>" not in text
    assert "| activity a \\| b # &lt;script> | 1,300 |" in text
