"""From a verdict to a release: the order that makes a crash harmless, and the way back."""

import json
from pathlib import Path

import pytest

from components.recsys import registration, tracking
from components.recsys.errors import EverloopError, NotFound, Refused
from components.recsys.ledger import Ledger
from components.recsys.registration import describe, reproduce, write_stopped_report
from components.recsys.release import judged_of, load, releases_of


@pytest.fixture(autouse=True)
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow takes seconds and has tests of its own."""
    monkeypatch.setattr(tracking, "track", lambda *everything: "")


def test_the_first_release_serves_and_all_that_belongs_to_it_is_there(judged) -> None:
    done = judged.register()
    (entry,) = Ledger(judged.home).entries()
    assert (entry.action, entry.release, entry.champion) == ("promote", done.digest, done.digest)
    assert set(entry.evidence["lineage"]) == {"quality", "split", "evaluation", "challenger", "verdict"}
    release = load(releases_of(judged.home), done.digest)
    assert release.manifest["run"] == "r1"
    assert release.reference["popularity"]
    assert done.digest not in release.card, "a card cannot hold the digest of what it is part of"
    assert load(judged_of(judged.home), release.manifest["judged"]).model.name == release.model.name
    result = json.loads(judged.home.store.read("runs/r1/result.json"))
    assert (result["outcome"], result["release"], result["label"]) == ("promoted", done.digest, "")
    assert done.digest in judged.home.store.read("runs/r1/report.html").decode()


def test_the_lists_of_three_people_go_from_a_long_history_to_none(judged) -> None:
    judged.register()
    much, little, none = json.loads(judged.home.store.read("runs/r1/result.json"))["samples"]
    assert much["user"] != little["user"]
    assert (none["user"], none["history"]) == ("somebody new", [])
    for sample in (much, little, none):
        assert len(sample["items"]) == registration.SAMPLE_LENGTH
        assert all(item["title"].startswith("Film ") and item["reason"] for item in sample["items"])


def test_a_verdict_counts_once_since_the_champion_it_was_about_has_changed(judged) -> None:
    first = judged.register("r1")
    folder = Path(judged.home.url) / "releases" / first.digest
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Refused, match="the champion changed in the meantime; nothing was done"):
        judged.register("r2")
    assert len(Ledger(judged.home).entries()) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("step", ["release", "ledger", "report"])
def test_a_crash_in_between_is_harmless_and_the_next_time_all_is_done(
    step: str, judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        """Nothing catches it, as nothing catches a kill."""

    def crash(*_, **__):
        raise Crash

    places = {
        "release": (registration, "save"),
        "ledger": (registration.Ledger, "append"),
        "report": (registration, "render"),
    }
    with monkeypatch.context() as broken:
        broken.setattr(*places[step], crash)
        with pytest.raises(Crash):
            judged.register()
    entries = Ledger(judged.home).entries()
    assert len(entries) == (1 if step == "report" else 0), "the ledger names only what is complete"
    for entry in entries:
        load(releases_of(judged.home), entry.release)
    if step != "report":
        assert judged.register().digest == Ledger(judged.home).champion()


def test_a_verdict_of_no_leaves_the_release_behind_and_the_champion_in_place(judged) -> None:
    path = judged.parts["verdict"] / "verdict.json"
    verdict = json.loads(path.read_text())
    path.write_text(json.dumps({**verdict, "promote": False, "outcome": "rejected"}))
    done = judged.register()
    (entry,) = Ledger(judged.home).entries()
    assert (entry.action, entry.release, Ledger(judged.home).champion()) == ("reject", done.digest, "")
    assert load(releases_of(judged.home), done.digest)


def test_a_part_that_is_missing_is_named(judged) -> None:
    (judged.parts["verdict"] / "verdict.json").unlink()
    with pytest.raises(NotFound, match=r"verdict\.json is missing: the step that makes it did not finish"):
        judged.register()


def test_reproducing_gives_the_digest_and_tells_when_the_data_are_gone(judged) -> None:
    done = judged.register()
    again = reproduce(judged.home, done.digest[:12])
    assert (again.same, again.digest) == (True, done.digest)
    assert "reproduced" in again.sentence
    for path in (Path(judged.home.url) / "tables" / "events").glob("*.parquet"):
        path.unlink()
    with pytest.raises(EverloopError, match=r"^[^\n]+$"):
        reproduce(judged.home, done.digest)


def test_the_report_of_a_stopped_run_holds_the_sentence(judged) -> None:
    sentence = "missing: 40 of 100 rows have no user"
    place = write_stopped_report(judged.home, "0123456789abcdef", {"ok": False, "sentence": sentence, "checks": []})
    assert sentence in Path(place).read_text()


def test_what_a_card_says_of_events_is_counted(judged) -> None:
    from components.recsys import splits

    split, _, _ = splits.load(judged.parts["split"])
    assert describe(split.train)["rows"] == split.train.height
    assert describe(split.train.clear()) == {"rows": 0, "users": 0, "items": 0, "first": "None", "last": "None"}
