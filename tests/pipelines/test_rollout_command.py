"""`everloop rollout` for people: what they read at 80 columns, and how a home releases."""

from pathlib import Path

from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.policy import gradual
from serving.rollout.state import Rollout, Rollouts

A, B = "a" * 64, "b" * 64
WHY = "beats the champion by nDCG +0.012 [0.004, 0.020] over 1,200 users and by coverage +0.03, no slice is worse"


def test_times_and_states_stay_whole_at_80_columns_and_sentences_take_more_lines(tmp_path: Path, everloop) -> None:
    home = Home(tmp_path)
    Ledger(home).append("promote", A, "the first")
    begun = Rollout.begin(Ledger(home).append("approve", B, WHY), A, "2026-03-02T12:00:00.000000+00:00")
    guards = [{"guard": "coverage", "state": "undecided", "sentence": WHY}]
    Rollouts(home.store).write(
        begun.moved("step", begun.began, "its predictor answers", step=0, share=0.05, epoch=2).moved(
            "aborted", begun.began, WHY, guards, broken="clicks"
        )
    )
    done = everloop("rollout", "status", "--home", str(tmp_path), env={"COLUMNS": "80"})
    assert done.code == 0, done.err
    for word in ("2026-03-02T12:00:00", "waiting", "aborted", "5%", "coverage", "undecided"):
        assert word in done.out
    assert "\u2026" not in done.out
    assert done.out.count("slice is worse") == 3
    tables = done.out[done.out.index("Guards") : done.out.index("next:")]
    assert max(map(len, tables.splitlines())) <= 80


def test_a_home_goes_back_to_releasing_directly(tmp_path: Path, everloop) -> None:
    policy = ("rollout", "policy", "--home", str(tmp_path), "--json")
    assert everloop(*policy).json == {"policy": "direct"}
    assert everloop(*policy, "gradual").json == {"policy": "gradual"}
    assert gradual(Home(tmp_path).store)
    assert everloop(*policy).json == {"policy": "gradual"}
    assert everloop(*policy, "direct").json == {"policy": "direct"}
    assert not gradual(Home(tmp_path).store)
    wrong = everloop(*policy, "sometimes")
    assert (wrong.code, "gradual and direct" in wrong.err) == (2, True)
