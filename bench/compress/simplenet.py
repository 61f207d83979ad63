"""Row: bytes of SimpleNet (3x32x32) on digits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import competitors, digits
from .protocol import Contestant, Job, Row
from .statistics import Estimate, loss_of


def _widened(images: NDArray[Any]) -> NDArray[Any]:
    """Return each pixel as 4x4 pixels of three equal colours."""
    return np.ascontiguousarray(images.repeat(4, 2).repeat(4, 3).repeat(3, 1))


TASK = digits.Task(
    name="simplenet",
    shape=_widened,
    epochs=20,
    recipes=("simplenet",),
    longer="simplenet-longer",
)
REACH, BEYOND = (15.0, 0.01), (20.0, 0.005)
"""Ratio of bytes, and the greatest loss of accuracy."""


def measure(job: Job) -> Row:
    """Run it."""
    answers, digests = digits.measure(TASK, job, competitors.of_images(job))
    baseline = digits.better_baseline(answers)
    bytes_before = np.array(answers["original"].bytes)
    contestants, kept = [], set[str]()
    for name, found in answers.items():
        loss = loss_of(answers[baseline].right - found.right)
        ratio = float((bytes_before / np.array(found.bytes)).min())
        ours = name in TASK.recipes
        contestants.append(Contestant(name, figures(found, ratio, loss), ours))
        if ours:
            kept |= {what for what, demand in (("reach", REACH), ("beyond", BEYOND)) if keeps(ratio, loss, demand)}
    return Row(
        name="simplenet",
        title="SimpleNet on digits, bytes",
        reach="15x at a loss of at most 1 point",
        beyond="20x at a loss of at most 0.5 points",
        contestants=contestants,
        reached="reach" in kept,
        surpassed="beyond" in kept,
        remarks=[
            f"{len(digests)} frozen checkpoints; the baseline that counts is `{baseline}`.",
            f"The first checkpoint is {digests[0]}.",
            "A ratio is the least over all folds.",
        ],
    )


def figures(found: digits.Answers, ratio: float, loss: Estimate) -> dict[str, float | str]:
    """Return what is shown of a contestant."""
    return {
        "bytes": float(np.median(found.bytes)),
        "ratio": ratio,
        "accuracy": float(found.right.mean()),
        "loss, points": 100 * loss.point,
        "95 % bound": 100 * loss.bound,
    }


def keeps(ratio: float, loss: Estimate, demand: tuple[float, float]) -> bool:
    """Whether the bound reaches a demand."""
    return ratio >= demand[0] and loss.bound <= demand[1]
