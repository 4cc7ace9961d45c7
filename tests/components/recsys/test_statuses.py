from datetime import UTC, datetime, timedelta

import pytest

from components.recsys.statuses import Statuses
from components.recsys.store import FolderStore


@pytest.fixture
def statuses(tmp_path):
    return Statuses(FolderStore(str(tmp_path)))


def said(statuses, age, part="monitor"):
    time = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    statuses.store.write(f"status/{part}.json", f'{{"time": "{time}", "facts": {{"drift": []}}}}'.encode())
    return statuses.read(part, stale_seconds=30)


def test_what_was_written_is_read_with_its_age(statuses):
    statuses.write("gateway", {"epoch": 7})
    word = statuses.read("gateway")
    assert (word.facts, word.stale) == ({"epoch": 7}, False)
    assert 0 <= word.age_seconds < 5


@pytest.mark.parametrize(("age", "stale"), [(0, False), (25, False), (40, True), (-5, False), (-365 * 86_400, True)])
def test_an_old_word_is_stale_and_so_is_one_from_before_the_clock_was_set_back(statuses, age, stale):
    assert said(statuses, age).stale is stale


def test_who_never_spoke_or_left_nonsense_is_stale(statuses):
    assert statuses.read("rollout").stale
    statuses.store.write("status/rollout.json", b"{")
    assert statuses.read("rollout").facts == {}
