"""Promotions and ways back, on a real repository and a real home: what is committed, and what is refused."""

import subprocess
from pathlib import Path

import pytest
import yaml

from components.recsys.ledger import Ledger
from components.recsys.release import SHORT
from pipelines.gitops.environments import model_path

NOTHING = "0" * 64


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_a_promotion_is_one_commit_that_changes_model_yaml_alone_and_says_who_and_why(
    gitops, repository, champion, approved
) -> None:
    before = repository.commits()
    done = gitops("promote", approved[:8], "--env", "staging", "--reason", "approved by\nthe team", "--json")
    assert done.code == 0, done.err
    assert (done.json["stable"], done.json["candidate"]) == (champion, approved)
    assert repository.commits() == before + 1
    assert git(repository.bare, "show", "--format=", "--name-only", "main") == model_path("staging")
    message = repository.message()
    assert message.splitlines()[0] == f"staging: candidate {approved[:SHORT]}"
    for line in (
        f"Release: {approved}",
        "Run: run-2",
        "Verdict: beats the champion: nDCG +0.012 [0.004, 0.020]",
        "Why: approved by the team",
        "Actor: ann",
    ):
        assert line in message.splitlines()
    model = repository.model("staging")
    assert (model.stable, model.candidate, model.home, model.by) == (champion, approved, repository.home, "ann")
    kinds = [one["kind"] for one in yaml.safe_load_all(repository.text("staging"))]
    assert kinds == ["ConfigMap", "InferenceService", "InferenceService"]


def test_the_same_promotion_twice_makes_one_commit(gitops, repository, approved) -> None:
    assert gitops("promote", approved, "--env", "staging").code == 0
    before = repository.commits()
    again = gitops("promote", approved, "--env", "staging")
    assert (again.code, repository.commits()) == (0, before)
    assert "nothing to commit" in again.out


def test_with_now_everybody_gets_it_and_the_former_predictor_stays_until_the_engine_followed(
    gitops, repository, home, champion, approved
) -> None:
    done = gitops("promote", approved, "--env", "staging", "--now", "--expect", champion[:6])
    assert done.code == 0, done.err
    model = repository.model("staging")
    assert (model.stable, model.candidate, model.former) == (approved, "", champion)
    assert gitops("sync", "--env", "staging", "--json").json["changed"] is False, "git's order waits for the engine"
    Ledger(home).append("promote", approved, "ordered in git")
    assert gitops("sync", "--env", "staging", "--json").json["changed"] is True
    assert repository.model("staging").releases == (approved,)


def test_what_was_expected_must_still_be_so(gitops, repository, champion, approved) -> None:
    before = repository.commits()
    wrong = gitops("promote", approved, "--env", "staging", "--expect", approved[:8])
    assert wrong.code == 1
    assert f"stable release is {champion[:SHORT]} and not {approved[:8]}" in wrong.err
    none = gitops("promote", approved, "--env", "staging", "--now", "--expect", "none")
    assert (none.code, repository.commits()) == (1, before)


def test_a_candidate_whose_rollout_goes_on_is_replaced_only_when_asked(
    gitops, repository, home, releases, approved
) -> None:
    assert gitops("promote", approved, "--env", "staging").code == 0
    third = releases()
    Ledger(home).append("approve", third, "better still")
    refused = gitops("promote", third, "--env", "staging")
    assert refused.code == 1
    assert f"candidate is {approved[:SHORT]}, whose rollout has not ended" in refused.err
    assert gitops("promote", third, "--env", "staging", "--replace").code == 0
    assert repository.model("staging").candidate == third


def test_a_release_of_which_the_ledger_says_nothing_may_be_tried(gitops, repository, releases, champion) -> None:
    """As one that was trained for another environment: the engine writes its approval when it follows git."""
    digest = releases()
    assert gitops("promote", digest, "--env", "staging").code == 0
    assert gitops("sync", "--env", "staging", "--json").json["changed"] is False, "the engine has yet to hear of it"
    assert repository.model("staging").candidate == digest


def test_a_release_that_the_gate_rejected_needs_force(gitops, home, repository, releases, champion) -> None:
    digest = releases()
    Ledger(home).append("reject", digest, "nDCG fell by 0.1")
    refused = gitops("promote", digest, "--env", "staging", "--now")
    assert refused.code == 1
    assert "nDCG fell by 0.1" in refused.err
    assert gitops("promote", digest, "--env", "staging", "--now", "--force").code == 0
    assert repository.model("staging").stable == digest


