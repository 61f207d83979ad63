"""Row: what the sensitivity scan of mixed precision costs, in forward passes of its data."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np

from . import minilm
from .product import Columns
from .protocol import Contestant, Job, Row, session

RECIPE = "minilm-small"
REACH, BEYOND = 1.5, 0.5
"""Forward passes a layer."""
REPEATS = 5
PIECE = 16
"""Samples of one call of the scan (`stages/quantize/calibration.py`)."""


def measure(job: Job) -> Row:
    """Run it."""
    prepared, _ = minilm.prepare(job)
    product, clock = minilm.pressed(job, prepared, RECIPE)
    data = minilm.calibration(prepared)
    start = next(at for at, detail in reversed(clock.marks) if re.match(r"(\d+) of \1 weights rounded", detail))
    end = max(at for at, detail in clock.marks if detail.startswith("sensitivity of"))
    note = next(text for stage in product.facts.stages for text in stage.notes if text.startswith("Sensitivity of"))
    layers = int(note.split()[2])
    passing = min(_pass(product.original, data) for _ in range(REPEATS))
    cost = (end - start) / layers / passing
    return Row(
        name="sensitivity",
        title="Sensitivity scan, MiniLM",
        reach="at most 1.5 fp32 forward passes of its data a layer",
        beyond="at most 0.5",
        contestants=[
            Contestant(
                RECIPE,
                {"layers": layers, "CPU seconds": end - start, "of one pass": passing, "passes a layer": cost},
                ours=True,
            )
        ],
        reached=cost <= REACH,
        surpassed=cost <= BEYOND,
        remarks=[
            note,
            "CPU seconds of the process from the rounded weights to the last loss: the session, the "
            "original's answers, every trial. A pass is that of the original in a session with all optimizations.",
        ],
    )


def _pass(model: Path, data: Columns) -> float:
    """Return the CPU seconds of one fp32 forward pass of the data, in pieces as the scan has them."""
    asked = session(model)
    parts = [
        {name: np.ascontiguousarray(column[row : row + PIECE]) for name, column in data.items()}
        for row in range(0, len(data["input_ids"]), PIECE)
    ]
    asked.run(None, parts[0])
    start = time.process_time()
    for part in parts:
        asked.run(None, part)
    return time.process_time() - start
