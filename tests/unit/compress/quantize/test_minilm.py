"""MiniLM for real: 4 bits by GPTQ and AWQ against rounding to nearest, and mixed precision, on another kind of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import minilm
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import samples_of

from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.models import GraphModel
from modelpress.compress.stages import quantize

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

JUDGED, CALIBRATING = 160, 512
"""Sentences; there are 161 different ones to judge by."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> GraphModel:
    return minilm.exported(tmp_path_factory.mktemp("minilm") / "model.onnx")


def embeddings(model: GraphModel, data: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    session = graph.open_session(model.path, graph.BASIC)
    parts = [
        graph.run(session, {name: column[start : start + 32] for name, column in data.items()})["sentence_embedding"]
        for start in range(0, JUDGED, 32)
    ]
    return np.concatenate(parts)


def test_at_4_bits_learning_beats_rounding_and_mixed_bits_reach_5_5_times_at_cosine_99(
    original: GraphModel, make_context: MakeContext, tmp_path: Path
) -> None:
    calibrating, judged = minilm.encode(minilm.manual(), CALIBRATING), minilm.encode(minilm.statistics(), JUDGED)
    wanted = embeddings(original, judged)
    found: dict[str, tuple[float, float, float]] = {}

    def press(name: str, **fields: Any) -> None:
        context = make_context({"calibration": samples_of(calibrating)})
        context.scratch = tmp_path / name
        context.scratch.mkdir()
        after = quantize.run(original, Quantize.model_validate(fields), context)
        cosines = (embeddings(after, judged) * wanted).sum(1)
        ratio = original.path.stat().st_size / after.path.stat().st_size
        found[name] = (ratio, float(cosines.mean()), float(np.percentile(cosines, 1)))
        print(f"{name}: {ratio:.2f}x, cosine {cosines.mean():.4f}, 1st percentile {found[name][2]:.4f}")
        print(" ".join(context.notes))

    four = {"bits": 4, "symmetric": False}
    for algorithm in ("RTN", "GPTQ", "AWQ"):
        press(algorithm, weights=four, algorithm=algorithm)
    press(
        "mixed",
        mixed={"effectiveBits": 5.4, "symmetric": False},
        embeddings={"bits": 4},
        algorithm="GPTQ",
    )
    assert 1 - found["GPTQ"][1] < (1 - found["RTN"][1]) * 0.6
    assert 1 - found["AWQ"][1] < (1 - found["RTN"][1]) * 0.8
    assert found["mixed"][0] >= 5.5
    assert found["mixed"][1] >= 0.99
    assert found["mixed"][2] >= 0.98
