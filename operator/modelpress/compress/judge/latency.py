"""Time of one request: original and result in alternation, so that a busy machine slows both alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api.figures import LatencyFigure
from modelpress.store.report import Histogram, LatencyDetail

from .models import Model

Arrays = dict[str, NDArray[Any]]

WARM_UP = 3
MOST_BLOCKS, WANTED_BLOCKS, LEAST_BLOCKS = 200, 30, 5
BUDGET_SECONDS, LONGEST_SECONDS = 4.0, 60.0
"""Time for one batch size once the wanted blocks are done; and at most, once the least are."""
PERCENTS = (1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0)
Z95 = 1.96
BINS = 48


def measure(original: Model, result: Model, feeds: Arrays, batch_size: int, threads: int) -> LatencyDetail:
    """Return the latency of requests with `feeds`, both models in alternation."""
    for _ in range(WARM_UP):
        original.run(feeds)
        result.run(feeds)
    first, second = alternate(lambda: original.run(feeds), lambda: result.run(feeds), time.perf_counter)
    before, after = numpy.asarray(first) * 1000, numpy.asarray(second) * 1000
    low, middle, high = median_bounds(before.reshape(-1, 2).sum(axis=1) / after.reshape(-1, 2).sum(axis=1))
    return LatencyDetail(
        batch_size=batch_size,
        threads=threads,
        blocks=len(before) // 2,
        percents=PERCENTS,
        original=tuple(float(value) for value in numpy.percentile(before, PERCENTS)),
        compressed=tuple(float(value) for value in numpy.percentile(after, PERCENTS)),
        speedup=middle,
        speedup_low=low,
        speedup_high=high,
        histogram=_histogram(before, after),
    )


def summary(detail: LatencyDetail) -> LatencyFigure:
    """Return what gates are judged by."""
    half, last = detail.percents.index(50.0), detail.percents.index(99.0)
    return LatencyFigure(
        batch_size=detail.batch_size,
        original_p50=detail.original[half],
        compressed_p50=detail.compressed[half],
        original_p99=detail.original[last],
        compressed_p99=detail.compressed[last],
    )


def alternate(
    first: Callable[[], object], second: Callable[[], object], clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Time both, in blocks of ABBA; return the seconds of each call."""
    times: tuple[list[float], list[float]] = ([], [])
    begin = clock()
    for done in range(MOST_BLOCKS):
        spent = clock() - begin
        if done >= LEAST_BLOCKS and spent > (BUDGET_SECONDS if done >= WANTED_BLOCKS else LONGEST_SECONDS):
            break
        for which, call in ((0, first), (1, second), (1, second), (0, first)):
            start = clock()
            call()
            times[which].append(clock() - start)
    return times


def median_bounds(values: NDArray[Any]) -> tuple[float, float, float]:
    """Return lower bound, median and upper bound of it, with 95 % confidence, whatever the distribution.

    By order statistics (Conover, Practical Nonparametric Statistics, 1999, section 3.2, normal approximation).
    """
    ordered, count = numpy.sort(values), len(values)
    reach = Z95 * math.sqrt(count) / 2
    low = max(math.floor(count / 2 - reach), 1) - 1
    high = min(math.ceil(count / 2 + reach) + 1, count) - 1
    return float(ordered[low]), float(numpy.median(ordered)), float(ordered[high])


def request(inputs: Arrays, batch_size: int, *, batched: bool) -> Arrays:
    """Return one request of `batch_size` samples, repeated from `inputs`; without a batch axis, the first sample."""
    if not batched:
        return {name: numpy.ascontiguousarray(array[0]) for name, array in inputs.items()}
    return {
        name: numpy.ascontiguousarray(array[numpy.arange(batch_size) % len(array)]) for name, array in inputs.items()
    }


def _histogram(before: NDArray[Any], after: NDArray[Any]) -> Histogram:
    """Return both in bins from the fastest answer to well above either median; the few far slower ones are left out."""
    low, high = float(min(before.min(), after.min())), 0.0
    for times in (before, after):
        quarter, half, most = numpy.percentile(times, (25, 50, 75))
        high = max(high, float(min(most + 3 * (most - quarter), 2 * half)), float(half * 1.1))
    low = max(0.0, low - 0.04 * (high - low))
    parts = [numpy.histogram(times, BINS, (low, high))[0] / len(times) for times in (before, after)]
    return Histogram(low=low, high=high, original=tuple(map(float, parts[0])), compressed=tuple(map(float, parts[1])))
