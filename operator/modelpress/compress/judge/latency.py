"""Time of one request: original and result in alternation, so that a busy machine slows both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api.figures import LatencyFigure

from .models import Model

Arrays = dict[str, NDArray[Any]]

WARM_UP = 3
MOST_ROUNDS, LEAST_ROUNDS = 100, 5
BUDGET_SECONDS = 4.0
"""Time for one batch size, once the least rounds are done."""


def measure(original: Model, result: Model, feeds: Arrays, batch_size: int) -> LatencyFigure:
    """Return the latency of requests with `feeds`, in milliseconds, both models in alternation."""
    for _ in range(WARM_UP):
        original.run(feeds)
        result.run(feeds)
    first, second = alternate(lambda: original.run(feeds), lambda: result.run(feeds), time.perf_counter)
    return LatencyFigure(
        batch_size=batch_size,
        original_p50=_percentile(first, 50),
        compressed_p50=_percentile(second, 50),
        original_p99=_percentile(first, 99),
        compressed_p99=_percentile(second, 99),
    )


def alternate(
    first: Callable[[], object], second: Callable[[], object], clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Time both, in rounds of ABBA; return the seconds of each call."""
    times: tuple[list[float], list[float]] = ([], [])
    begin = clock()
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and clock() - begin > BUDGET_SECONDS:
            break
        for which, call in ((0, first), (1, second), (1, second), (0, first)):
            start = clock()
            call()
            times[which].append(clock() - start)
    return times


def request(inputs: Arrays, batch_size: int, *, batched: bool) -> Arrays:
    """Return one request of `batch_size` samples, repeated from `inputs`; without a batch axis, the first sample."""
    if not batched:
        return {name: numpy.ascontiguousarray(array[0]) for name, array in inputs.items()}
    return {
        name: numpy.ascontiguousarray(array[numpy.arange(batch_size) % len(array)]) for name, array in inputs.items()
    }


def _percentile(seconds: list[float], percent: int) -> float:
    return float(numpy.percentile(seconds, percent)) * 1000
