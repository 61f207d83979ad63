"""NNCF on an ONNX file: `nncf_tool.py '{"kind": …, "model": …, "data": …, "out": …}'`. Runs in its own environment.

kind: int8 (static, for convolutional nets), transformer (static, for transformers), weights8, weights4.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import nncf
import numpy as np
import onnx

INT4 = 21
"""The first operator set with 4-bit integers. With it NNCF writes 8-bit files that onnxruntime refuses."""


def main(job: dict[str, Any]) -> None:
    """Write `out`."""
    model = onnx.load(job["model"])
    del model.graph.value_info[:]
    if job["kind"] == "weights4" and model.opset_import[0].version < INT4:
        model = onnx.version_converter.convert_version(model, INT4)
    columns = dict(np.load(job["data"]))
    names = [item.name for item in model.graph.input]
    count = len(columns[names[0]])
    samples = nncf.Dataset([{name: columns[name][row : row + 1] for name in names} for row in range(count)])
    match job["kind"]:
        case "int8":
            made = nncf.quantize(model, samples, subset_size=count)
        case "transformer":
            made = nncf.quantize(model, samples, subset_size=count, model_type=nncf.ModelType.TRANSFORMER)
        case "weights8":
            made = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
        case "weights4":
            made = nncf.compress_weights(
                model,
                mode=nncf.CompressWeightsMode.INT4_SYM,
                group_size=32,
                ratio=1.0,
                all_layers=True,
                dataset=samples,
            )
    del made.graph.value_info[:]
    del made.metadata_props[:]
    shapes = {item.name: item.dims for item in made.graph.initializer}
    for node in made.graph.node:
        del node.metadata_props[:]
        if node.op_type == "DequantizeLinear" and len(shapes.get(node.input[1], ())) > 1:
            _turn(node, shapes[node.input[0]], shapes[node.input[1]])
    onnx.save(made, job["out"])
    print(json.dumps({"version": nncf.__version__}))


def _turn(node: Any, weight: Any, scale: Any) -> None:
    """Name the axis that the blocks lie on: NNCF says 0 of embeddings, whose blocks lie on 1."""
    for item in node.attribute:
        if item.name == "axis" and weight[item.i] == scale[item.i]:
            item.i = 1 - item.i


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
