"""Train a small dense network on scikit-learn's digits and write it as an ONNX file, with its data beside it.

    python examples/digits-onnx/prepare.py build/digits-onnx

writes source/model.onnx and data/{calibration,test}.npz. The file could come from any framework.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier


def as_onnx(network: MLPClassifier) -> onnx.ModelProto:
    """Return `network` as ONNX: `pixels` (batch, 64) in, `scores` (batch, 10) out."""
    nodes, weights, last = [], [], "pixels"
    for number, (kernel, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        weights += [
            numpy_helper.from_array(kernel.astype(np.float32), f"kernel{number}"),
            numpy_helper.from_array(bias.astype(np.float32), f"bias{number}"),
        ]
        final = number == len(network.coefs_) - 1
        output = "scores" if final else f"dense{number}"
        nodes.append(
            helper.make_node("Gemm", [last, f"kernel{number}", f"bias{number}"], [output], name=f"dense{number}")
        )
        last = output
        if not final:
            nodes.append(helper.make_node("Relu", [output], [f"relu{number}"], name=f"relu{number}"))
            last = f"relu{number}"
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def main(folder: Path) -> None:
    """Write source and data below `folder`."""
    (folder / "source").mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    pixels, labels = (digits.data / 16.0).astype(np.float32)[order], digits.target.astype(np.int64)[order]
    splits = {"test": slice(0, 500), "calibration": slice(500, 700), "train": slice(700, None)}
    for name in ("test", "calibration"):
        np.savez(folder / "data" / f"{name}.npz", pixels=pixels[splits[name]], label=labels[splits[name]])
    network = MLPClassifier((256, 128), max_iter=300, random_state=0).fit(
        pixels[splits["train"]], labels[splits["train"]]
    )
    onnx.save(as_onnx(network), folder / "source" / "model.onnx")
    right = network.score(pixels[splits["test"]], labels[splits["test"]])
    print(f"trained: {right:.1%} of 500 held-out images right; written to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/digits-onnx"))
