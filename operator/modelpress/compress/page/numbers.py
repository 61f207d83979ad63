"""Numbers as people read them. Pure functions."""

from __future__ import annotations

import math

from modelpress.api.readable import figure as _figure

LEAST = 1e-12
"""Changes below are none."""
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size(count: float) -> str:
    """Return bytes: `17.8 kB`."""
    for unit in UNITS:
        if abs(count) < 1000 or unit == UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == UNITS[0] or abs(count) >= 100 else f"{count:.1f} {unit}"


def whole(count: float) -> str:
    """Return a count: `81,122`."""
    return f"{count:,.0f}"


def figure(value: float) -> str:
    """Return a metric's value, with a sign of its own width."""
    return _figure(value).replace("-", "−")


def signed(value: float) -> str:
    """Return a change: `+0.002`, `−0.013`, `±0`."""
    if abs(value) < LEAST or not math.isfinite(value):
        return "±0"
    return ("+" if value > 0 else "−") + figure(abs(value))


def percent(part: float) -> str:
    """Return a change in percent: `−39.1 %`."""
    return f"{100 * part:+.1f} %".replace("-", "−")


def milliseconds(value: float) -> str:
    """Return a time of milliseconds: `0.012 ms`, `340 µs` for less than a tenth, `1.2 s` for more than a thousand."""
    if value < 0.1:
        return f"{value * 1000:.1f} µs" if value < 0.01 else f"{value * 1000:.0f} µs"
    if value < 1000:
        return f"{value:.3g} ms" if value < 100 else f"{value:.0f} ms"
    return f"{value / 1000:.2g} s"


def seconds(value: float) -> str:
    """Return a length of time: `0.07 s`, `12 s`, `3 min 20 s`."""
    if value < 10:
        return f"{value:.2g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def times(value: float) -> str:
    """Return a ratio: `4.6×`, `0.67×`, `12×`."""
    return f"{value:.0f}×" if value >= 100 else f"{value:.1f}×" if value >= 1 else f"{value:.2f}×"
