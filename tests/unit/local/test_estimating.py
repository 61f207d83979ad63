"""What a stage is said to take: weights in groups stay in files, 8-bit activations and training hold them often."""

from __future__ import annotations

from typing import Any

import pytest

from modelpress.api.stages import Finetune, Quantize
from modelpress.compress.models import Medium
from modelpress.compress.recipe import Step
from modelpress.local.estimating import LIBRARIES, stage_memory

BEFORE, WEIGHTS = 3_000_000_000, 2_000_000_000


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        (Quantize.model_validate({"preset": "W4A16"}), 1.0),
        (Quantize.model_validate({"weights": {"bits": 8}}), 1.0),
        (Quantize.model_validate({"preset": "INT8_DYNAMIC"}), 2.5),
        (Finetune(epochs=1), 3.0),
    ],
)
def test_memory_of_a_stage(settings: Any, most: float) -> None:
    kind = "quantize" if isinstance(settings, Quantize) else "finetune"
    found = stage_memory(Step(1, kind, settings, Medium.GRAPH), BEFORE, WEIGHTS)
    assert BEFORE <= found <= BEFORE * most
    assert (found > BEFORE) == (most > 1)
    assert stage_memory(Step(1, kind, settings, Medium.GRAPH), 0, WEIGHTS) >= min(LIBRARIES, WEIGHTS)
