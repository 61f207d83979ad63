"""With how many digits numbers are told to people."""

from __future__ import annotations

import pytest

from modelpress.api.readable import beside, figure, limit


def test_figures_have_the_digits_that_a_person_reads() -> None:
    values = (0.96, 0.0253, 0.00251, 0.002, 0.00004, 0.0, 7.614, 13158.2)
    assert [figure(value) for value in values] == [
        "0.960", "0.025", "0.0025", "0.002", "4.0e-05", "0.000", "7.61", "13,158",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bar", "value", "text"),
    [
        (0.03, 0.0302, "0.0302"),
        (0.03, 0.0298, "0.030"),
        (0.03, 0.03 + 1e-13, "0.030"),
        (0.0304, 0.03045, "0.0305"),
        (0.002, 0.002001, "0.002001"),
        (4e-05, 4.01e-05, "4.01e-05"),
        (1.4, 1.4004, "1.4004"),
        (1000.0, 1000.3, "1,000.3"),
        (0.0, 1e-15, "1e-15"),
        (0.03, float("inf"), "inf"),
    ],
)
def test_what_is_beyond_a_limit_is_never_rounded_to_it(bar: float, value: float, text: str) -> None:
    assert beside(bar, value, at_least=False) == text


def test_what_falls_short_of_a_limit_is_never_rounded_to_it() -> None:
    assert beside(0.7, 0.69996, at_least=True) == "0.69996"
    assert beside(0.7, 0.70004, at_least=True) == "0.700"
    assert beside(70, 69.996, True, at_least=True) == "69.996"


def test_a_limit_is_told_as_it_was_given() -> None:
    assert [limit(value) for value in (0.02, 0.0304, 1.4, 1234.5, 2e-05)] == [
        "0.020", "0.0304", "1.40", "1,234.5", "2.0e-05",
    ]  # fmt: skip
    assert [limit(value, percent=True) for value in (70, 70.125, 0)] == ["70", "70.125", "0"]
