from datetime import UTC, datetime, timedelta

import pytest

from components.recsys import clock

MOMENT = datetime(2025, 5, 1, 12, tzinfo=UTC)


def test_the_clock_is_the_machines_unless_a_file_sets_it(monkeypatch, tmp_path):
    monkeypatch.delenv(clock.VARIABLE, raising=False)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    clock.set_clock(tmp_path / "clock", MOMENT)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_set_clock_runs_on_from_where_it_was_set(monkeypatch, tmp_path):
    monkeypatch.setenv(clock.VARIABLE, str(tmp_path / "clock"))
    clock.set_clock(tmp_path / "clock", MOMENT)
    first = clock.now()
    second = clock.now()
    assert MOMENT <= first < second < MOMENT + timedelta(seconds=5)


@pytest.mark.parametrize("content", ["", "yesterday", "2025-05-01T12:00:00+00:00", "2025-05-01T12:00:00+00:00 soon"])
def test_a_clock_file_that_cannot_be_read_counts_as_the_machines_time(monkeypatch, tmp_path, content):
    (tmp_path / "clock").write_text(content)
    monkeypatch.setenv(clock.VARIABLE, str(tmp_path / "clock"))
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
