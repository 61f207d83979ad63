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


def main(job: dict[str, Any]) -> None:
    """Write `out`."""
    model = onnx.load(job["model"])
    del model.graph.value_info[:]
    model = onnx.version_converter.convert_version(model, 21) if model.opset_import[0].version < 21 else model
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
    for node in made.graph.node:
        del node.metadata_props[:]
        if node.op_type == "QuantizeLinear" and len(node.input) > 2:  # NNCF's type contradicts its zero points
            kept = [item for item in node.attribute if item.name != "output_dtype"]
            del node.attribute[:]
            node.attribute.extend(kept)
    onnx.save(made, job["out"])
    print(json.dumps({"version": nncf.__version__}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
