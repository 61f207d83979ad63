"""Calibration data in small pieces, so that memory holds the activations of one piece at a time."""

from __future__ import annotations

import math

from onnxruntime.quantization import CalibrationDataReader

from ...signature import Array, Arrays, Signature, calls

PIECE = 16
"""Samples of one piece."""


class Pieces(CalibrationDataReader):  # type: ignore[misc]
    """Samples cut into the inputs of single calls; onnxruntime takes a range at a time (`CalibStridedMinMax`)."""

    def __init__(self, data: Arrays, signature: Signature) -> None:
        self.data = data
        self.signature = signature
        self.count = len(next(iter(data.values())))
        self.step = PIECE if signature.batched else 1
        self.set_range(0, len(self))

    def __len__(self) -> int:
        """Return the number of pieces."""
        return math.ceil(self.count / self.step)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Begin at one piece and stop before another."""
        order = range(start_index * self.step, min(self.count, end_index * self.step))
        self.rest = calls(self.data, self.signature, self.step, order)

    def get_next(self) -> dict[str, Array] | None:
        """Return the next piece, or None after the last."""
        return next(self.rest, None)
