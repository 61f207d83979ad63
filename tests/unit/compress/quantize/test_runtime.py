"""The runtime computes int8 products exactly, of whatever width: on CPUs with AMX, those before 1.25 did not.

Tested are the two kinds that are written. Unsigned activations with signed weights overflow on CPUs without VNNI.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.mark.parametrize("columns", [5, 16, 24, 31, 32, 48, 84, 100])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_integer_products_are_exact(kind: type[np.uint8 | np.int8], columns: int) -> None:
    random, ends = np.random.default_rng(0), np.iinfo(kind)
    left = random.integers(ends.min, ends.max, (40, 64), kind, endpoint=True)
    right = random.integers(ends.min, ends.max, (64, columns), kind, endpoint=True)
    zeros = np.array(120, kind), np.array(ends.max - 127, kind)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right", "left_zero", "right_zero"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", helper.np_dtype_to_tensor_dtype(left.dtype), left.shape)],
        [helper.make_tensor_value_info("product", TensorProto.INT32, [40, columns])],
        [
            numpy_helper.from_array(right, "right"),
            numpy_helper.from_array(zeros[0], "left_zero"),
            numpy_helper.from_array(zeros[1], "right_zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (product,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"left": left})
    wanted = (left.astype(np.int32) - int(zeros[0])) @ (right.astype(np.int32) - int(zeros[1]))
    assert np.array_equal(product, wanted)
