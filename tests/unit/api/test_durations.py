"""Durations as Go writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpress.api.durations import duration, seconds


@pytest.mark.parametrize(
    ("text", "length"), [("250ms", 0.25), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("0s", 0), ("1m1ms", 60.001)]
)
def test_a_duration_is_read(text: str, length: float) -> None:
    assert seconds(text) == pytest.approx(length)


@pytest.mark.parametrize("text", ["", "5", "5 m", "-5m", "5d", "m", "1h\n"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)


@given(st.integers(0, 10**10))
def test_writing_and_reading_gives_the_same_to_the_millisecond(milliseconds: int) -> None:
    assert seconds(duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


def test_it_is_written_as_a_person_would() -> None:
    assert [duration(length) for length in (5400, 0.25, 0, 3600)] == ["1h30m", "250ms", "0s", "1h"]
    with pytest.raises(ValueError, match="finite"):
        duration(float("inf"))
