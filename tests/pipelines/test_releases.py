"""What may serve, what serves and what served, from the command line."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.recsys.errors import Refused
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.release import releases_of
from components.recsys.statuses import Statuses
from pipelines.commands.releases import former_champion
from pipelines.commands.run import what_follows
from serving.rollout.state import Rollout, Rollouts


@pytest.fixture
def two(finished, home: Path, everloop) -> tuple[Path, str, str]:
    """A home with a second release promoted by hand after the first."""
    done = everloop(
        "run",
        *finished.sources,
        "--home",
        str(home),
        "--set",
        "train.candidates=[popularity, item_knn]",
        "--set",
        "evaluate.bootstrap=200",
        "--json",
    )
    assert done.code in (0, 1), done.err
    second = done.json["release"]
    first = finished.answer["release"]
    assert second != first
    if done.json["champion"] != second:
        by_hand = ("promote", second[:12], "--home", str(home), "--reason", "by a test", "--force")
        assert everloop(*by_hand).code == 0  # whatever the gate said of it
    return home, first, second


def test_promote_and_rollback_move_the_champion_and_who_served_tells_it_exactly(two, everloop) -> None:
    home, first, second = two
    ledger = Ledger(Home(home))
    assert ledger.champion() == second
    back = everloop("rollback", "--home", str(home), "--reason", "clicks fell", "--json")
    assert back.code == 0, back.err
    assert back.json["champion"] == first
    moves = [entry for entry in ledger.entries() if entry.action in ("promote", "rollback")]
    expected = [(datetime.fromisoformat(move.time), move.champion) for move in moves]
    for time, champion in expected:
        served = everloop("who-served", "--at", time.isoformat(), "--user", "u1", "--home", str(home), "--json")
        assert (served.code, served.json["release"]) == (0, champion)
        earlier = everloop(
            "who-served", "--at", (time - timedelta(microseconds=1)).isoformat(), "--home", str(home), "--json"
        )
        assert earlier.json["release"] != champion or time != expected[0][0]
    before = everloop(
        "who-served", "--at", (expected[0][0] - timedelta(days=1)).isoformat(), "--home", str(home), "--json"
    )
    assert (before.code, before.json["release"]) == (1, "")
    assert everloop("rollback", "--home", str(home)).code == 1  # nothing further back


def test_releases_lists_what_became_of_each(two, everloop) -> None:
    home, first, second = two
    listed = everloop("releases", "--home", str(home), "--json").json
    assert listed["champion"] == second
    statuses = {release["digest"]: release["status"] for release in listed["releases"]}
    assert statuses == {first: "former", second: "champion"}
    assert {"digest", "model", "created", "status", "metrics"} <= listed["releases"][0].keys()


def test_a_damaged_release_is_listed_as_damaged_and_cannot_be_promoted(two, everloop) -> None:
    home, first, _ = two
    weights = Path(releases_of(Home(home)).url) / first / "weights.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    refused = everloop("promote", first, "--home", str(home))
    assert refused.code == 1
    assert "will not be loaded" in refused.err
    assert Ledger(Home(home)).champion() != first


def test_what_the_gate_rejected_is_promoted_only_with_force_and_the_ledger_says_so(two, everloop) -> None:
    home, first, second = two
    ledger = Ledger(Home(home))
    promote = ("promote", first[:12], "--home", str(home), "--reason", "we know better")
    ledger.append("reject", first, "nDCG -0.1.")
    refused = everloop(*promote)
    assert refused.code == 1
    assert f"the gate rejected {first[:12]} (nDCG -0.1.); --force" in refused.err
    assert ledger.champion() == second
    assert everloop(*promote, "--force").code == 0
    last = ledger.entries()[-1]
    assert (last.champion, last.evidence["forced"]) == (first, True)
    assert last.reason == "forced past the gate, which had said: nDCG -0.1. Why: we know better"
    assert everloop("promote", second, "--home", str(home), "--force").code == 0
    assert everloop(*promote).code == 0  # it was champion since: that word is newer than the gate's
    assert "forced" not in ledger.entries()[-1].evidence


def test_a_ledger_changed_by_hand_is_noticed(home: Path, everloop) -> None:
    entry = home / "ledger" / "0000000001.json"
    changed = json.loads(entry.read_text()) | {"reason": "because I say so"}
    entry.write_text(json.dumps(changed))
    for command in ("status", "releases"):
        done = everloop(command, "--home", str(home))
        assert done.code == 1
        assert "changed by hand" in done.err


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["promote", "zz"], 2, "no digest"),
        (["promote", "abcdef012345"], 2, "no release abcdef"),
        (["rollback"], 1, "no former champion"),
        (["reproduce", "abcdef012345"], 2, "no release abcdef"),
        (["who-served", "--at", "yesterday"], 2, "2026-11-23T12:00:00Z"),
        (["releases", "--nonsense"], 2, "No such option"),
        (["recommend", "--history", "a", "--users", "b"], 2, "either"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(command: list[str], code: int, words: str, home: Path, everloop) -> None:
    done = everloop(*command, "--home", str(home))
    assert done.code == code
    assert words in done.err
    assert "Traceback" not in done.err


def test_an_empty_home_says_what_to_do_first(tmp_path: Path, everloop) -> None:
    for command in ("status", "releases"):
        done = everloop(command, "--home", str(tmp_path / "none"))
        assert done.code == 0
        assert "everloop run" in done.out
    served = everloop("who-served", "--at", datetime.now(UTC).isoformat(), "--home", str(tmp_path / "none"))
    assert served.code == 1


def test_a_rollback_that_finds_nobody_tells_how_the_rollout_is_ended(home: Path, everloop) -> None:
    place = Home(home)
    champion = Ledger(place).champion()
    approved = Ledger(place).append("approve", "b" * 64, "beats the champion")
    rollout = Rollout.begin(approved, champion, approved.time)
    Rollouts(place.store).write(rollout)
    done = everloop("rollback", "--home", str(home))
    assert done.code == 1
    assert f"{rollout.id} of {'b' * 12} is under way: `everloop rollout abort`" in done.err
    Rollouts(place.store).write(rollout.moved("aborted", approved.time, "by hand"))
    assert "under way" not in everloop("rollback", "--home", str(home)).err


def test_an_approved_release_is_told_to_wait_and_for_whom(home: Path) -> None:
    place = Home(home)
    assert "no rollout engine runs" in what_follows(place)
    Statuses(place.store).write("rollout", {})
    assert "a few people first" in what_follows(place)


def test_a_rollback_goes_only_to_a_former_champion(two, finished, everloop) -> None:
    home, first, second = two
    run = ("run", *finished.sources, "--home", str(home), "--set", "train.candidates=[popularity]", "--json")
    third = everloop(*run, "--set", "evaluate.bootstrap=200").json["release"]
    if third not in (first, second):
        refused = everloop("rollback", "--to", third, "--home", str(home))
        assert refused.code == 1
        assert "never champion" in refused.err
    assert everloop("rollback", "--to", first[:12], "--home", str(home)).code == 0


def test_what_a_person_types_is_never_read_as_markup(finished, tmp_path: Path, everloop) -> None:
    for command in (
        ["who-served", "--at", "[/x]"],
        ["status", "--home", str(tmp_path / "[/h]")],
        ["run", "--events", "[/no].csv"],
    ):
        done = everloop(*command, cwd=tmp_path, env={"PYTHONPATH": str(Path(__file__).parents[2]), "FORCE_COLOR": "1"})
        assert done.code in (0, 2), done.err
        assert "Traceback" not in done.err


def test_a_time_that_does_not_exist_in_utc_is_one_sentence(home: Path, everloop) -> None:
    done = everloop("who-served", "--at", "0001-01-01T00:00:00+05:00", "--home", str(home))
    assert (done.code, "no such time" in done.err) == (2, True)


def test_a_release_whose_record_was_altered_is_not_reproduced(finished, home: Path, everloop) -> None:
    from components.recsys.release import _digest, _seal

    store = releases_of(Home(home))
    manifest = json.loads(store.read(f"{finished.answer['release']}/release.json"))
    manifest["settings"]["train"]["seed"] += 1
    altered = _digest(manifest)
    for name in manifest["files"]:
        store.write(f"{altered}/{name}", store.read(f"{finished.answer['release']}/{name}"))
    manifest["digest"] = altered
    manifest["seal"] = _seal(manifest)
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
    store.write(f"{altered}/release.json", text.encode())
    done = everloop("reproduce", altered, "--home", str(home), "--json")
    assert done.code == 1, done.err
    assert "not reproduced" in done.json.get("sentence", ""), done.json


def test_a_damaged_judged_fit_is_said_and_the_champion_stays(finished, home: Path, everloop) -> None:
    weights = next((home / "judged").glob("*/weights.safetensors"))
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    done = everloop("run", *finished.sources, "--home", str(home), "--set", "train.candidates=[popularity]")
    assert done.code == 1
    assert "cannot be compared with" in done.err
    assert Ledger(Home(home)).champion() == finished.answer["release"]


A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("moves", "words"),
    [
        ([], "`everloop run` makes the first release"),
        ([("promote", A)], f"{A[:12]} is the first one, and the only release; `everloop run` makes another"),
        (
            [("promote", A), ("reject", B)],
            f"`everloop promote {B[:12]} --force` puts another in its place, which the gate rejected",
        ),
        ([("promote", A), ("reject", B), ("approve", B)], f"`everloop promote {B[:12]}` puts another in its place"),
        ([("promote", A), ("promote", B), ("rollback", A)], f"`everloop promote {B[:12]}` puts another in its place"),
    ],
)
def test_who_cannot_go_back_is_told_what_to_do_instead(moves, words, tmp_path) -> None:
    ledger = Ledger(Home(tmp_path))
    for action, release in moves:
        ledger.append(action, release, "because")
    with pytest.raises(Refused) as refused:
        former_champion(ledger.entries())
    assert words in str(refused.value)
