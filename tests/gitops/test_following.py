"""What the home decided comes to git, and what git ordered is not written over."""

from datetime import UTC, datetime, timedelta

import pytest

from components.recsys.ledger import Ledger
from components.recsys.release import SHORT, canonical
from pipelines.gitops.following import FOLLOWED
from serving.rollout.state import Rollout, Rollouts


def test_the_first_champion_comes_to_an_empty_environment(gitops, repository, home, releases) -> None:
    assert gitops("sync", "--env", "staging", "--json").json["changed"] is False, "nobody was promoted yet"
    digest = releases()
    Ledger(home).append("promote", digest, "the first", run="run-1")
    assert gitops("sync", "--env", "staging").code == 0
    assert repository.model("staging").stable == digest
    assert "Run: run-1" in repository.message()
    before = repository.commits()
    assert gitops("sync", "--env", "staging").code == 0
    assert repository.commits() == before


def test_a_release_that_a_run_approved_becomes_candidate_and_after_its_rollout_stable(
    gitops, repository, home, champion, approved
) -> None:
    assert gitops("sync", "--env", "staging").code == 0
    assert repository.model("staging").candidate == approved
    refused = gitops("finish", "--env", "staging")
    assert refused.code == 1
    assert f"does not say that {approved[:SHORT]} was promoted: its champion is {champion[:SHORT]}" in refused.err
    Ledger(home).append("promote", approved, "three steps, every guard satisfied", expect_champion=champion)
    done = gitops("finish", "--env", "staging", "--json")
    assert (done.code, done.json["stable"], done.json["candidate"]) == (0, approved, "")
    assert "Verdict: three steps, every guard satisfied" in repository.message()
    before = repository.commits()
    assert gitops("finish", "--env", "staging").code == 0
    assert repository.commits() == before


def test_an_aborted_candidate_leaves_git(gitops, repository, home, champion, approved) -> None:
    assert gitops("promote", approved, "--env", "staging").code == 0
    Ledger(home).append("abort", approved, "errors: 12 of 40")
    assert gitops("sync", "--env", "staging").code == 0
    assert (repository.model("staging").stable, repository.model("staging").candidate) == (champion, "")
    assert "Verdict: errors: 12 of 40" in repository.message()
    again = gitops("promote", approved, "--env", "staging")
    assert (again.code, "was aborted" in again.err, "everloop rollout start" in again.err) == (1, True, True)


def test_a_newer_approval_waits_until_the_rollout_that_runs_has_ended(
    gitops, repository, home, releases, champion, approved
) -> None:
    rollouts = Rollouts(home.store)
    rollout = Rollout.begin(Ledger(home).entries()[-1], champion, "2026-03-02T12:00:00+00:00")
    rollouts.write(rollout)
    newer = releases()
    Ledger(home).append("approve", newer, "better still")
    assert gitops("sync", "--env", "staging").code == 0
    assert repository.model("staging").candidate == approved
    rollouts.write(rollout.moved("aborted", "2026-03-02T13:00:00+00:00", "errors"))
    Ledger(home).append("abort", approved, "errors")
    assert gitops("sync", "--env", "staging").code == 0
    assert repository.model("staging").candidate == newer


@pytest.mark.parametrize(("ledger_moved", "followed"), [(timedelta(hours=-1), False), (timedelta(hours=1), True)])
def test_before_the_engines_first_look_who_moved_last_is_ahead(
    gitops, repository, home, releases, champion, ledger_moved, followed
) -> None:
    """A person's order in git, made before or after the champion was changed by hand in the home."""
    other = releases()
    repository.order("staging", stable=other)
    third = releases()
    Ledger(home, clock=lambda: datetime.now(UTC) + ledger_moved).append("promote", third, "by hand")
    told = gitops("status", "--env", "staging", "--json")
    assert told.code == 1
    assert ("has yet to follow" in told.json["environments"][0]["note"]) is not followed
    assert gitops("sync", "--env", "staging").code == 0
    assert repository.model("staging").stable == (third if followed else other)


