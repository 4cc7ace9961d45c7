import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.errors import InputError
from pipelines.recurring.cron import FIELDS, in_six


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("0 3 * * *", "0 0 3 * * *"),  # with five fields Kubeflow would take the minute for the second
        ("30 0 3 * * *", "30 0 3 * * *"),
        ("  */15   8-18 * JAN-mar mon,WED ", "0 */15 8-18 * JAN-mar mon,WED"),
        ("0 0 1,15 * ?", "0 0 0 1,15 * ?"),
        ("5/10 * * * *", "0 5/10 * * * *"),
        ("@daily", "@daily"),
        ("@every 1h30m", "@every 1h30m"),
    ],
)
def test_five_fields_get_their_seconds_and_the_rest_stays(written: str, sent: str) -> None:
    assert in_six(written) == sent
    assert in_six(sent) == sent


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("0 3 * *", "has 4 fields"),
        ("0 0 3 * * * *", "has 7 fields"),
        ("61 3 * * *", "'61' is no minute; it goes from 0 to 59"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 0 * *", "'0' is no day of month"),
        ("0 0 * * MONDAY", "'MONDAY' is no day of week"),
        ("0 0 * * 7", "'7' is no day of week"),
        ("0 18-8 * * *", "'18-8' is no hour"),
        ("*/0 * * * *", r"'\*/0' is no minute"),
        ("0 3 * * * ; rm", "has 7 fields"),
        ("@fortnightly", "known are @yearly"),
        ("@every", "known are @yearly"),
        ("", "has 1 fields"),
    ],
)
def test_what_kubeflow_would_refuse_is_a_sentence(written: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        in_six(written)


@given(st.lists(st.integers(0, 99), min_size=5, max_size=5))
def test_numbers_pass_exactly_within_their_range(numbers: list[int]) -> None:
    fits = all(field.low <= number <= field.high for field, number in zip(FIELDS[1:], numbers, strict=True))
    try:
        in_six(" ".join(map(str, numbers)))
    except InputError:
        assert not fits
    else:
        assert fits
