"""Numbers with as many digits as a person reads of them."""

from __future__ import annotations

import math

SMALL = 0.01
"""Below this, three decimals hide what changed."""
_NOTHING = 1e-12
"""What is smaller is 0."""
_MORE = 12
"""More digits than that tell nothing that a gate heeds."""


def digits(value: float, percent: bool = False, more: int = 0) -> str:
    """Return the format of a value of that size, with so many `more` digits than a person needs."""
    size = abs(value)
    if size >= 100:
        return f",.{more}f"
    if size >= 1 or percent:
        return f".{2 + more}f"
    if size >= SMALL or size < _NOTHING:
        return f".{3 + more}f"
    return f".{4 + more}f" if size >= SMALL / 10 else f".{1 + more}e"


def figure(value: float, percent: bool = False) -> str:
    """Return `value` with as many digits as a person reads: 0.960, 0.0025, 7.61, 13,158, 2.0e-05."""
    return _written(value, percent, 0) if math.isfinite(value) else str(value)


def limit(value: float, percent: bool = False) -> str:
    """Return `value` as `figure` does, or with all the digits that somebody gave it: 0.020, 0.0304."""
    text = figure(value, percent)
    return text if math.isclose(_read(text), value, rel_tol=1e-9) else f"{value:,.12g}"


def beside(bar: float, value: float, percent: bool = False, *, at_least: bool) -> str:
    """Return `value` with as many digits as it takes to see whether it is `at_least`, or else at most, `bar`."""
    if not math.isfinite(value):
        return figure(value)
    if math.isclose(value, bar, rel_tol=1e-9):
        return limit(bar, percent)
    missed = value < bar if at_least else value > bar
    for more in range(_MORE):
        text = _written(value, percent, more)
        if (_read(text) < bar if at_least else _read(text) > bar) == missed:
            return text
    return str(value)


def _written(value: float, percent: bool, more: int) -> str:
    value = value if abs(value) >= _NOTHING else 0.0
    form = digits(value, percent, more)
    text = format(value, form)
    if percent and form.startswith("."):
        text = text.rstrip("0").rstrip(".")
    elif form == ".4f":
        text = text.removesuffix("0")
    return "0" if text == "-0" else text


def _read(text: str) -> float:
    return float(text.replace(",", ""))
