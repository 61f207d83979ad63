"""A model that a server runs, asked over gRPC like one that runs here; and how long its answers take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api.reasons import Reason
from modelpress.api.verification import ServedLatency
from modelpress.triton.client import TritonAwayError, TritonError
from modelpress.triton.grpc_client import GrpcClient

from ..errors import Judged
from .answers import MOST_SAMPLES
from .models import Model

Arrays = dict[str, NDArray[Any]]

WARM_UP = 3
MOST_REQUESTS, LEAST_REQUESTS, BUDGET_SECONDS = 500, 30, 4.0
"""Requests that are timed at one batch size: as many as the time allows, but not fewer than the least."""


@dataclass(frozen=True)
class Served:
    """A model that a server runs, asked like one that runs here."""

    label: str
    """`the server`, for sentences."""
    client: GrpcClient
    """Who asks it."""
    batched: bool
    """Whether the first axis counts samples."""
    axes: Mapping[str, int]
    """Axes of each output, without those that only travel."""
    sent: Mapping[str, int]
    """Axes of each input on its way: a tensor without axes beside the batch travels with one more."""
    most: int
    """Most samples of one request."""

    def run(self, feeds: Arrays) -> Arrays:
        """Return the server's outputs for `feeds`, by name.

        Raises Judged: EvaluationFailed for what the server refuses, ServerUnavailable where nobody answers.
        """
        arrays = {
            name: numpy.ascontiguousarray(array if array.ndim == self.sent.get(name) else array[..., None])
            for name, array in feeds.items()
        }
        try:
            answers = self.client.infer(arrays, list(self.axes))
        except TritonAwayError as error:
            raise Judged(Reason.SERVER_UNAVAILABLE, f"{self.label}: {error}") from error
        except TritonError as error:
            raise Judged(Reason.EVALUATION_FAILED, f"{self.label} fails on the test data: {error}") from error
        return {
            name: array[..., 0] if array.ndim == self.axes[name] + 1 and array.shape[-1] == 1 else array
            for name, array in answers.items()
        }


def served(label: str, client: GrpcClient, original: Model) -> Served:
    """Return the model that `client` asks, once it is ready; its interface is that of `original`. Raises Judged."""
    try:
        client.wait_until_ready()
        largest, sent = client.max_batch_size(), client.axes()
    except (TritonAwayError, TritonError) as error:
        raise Judged(Reason.SERVER_UNAVAILABLE, f"{label}: {error}") from error
    most = min(largest or MOST_SAMPLES, MOST_SAMPLES) if original.batched else 1
    axes = {tensor.name: len(tensor.shape) for tensor in original.outputs}
    return Served(label, client, original.batched, axes, sent, most)


def measure(
    run: Callable[[], object], batch_size: int, clock: Callable[[], float] = time.perf_counter
) -> ServedLatency:
    """Return the latency of `run`, one request of `batch_size` samples."""
    for _ in range(WARM_UP):
        run()
    times: list[float] = []
    begin = clock()
    while len(times) < MOST_REQUESTS and (len(times) < LEAST_REQUESTS or clock() - begin < BUDGET_SECONDS):
        start = clock()
        run()
        times.append((clock() - start) * 1000)
    p50, p95, p99 = (float(value) for value in numpy.percentile(times, (50, 95, 99)))
    return ServedLatency(batch_size=batch_size, requests=len(times), p50=p50, p95=p95, p99=p99)
