from hypothesis import given
from hypothesis import strategies as st

from components.recsys.drift import anchor_of_reactions, windows

days = st.integers(0, 300)


@given(today=days, anchor=days, first=days, span=st.integers(1, 10), count=st.integers(1, 6))
def test_baselines_end_at_the_anchor_and_never_hold_today(today, anchor, first, span, count):
    chosen = windows(today, anchor, first, span, count)
    if chosen is None:
        assert min(anchor, today) - span < first
        return
    assert chosen.last == today - span
    assert chosen.baseline[0] + span == min(anchor, today)
    assert min(chosen.baseline) >= first
    assert all(newer - older == span for newer, older in zip(chosen.baseline[:-1], chosen.baseline[1:], strict=True))
    assert len(chosen.shared()) == max(0, span - (chosen.last - chosen.baseline[0]))
    assert chosen.settled == (today > anchor)


def test_lists_of_a_new_champion_are_their_own_baseline_for_a_window():
    assert anchor_of_reactions(trained_until=80, promoted=85, days=7) == 92


def test_a_champion_put_back_is_measured_against_what_it_knows():
    assert anchor_of_reactions(trained_until=60, promoted=120, days=7) == 74