def test_rollback_takes_the_candidate_away_first_then_goes_back_release_by_release(
    gitops, repository, home, releases, champion, approved
) -> None:
    assert gitops("promote", approved, "--env", "staging").code == 0
    assert gitops("rollback", "--env", "staging").code == 0
    assert (repository.model("staging").stable, repository.model("staging").candidate) == (champion, "")
    third = releases()
    for digest in (approved, third):
        assert gitops("promote", digest, "--env", "staging", "--now").code == 0
    for expected in (approved, champion):  # a second way back goes further back, not forth again
        done = gitops("rollback", "--env", "staging", "--reason", "clicks fell", "--json")
        assert (done.code, done.json["stable"]) == (0, expected)
    assert "Why: clicks fell" in repository.message()
    refused = gitops("rollback", "--env", "staging")
    assert (refused.code, "no other stable release before" in refused.err) == (1, True)


def test_git_revert_by_hand_is_a_way_back_as_well(gitops, repository, champion, approved) -> None:
    before = repository.text("staging")
    assert gitops("promote", approved, "--env", "staging", "--now").code == 0
    git(repository.work, "pull", "-q", "origin", "main")
    git(repository.work, "revert", "--no-edit", "HEAD")
    git(repository.work, "push", "-q", "origin", "HEAD:main")
    assert repository.text("staging") == before
    assert gitops("status", "--env", "staging").code == 0
    assert gitops("rollback", "--env", "staging").code == 1, "what was reverted is no former release"


def test_prod_gets_a_branch_for_a_pull_request_and_main_stays_as_it_is(gitops, repository, home, approved) -> None:
    repository.order("prod", stable=Ledger(home).champion())
    before = repository.commits()
    done = gitops("promote", approved, "--env", "prod")
    branch = f"everloop/prod/{approved[:SHORT]}"
    assert done.code == 0, done.err
    assert branch in done.out
    assert "pull request" in done.out
    assert repository.commits() == before
    assert repository.model("prod", branch).candidate == approved
    proposed = git(repository.bare, "rev-parse", branch)
    repository.change("README.md", "Other things move on\n")
    again = gitops("promote", approved, "--env", "prod", "--json")
    assert again.json["proposal"]["new"] is False
    assert git(repository.bare, "rev-parse", branch) == proposed, "the same order is one proposal"
    repository.change("x", "y")
    git(repository.work, "fetch", "-q", "origin")
    git(repository.work, "merge", "-q", "--no-edit", f"origin/{branch}")
    git(repository.work, "push", "-q", "origin", "HEAD:main")
    assert repository.model("prod").candidate == approved


def test_a_way_back_in_prod_says_what_is_faster_than_a_review(gitops, repository, champion, approved) -> None:
    repository.order("prod", stable=champion)
    repository.order("prod", stable=approved)
    back = gitops("rollback", "--env", "prod")
    assert back.code == 0, back.err
    assert f"everloop rollback --home {repository.home}" in back.out
    assert repository.model("prod").stable == approved
    assert repository.model("prod", f"everloop/prod/{champion[:SHORT]}").stable == champion


def test_who_serves_keeps_a_predictor_through_two_orders_in_a_row(
    gitops, repository, releases, champion, approved
) -> None:
    for digest in (approved, releases()):
        assert gitops("promote", digest, "--env", "staging", "--now").code == 0
    assert repository.model("staging").former == champion, "the engine has followed neither"


def test_in_dev_the_engine_makes_predictors_so_git_has_no_say(gitops, approved) -> None:
    refused = gitops("promote", approved, "--env", "dev")
    assert refused.code == 1
    assert "everloop rollout" in refused.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("promote", "abcdef", "--env", "staging"), 2, "there is no release abcdef"),
        (("promote", "xyz!", "--env", "staging"), 2, "is no digest"),
        (("promote", NOTHING, "--env", "nowhere"), 2, "no environment 'nowhere'; there are dev, prod, staging"),
        (("rollback", "--env", "../staging"), 2, "no environment"),
        (("finish", "--env", ""), 2, "no environment"),
        (("promote", NOTHING), 2, "parameter: env"),
    ],
)
def test_bad_input_is_one_sentence(gitops, champion, arguments, code, words) -> None:
    done = gitops(*arguments)
    assert (done.code, words in done.err) == (code, True), done.err
    assert len(done.sentence.splitlines()) == 1


def test_a_damaged_release_is_not_promoted(gitops, home, repository, approved) -> None:
    home.store.write(f"releases/{approved}/card.md", b"something else")
    refused = gitops("promote", approved, "--env", "staging")
    assert refused.code == 1
    assert "card.md is not what was released" in refused.err
