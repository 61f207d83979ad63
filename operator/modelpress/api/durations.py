"""Go-style durations, `1h30m`, to seconds and back. Units: h, m, s, ms; no sign, no spaces."""

from __future__ import annotations

import re

from .base import DURATION_PATTERN

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


def seconds(duration: str) -> float:
    """Return the length of `duration` in seconds. Raises ValueError for anything that is no duration."""
    if not re.fullmatch(DURATION_PATTERN.strip("^$"), duration):
        raise ValueError(f"{duration!r} is no duration: write it as in 250ms, 90s or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(duration))


def duration(length: float) -> str:
    """Return `length` seconds as a duration, to the millisecond: 5400 is `1h30m`, 0.25 is `250ms`."""
    if not 0 <= length < float("inf"):
        raise ValueError(f"a duration is a finite number of seconds that is not negative, not {length}")
    rest = round(length * 1000)
    parts = []
    for unit, milliseconds in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, milliseconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
