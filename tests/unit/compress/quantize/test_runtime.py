"""The runtime computes int8 products exactly, whatever their width: on CPUs with AMX, those before 1.25 did not."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.mark.parametrize("columns", [5, 16, 24, 31, 32, 48, 84, 100])
def test_integer_products_are_exact(columns: int) -> None:
    random = np.random.default_rng(0)
    left = random.integers(0, 255, (40, 64), dtype=np.uint8)
    right = random.integers(-127, 128, (64, columns), dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right", "zero"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, left.shape)],
        [helper.make_tensor_value_info("product", TensorProto.INT32, [40, columns])],
        [numpy_helper.from_array(right, "right"), numpy_helper.from_array(np.array(120, np.uint8), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (product,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"left": left})
    assert np.array_equal(product, (left.astype(np.int32) - 120) @ right.astype(np.int32))
