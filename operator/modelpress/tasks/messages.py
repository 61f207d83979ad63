"""Answers within the 1,536 bytes that every termination message keeps to. Pure functions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from modelpress.api.base import ApiType
from modelpress.api.results import MESSAGE_LIMIT, AskResult, Failure, PublishResult

ELLIPSIS = "…"
SHORTEST_WARNING = 60
"""Characters that a warning keeps while several are shown."""


def encode(answer: ApiType) -> str:
    """Return `answer` as JSON of at most MESSAGE_LIMIT bytes, figures to 6 significant digits.

    What does not fit is left out in this order: the ends of sentences, warnings from the last (how many is said),
    latency beyond the first batch size, which alone is gated, digits beyond the fourth, the recipe of a search. Metrics
    and digests stay. Raises ValueError if they alone are too long.
    """
    for version in _versions(answer):
        text = json.dumps(version, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) <= MESSAGE_LIMIT:
            return text
    raise ValueError(f"{type(answer).__name__} does not fit into {MESSAGE_LIMIT} bytes: ask for fewer metrics")


def cut(text: str, limit: int) -> str:
    """Return `text`, with an ellipsis where it is cut to `limit` bytes."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: max(limit - len(ELLIPSIS.encode()), 0)].decode(errors="ignore").rstrip() + ELLIPSIS


def round_figures(value: Any, digits: int) -> Any:
    """Return `value` with every float in it at `digits` significant digits; NaN and infinity become None."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: round_figures(part, digits) for key, part in value.items()}
    if isinstance(value, list):
        return [round_figures(part, digits) for part in value]
    return value


def _versions(answer: ApiType) -> Iterator[dict[str, Any]]:
    """Yield the wire form of `answer`, each version shorter than the one before."""
    wire: dict[str, Any] = round_figures(answer.to_wire(), 6)
    yield wire
    if isinstance(answer, Failure):
        for limit in range(MESSAGE_LIMIT - 100, 0, -100):
            yield wire | {"message": cut(answer.message, limit)}
    if isinstance(answer, AskResult):
        yield from _shorter_figures(wire)
    if isinstance(answer, PublishResult):
        yield from _shorter_results(wire, list(answer.warnings))


def _shorter_results(wire: dict[str, Any], warnings: list[str]) -> Iterator[dict[str, Any]]:
    for length in (240, 120, SHORTEST_WARNING):
        yield wire | {"warnings": [cut(warning, length) for warning in warnings]}
    for kept in range(len(warnings) - 1, -1, -1):
        more = f"and {len(warnings) - kept} more warnings, in the report"
        yield wire | {"warnings": [*(cut(warning, SHORTEST_WARNING) for warning in warnings[:kept]), more]}
    rest = [f"{len(warnings)} warnings, in the report"] if warnings else []
    yield from _shorter_figures(wire | {"warnings": rest})


def _shorter_figures(wire: dict[str, Any]) -> Iterator[dict[str, Any]]:
    latency = wire["figures"].get("latency", [])
    for kept in range(len(latency) - 1, 0, -1):
        yield wire | {"figures": wire["figures"] | {"latency": latency[:kept]}}
    shortest = wire | {"figures": wire["figures"] | {"latency": latency[:1]}}
    yield round_figures(shortest, 4)
    yield round_figures({name: part for name, part in shortest.items() if name != "recipe"}, 4)
