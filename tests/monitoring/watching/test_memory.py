import numpy as np
import pytest

from components.recsys.drift import Aggregates, Exposure
from monitoring.watching.memory import Memory, Recent


def test_what_is_written_is_read():
    counts = Aggregates(3, {5: np.arange(192, dtype=np.int64).reshape(64, 3)})
    exposure = Exposure(2, {5: np.arange(5, dtype=np.int64)})
    memory = Memory("key", counts, exposure, 7, {5: {1, 2**63 + 1}}, Recent(), {"events": 1.5}, 3)
    memory.recent.first_time("a")
    again = Memory.from_bytes(memory.to_bytes())
    assert again.counts == counts
    assert again.exposure.days[5].tolist() == [0, 1, 2, 3, 4]
    assert (again.key, again.looked, again.segments, again.newest, again.broken) == (
        "key", 7, {5: {1, 2**63 + 1}}, {"events": 1.5}, 3,
    )  # fmt: skip
    assert not again.recent.first_time("a")
    assert again.to_bytes() == memory.to_bytes()


@pytest.mark.parametrize("data", [b"", b"nonsense", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_what_was_not_written_is_refused(data):
    with pytest.raises(ValueError, match=r"\w"):
        Memory.from_bytes(data)


def test_the_ids_remembered_are_the_latest_and_never_more():
    recent = Recent(most=3)
    assert [recent.first_time(one) for one in "abcadb"] == [True, True, True, False, True, False]
    assert len(recent.ids) == 3
    assert not recent.first_time("d")