def followed(home, stable: str, candidate: str = "") -> None:
    """What the rollout engine saw in git last."""
    home.store.write(FOLLOWED, canonical({"stable": stable, "candidate": candidate, "number": 1}))


def test_an_order_waits_until_the_engine_has_seen_it_whatever_the_clocks_say(
    gitops, repository, home, releases, champion
) -> None:
    """Git orders one release; meanwhile a rollout of another ends. Then the engine follows, and a person rolls back."""
    ordered, promoted = releases(), releases()
    followed(home, champion)
    repository.order("staging", stable=ordered)
    Ledger(home, clock=lambda: datetime.now(UTC) + timedelta(days=1)).append("promote", promoted, "a rollout ended")
    assert gitops("sync", "--env", "staging", "--json").json["changed"] is False
    Ledger(home).append("promote", ordered, "git makes it stable")
    followed(home, ordered)
    assert gitops("sync", "--env", "staging", "--json").json["changed"] is False, "both say the same"
    Ledger(home, clock=lambda: datetime.now(UTC) - timedelta(days=1)).append("rollback", champion, "by hand")
    assert gitops("sync", "--env", "staging", "--json").json["stable"] == champion


def test_a_candidate_waits_until_the_engine_has_seen_it(gitops, repository, home, releases, champion) -> None:
    candidate = releases()
    followed(home, champion)
    repository.order("staging", stable=champion, candidate=candidate)
    assert gitops("sync", "--env", "staging", "--json").json["changed"] is False
    followed(home, champion, candidate)
    Ledger(home).append("approve", candidate, "git makes it candidate")
    Ledger(home).append("abort", candidate, "latency")
    assert gitops("sync", "--env", "staging", "--json").json["candidate"] == ""


def test_what_the_engine_saw_lies_where_the_engine_writes_it() -> None:
    from serving.kserve.orders import KEY

    assert FOLLOWED == KEY


def test_what_the_engine_saw_unreadable_is_a_fault_and_changes_nothing(gitops, repository, home, champion) -> None:
    repository.order("staging", stable="c" * 64)
    home.store.write(FOLLOWED, b"{")
    failed = gitops("sync", "--env", "staging")
    assert (failed.code, "orders.json is not what the engine wrote" in failed.err) == (3, True)


def test_status_tells_each_environment_and_exits_by_whether_all_agree(gitops, repository, home, champion) -> None:
    repository.order("prod", stable=champion)
    told = gitops("status", "--json")
    assert told.code == 0, told.out
    found = {one["environment"]: one for one in told.json["environments"]}
    assert set(found) == {"dev", "staging", "prod"}
    assert found["dev"]["note"].startswith("the rollout engine")
    assert found["staging"]["stable"] == found["staging"]["champion"] == champion
    table = gitops("status")
    assert champion[:SHORT] in table.out
    Ledger(home).append("promote", "b" * 64, "by hand", expect_champion=champion)
    assert gitops("status").code == 1


def test_in_prod_the_end_of_a_rollout_is_proposed_too(gitops, repository, home, champion, approved) -> None:
    repository.order("prod", stable=champion, candidate=approved)
    Ledger(home).append("promote", approved, "every guard satisfied")
    done = gitops("sync", "--env", "prod", "--json")
    assert done.code == 0, done.err
    assert repository.model("prod").candidate == approved, "main waits for the merge"
    assert repository.model("prod", done.json["proposal"]["branch"]).stable == approved


def test_a_home_that_cannot_be_reached_changes_nothing(gitops, repository, champion, monkeypatch) -> None:
    before = repository.commits()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    failed = gitops("sync", "--env", "staging")
    assert (failed.code, repository.commits()) == (3, before)
    assert "127.0.0.1:9" in failed.err
    told = gitops("status", "--env", "staging", "--json").json["environments"][0]
    assert (told["stable"], told["agrees"]) == (champion, None), "git is told all the same"
