"""Whatever scheme weights are stored in, the judge can tell their bytes and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.onnx_models import save_linear
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.quantize.conftest import Press

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Quantize
from modelpress.compress.judge.layers import compare_layers, layers_of, pair
from modelpress.compress.models import GraphModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import quantize

SCHEMES: dict[str, dict[str, Any]] = {
    "8 bits": {"preset": "W8A16"},
    "4 bits": {"preset": "W4A16"},
    "4 bits with zero points": {"weights": {"bits": 4, "symmetric": False}},
    "8-bit activations": {"weights": {"bits": 8}, "activations": {"bits": 8, "dynamic": True}},
    "4 bits, 8-bit activations": {"weights": {"bits": 4}, "activations": {"bits": 8, "dynamic": True}},
    "embeddings in 8 bits": {"preset": "W8A16", "embeddings": {"bits": 8}},
    "embeddings in 4 bits": {"preset": "W4A16", "embeddings": {"bits": 4}},
    "dynamic": {"preset": "INT8_DYNAMIC"},
    "static": {"preset": "INT8"},
    "mixed": {"mixed": {"effectiveBits": 6}, "algorithm": "GPTQ"},
}


@pytest.mark.parametrize("fields", SCHEMES.values(), ids=SCHEMES)
def test_layers_keep_their_bytes_and_about_their_values(
    press: Press, original: GraphModel, fields: dict[str, Any]
) -> None:
    after, _ = press(**fields)
    figures, spread = compare_layers(original.path, after.path)
    assert spread is not None
    assert sum(figure.compressed_bytes or 0 for figure in figures) < sum(figure.original_bytes for figure in figures)
    told = 0
    for layer, other in pair(layers_of(original.path), layers_of(after.path)):
        assert other is not None
        if layer.main is not None and other.main is not None:
            told += 1
            assert np.abs(other.main).mean() == pytest.approx(np.abs(layer.main).mean(), rel=0.15)
    assert told


def test_what_fills_up_the_last_group_is_no_weight(tmp_path: Path, make_context: MakeContext) -> None:
    weight = np.random.default_rng(0).standard_normal((100, 24)).astype(np.float32)
    path = save_linear(tmp_path, weight)
    model = GraphModel(path, Signature((TensorSpec(name="image", shape=("batch", 100)),), (TensorSpec(name="logits"),)))
    context = make_context()
    context.scratch = tmp_path / "stage"
    after = quantize.run(model, Quantize.model_validate({"weights": {"bits": 4, "groupSize": 64}}), context)
    (before,), (layer,) = layers_of(path), layers_of(after.path)
    assert layer.main is not None
    assert before.count == 2400
    assert layer.main.shape == (2400,)
    assert layer.count == 2400 + 2 * 24  # and the scales of two groups for each output
