"""Whatever scheme weights are stored in, the judge can tell their bytes and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.compress.quantize.conftest import Press

from modelpress.compress.judge.layers import compare_layers, layers_of, pair
from modelpress.compress.models import GraphModel

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
