"""Both models' answers to the same samples, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy
from numpy.typing import NDArray

from modelpress.api.reasons import Reason

from ..errors import Judged

Array = NDArray[Any]
Arrays = dict[str, Array]

ORIGINAL = "the original"
"""Label of the model as it came, which no recipe changed."""
MOST_SAMPLES, MOST_BYTES = 64, 32 * 1024 * 1024
"""Samples of a batch, and bytes of its inputs."""


class Answering(Protocol):
    """A model that can be asked, wherever it runs."""

    @property
    def label(self) -> str:
        """`the original`, `the result` or `the server`, for sentences."""

    @property
    def batched(self) -> bool:
        """Whether the first axis of every input and output counts samples."""

    def run(self, feeds: Arrays) -> Arrays:
        """Return the outputs for `feeds`, by name. Raises Judged."""


def batches(inputs: Arrays, count: int, *, batched: bool, most: int = MOST_SAMPLES) -> Iterator[slice]:
    """Yield the samples that are run together, at most `most`; one by one for a model without a batch axis."""
    size = 1
    if batched:
        sample = max(sum(array[:1].nbytes for array in inputs.values()), 1)
        size = max(1, min(most, MOST_BYTES // sample))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def ask(model: Answering, inputs: Arrays, rows: slice) -> Arrays:
    """Return the answers of `model` to samples `rows`, (samples, …). Raises Judged: EvaluationFailed, NotFinite."""
    feeds = {name: numpy.ascontiguousarray(array[rows]) for name, array in inputs.items()}
    if model.batched:
        answers = model.run(feeds)
        count = rows.stop - rows.start
        for name, array in answers.items():
            if array.shape[:1] != (count,):
                raise Judged(
                    Reason.EXPORT_FAILED,
                    f"{model.label} answers {count} samples with shape {list(array.shape)} in {name!r}",
                )
    else:
        answers = {
            name: array[None] for name, array in model.run({name: array[0] for name, array in feeds.items()}).items()
        }
    for name, array in answers.items():
        if array.dtype.kind == "f" and not numpy.isfinite(array).all():
            row = rows.start + int(numpy.argwhere(~numpy.isfinite(array))[0][0])
            advice = ": check its weights and that sample" if model.label == ORIGINAL else ""
            raise Judged(
                Reason.NOT_FINITE, f"{model.label} answers sample {row} with NaN or infinity in output {name!r}{advice}"
            )
    return answers
