"""Row: multiply-accumulate operations of a residual net on digits, by pruning channels."""

from __future__ import annotations

import numpy as np

from . import digits
from .protocol import Contestant, Job, Row
from .statistics import loss_of

TASK = digits.Task(
    name="residual",
    shape=lambda images: images,
    epochs=15,
    recipes=("residual", "residual-small"),
    longer="residual-longer",
)
REACH, BEYOND, LOSS = 2.5, 4.0, 0.005


def measure(job: Job) -> Row:
    """Run it."""
    answers, digests = digits.measure(TASK, job, {})
    baseline = digits.better_baseline(answers)
    before = np.array([facts["macs"] for facts in answers["original"].facts])
    contestants, best = [], 0.0
    for name, found in answers.items():
        loss = loss_of(answers[baseline].right - found.right)
        figures: dict[str, float | str] = {
            "accuracy": float(found.right.mean()),
            "loss, points": 100 * loss.point,
            "95 % bound": 100 * loss.bound,
        }
        if name in TASK.recipes:
            macs = np.array([facts["macs"] for facts in found.facts])
            fewer = float((before / macs).min())
            figures |= {"MACs": float(np.median(macs)), "MACs, times fewer": fewer}
            if loss.bound <= LOSS:
                best = max(best, fewer)
        elif found.facts[0]:
            figures |= {"MACs": float(np.median(before)), "MACs, times fewer": 1.0}
        contestants.append(Contestant(name, figures, name in TASK.recipes))
    return Row(
        name="residual",
        title="Residual net on digits, multiply-accumulates",
        reach="2.5x fewer by channel pruning at a loss of at most 0.5 points",
        beyond="4x",
        contestants=contestants,
        reached=best >= REACH,
        surpassed=best >= BEYOND,
        remarks=[
            f"{len(digests)} frozen checkpoints; the baseline that counts is `{baseline}`.",
            f"The first checkpoint is {digests[0]}.",
            "NNCF has removed structural pruning and torchao has none, so nobody stands beside it.",
        ],
    )
