"""Scales that are powers of two, in every part of the graph that has scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.graphs import images, write
from tests.unit.compress.quantize.conftest import Press, loss
from tests.unit.compress.sources import samples_of

from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.models import GraphModel
from modelpress.compress.stages import quantize

SCALED = {"QuantizeLinear": 1, "DequantizeLinear": 1, "GatherBlockQuantized": 2}


def scales(model: GraphModel) -> list[np.ndarray[Any, Any]]:
    proto = onnx.load(model.path)
    tensors = {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}
    halves = [value for value in tensors.values() if value.dtype == np.float16]
    named = [node.input[SCALED[node.op_type]] for node in proto.graph.node if node.op_type in SCALED]
    wide = {node.output[0] for node in proto.graph.node if node.op_type == "Cast" and node.input[0] in tensors}
    named += [node.input[1] for node in proto.graph.node if node.op_type == "Mul" and node.input[0] in wide]
    return [*halves, *(tensors[name] for name in named)]


def all_powers_of_two(model: GraphModel) -> bool:
    found = scales(model)
    mantissas = [np.frexp(np.abs(item.astype(np.float32)))[0] for item in found]
    return len(found) > 3 and all((mantissa == 0.5).all() for mantissa in mantissas)


@pytest.mark.parametrize("granularity", ["Channel", "Tensor"])
@pytest.mark.parametrize("algorithm", ["MinMax", "Percentile"])
def test_static_scales_are_powers_of_two_and_integer_kernels_still_agree(
    granularity: str, algorithm: str, tmp_path: Path, make_context: MakeContext
) -> None:
    before = write(tmp_path / "in")
    context = make_context({"calibration": samples_of({"image": images()})})
    settings = {"preset": "INT8", "scales": "PowerOfTwo", "granularity": granularity, "algorithm": algorithm}
    after = quantize.run(before, Quantize.model_validate(settings), context)
    assert all_powers_of_two(after)
    wanted = graph.run(graph.open_session(before.path), {"image": images(7)})["scores"]
    for level in (graph.NONE, graph.onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
        found = graph.run(graph.open_session(after.path, level), {"image": images(7)})["scores"]
        np.testing.assert_allclose(found, wanted, atol=0.08 * np.abs(wanted).max())


@pytest.mark.parametrize("algorithm", ["RTN", "GPTQ"])
def test_scales_of_groups_are_powers_of_two(algorithm: str, original: GraphModel, press: Press) -> None:
    after, _ = press(preset="W4A16", scales="PowerOfTwo", algorithm=algorithm, embeddings={"bits": 4})
    assert all_powers_of_two(after)
    assert not all_powers_of_two(press(preset="W4A16")[0])
    assert loss(original, after) < 0.25


def test_scales_of_convolutions_that_compute_in_float_are_powers_of_two(
    tmp_path: Path, make_context: MakeContext
) -> None:
    before = write(tmp_path / "in")
    kernels = [
        scales(quantize.run(before, Quantize.model_validate({"preset": "W8A16", **fields}), make_context()))
        for fields in ({}, {"scales": "PowerOfTwo"})
    ]
    told = [[bool((np.frexp(np.abs(item))[0] == 0.5).all()) for item in found if item.ndim == 4] for found in kernels]
    assert told == [[False, False], [True, True]]
