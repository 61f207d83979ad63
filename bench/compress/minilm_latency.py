"""Row: time of one text in MiniLM, on one thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import competitors, minilm
from .competitors import onnxruntime_tools
from .minilm import Judge
from .protocol import Contestant, Job, Row, interleave, milliseconds, session
from .statistics import speedup

RECIPE = "minilm-fast"
LENGTHS = (16, 32, 128)
IN_TURN = 5
REACH, COSINE = 3.0, 0.992
BEYOND, COSINE_BEYOND = 4.0, 0.985


def measure(job: Job) -> Row:
    """Run it."""
    prepared, texts = minilm.prepare(job)
    product, _ = minilm.pressed(job, prepared, RECIPE)
    calibration = minilm.calibration(prepared)
    paths = {"original": product.original, RECIPE: product.compressed}
    for per_channel in (False, True):
        name = "onnxruntime, dynamic int8" + (", a scale per channel" if per_channel else "")
        paths[name] = onnxruntime_tools.dynamic(
            product.original, calibration, job.work / "minilm-others", per_channel=per_channel
        )
    judge = Judge(product.original, texts)
    calls = {length: _calls(paths, length) for length in LENGTHS}
    times = {length: interleave(found, job.blocks) for length, found in calls.items()}
    ours = {length: {name: found[name] for name in ("original", RECIPE)} for length, found in calls.items()}
    busy = {length: interleave(found, job.blocks, IN_TURN) for length, found in ours.items()}
    ratios = [f"{speedup(found['original'], found[RECIPE]).point:.2f}" for found in busy.values()]
    contestants, bounds, cosine = [], [], 0.0
    for name, path in paths.items():
        likeness = judge.compare(path)
        figures: dict[str, float | str] = {"cosine": likeness.mean.point, "cosine, bound": likeness.mean.bound}
        for length in LENGTHS:
            found = speedup(times[length]["original"], times[length][name])
            figures |= {
                f"p50 at {length}, ms": milliseconds(times[length][name]),
                f"speedup at {length}": found.point,
                f"bound at {length}": found.bound,
            }
            if name == RECIPE:
                bounds.append(found.bound)
        if name == RECIPE:
            cosine = likeness.mean.bound
        contestants.append(Contestant(name, figures, name == RECIPE))
    contestants += _torchao(job, prepared, texts)
    return Row(
        name="minilm-latency",
        title="MiniLM, p50 of one text, one thread",
        reach="3x at each of 16, 32, 128 tokens, mean cosine 0.992",
        beyond="4x with a cut, at 0.985",
        contestants=contestants,
        reached=min(bounds) >= REACH and cosine >= COSINE,
        surpassed=min(bounds) >= BEYOND and cosine >= COSINE_BEYOND,
        remarks=[
            f"{job.blocks} interleaved blocks at each length; bounds are lower bounds of the median ratio.",
            f"With {IN_TURN} calls in a turn, as on a busy server, {RECIPE} is {', '.join(ratios)} times as fast.",
            "torchao's times are of torch, as are its speedups; it cannot write these weights to ONNX.",
        ],
    )


def _calls(paths: dict[str, Path], length: int) -> dict[str, Callable[[], object]]:
    tokens = np.random.default_rng(0).integers(1000, 20000, (1, length))
    feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    return {name: partial(session(path).run, None, feeds) for name, path in paths.items()}


def _torchao(job: Job, prepared: Path, texts: minilm.Texts) -> list[Contestant]:
    if job.competitors is None:
        return []
    data = job.work / "minilm-texts.npz"
    np.savez(data, allow_pickle=False, **texts.descriptions)
    task: dict[str, Any] = {
        "source": str(prepared / "source"),
        "data": str(data),
        "lengths": LENGTHS,
        "blocks": job.blocks,
    }
    found = competitors.run(job.competitors, "torchao_tool.py", task)
    seconds = found.pop("seconds")
    contestants = []
    for name, one in found.items():
        figures: dict[str, float | str] = {"cosine": one["mean"], "bytes": one["bytes"]}
        for length in LENGTHS:
            times = seconds[str(length)]
            figures[f"p50 at {length}, ms"] = 1000 * times[name]
            figures[f"speedup at {length}"] = times["fp32"] / times[name]
        contestants.append(Contestant(f"torchao, {name}", figures))
    return contestants
