"""What a judged gate says to a person: metric, both values, bounds, number of samples, limit."""

from __future__ import annotations

from .evaluation import LATENCY_METRIC, SIZE_METRIC
from .intervals import Interval
from .readable import beside, figure, limit

_UNITS = {SIZE_METRIC: " bytes", LATENCY_METRIC: " ms"}


def change(
    metric: str,
    original: float,
    compressed: float,
    worse: float,
    bounds: Interval | None,
    *,
    bar: float,
    improving: bool,
    percent: bool,
    confidence: float,
    samples: int | None,
    groups: int | None = None,
) -> str:
    """Return how `metric` changed: `top1 fell from 0.990 to 0.960 (by 0.030, 95 % bounds 0.012…0.049, n=500)`.

    `worse` and `bounds` say by how much the result is worse than the original, in percent of it if `percent`;
    `improving` says that the gate asks the other way round, and turns their signs. All of them show on which side of
    the limit `bar` they are.
    """
    amount, ends = (-worse, bounds and Interval(-bounds.high, -bounds.low)) if improving else (worse, bounds)
    unit = " %" if percent else ""
    by = beside(bar, amount, percent, at_least=improving) if amount >= 0 else figure(-amount, percent)
    details = [f"by {by}{unit}"] if compressed != original else []
    if ends is not None:
        expected = "" if amount >= 0 and details else " of the improvement" if improving else " of the loss"
        low, high = (beside(bar, end, percent, at_least=improving) for end in ends)
        details.append(f"{100 * confidence:g} % bounds{expected} {low}…{high}{unit}")
    if samples is not None:
        details.append(counted(samples, groups))
    verb = "fell" if compressed < original else "rose" if compressed > original else "stayed"
    values = f"from {figure(original)} to {figure(compressed)}" if verb != "stayed" else f"at {figure(original)}"
    return f"{metric} {verb} {values}{_UNITS.get(metric, '')}" + (f" ({', '.join(details)})" if details else "")


def level(
    metric: str,
    value: float,
    bounds: Interval | None,
    *,
    bar: float,
    at_least: bool,
    confidence: float,
    samples: int | None,
    groups: int | None = None,
) -> str:
    """Return where `metric` is beside the limit `bar`: `top1 is 0.960 (95 % bounds 0.942…0.973, n=500)`."""
    details = []
    if bounds is not None:
        low, high = (beside(bar, end, at_least=at_least) for end in bounds)
        details.append(f"{100 * confidence:g} % bounds {low}…{high}")
    if samples is not None:
        details.append(counted(samples, groups))
    shown = beside(bar, value, at_least=at_least)
    return f"{metric} is {shown}{_UNITS.get(metric, '')}" + (f" ({', '.join(details)})" if details else "")


def demand(metric: str, value: float, *, at_least: bool, percent: bool) -> str:
    """Return the limit: `at most 0.020 is allowed`, `at least 70 % is demanded`."""
    amount = limit(value, percent) + (" %" if percent else _UNITS.get(metric, ""))
    return f"at least {amount} is demanded" if at_least else f"at most {amount} is allowed"


def too_few(count: int, kind: str, enough: int | None) -> str:
    """Return that so many cannot tell, and how many might: `500 samples cannot tell; about 1,400 might`."""
    hint = f"; about {enough:,} might" if enough is not None else ""
    return f"{count} {kind if count != 1 else kind.removesuffix('s')} cannot tell{hint}"


def counted(samples: int, groups: int | None) -> str:
    """Return of how many samples, and how many groups of them, something was said: `n=500 in 40 groups`."""
    return f"n={samples}" if groups is None else f"n={samples} in {groups} groups"
