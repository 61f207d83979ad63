"""ONNX files: read, write without what the runtime does not need, count, run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from . import external
from .facts import Size
from .signature import Array, Arrays
from .value_names import graphs, rename, values

IR_VERSION = 10
OPSET = 21
"""The newest operator set that the server's runtime knows for certain."""
EXTERNAL_FROM = 256_000_000
"""Bytes of weights from which they are written beside the model: there they are mapped instead of read, several times
over. A protobuf ends at 2 GiB."""
EXTERNAL_FILE = "model.onnx.data"
CODES = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
LOADING = re.compile(r"Load model from \S.*? failed: ?")
"""What onnxruntime puts before that which is wrong with a model."""
BASIC = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
NONE = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


def bytes_of_weights(model: Any) -> int:
    """Return the bytes of all initializers."""
    return sum(external.size_of(item) for item in model.graph.initializer)


def load(path: Path) -> Any:
    """Return the model; large weights stay in the files where they lie (`external.array` reads them).

    Raises ValueError if they are not there, and whatever protobuf does for what is no model.
    """
    model = onnx.load(path, load_external_data=False)
    external.open_places(model, path.parent)
    return model


def save(model: Any, path: Path) -> None:
    """Write the model without documentation, metadata and shapes of inner tensors. Large weights go beside it."""
    strip(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    if bytes_of_weights(model) > EXTERNAL_FROM:
        external.gather(model, path.with_name(EXTERNAL_FILE))
    else:
        external.bring_in(model)
    with external.relative(model):
        onnx.save_model(model, path)


def said(error: Exception) -> str:
    """Return what onnxruntime says is wrong, in one line, without its codes and without paths of ours."""
    words = " ".join(str(error).split())
    return LOADING.sub("", CODES.sub("", words))[:400]


def strip(model: Any) -> None:
    """Remove what no runtime needs, in place: small files consist of it to a third."""
    del model.metadata_props[:]
    model.doc_string = ""
    for part in graphs(model.graph):
        del part.value_info[:]
        for item in [part, *part.node, *part.initializer, *part.input, *part.output]:
            item.doc_string = ""
            del item.metadata_props[:]


def shorten(model: Any) -> None:
    """Give inner tensors the shortest names and nodes none, in place: names are a fifth of a small quantized file.

    A name stands for one name everywhere, in branches and loops too, so that what these take from outside stays it.
    """
    parts = list(graphs(model.graph))
    ends = {item.name for item in [*model.graph.input, *model.graph.output]} | {""}
    free = (name for name in map("{:x}".format, count()) if name not in ends)
    rename(model, {name: next(free) for name in dict.fromkeys(chain(*map(values, parts))) if name not in ends})
    for part in parts:
        for node in part.node:
            node.name = ""
    for part in parts[1:]:
        part.name = "g"  # none at all is not allowed


def files_of(path: Path) -> list[Path]:
    """Return the model's file and those that its weights lie in."""
    return _files_of(path, onnx.load(path, load_external_data=False))


def _files_of(path: Path, model: Any) -> list[Path]:
    names = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    return [path, *(path.parent / name for name in sorted(names))]


def size_of_graph(path: Path) -> Size:
    """Count elements of the weights, and bytes on disk."""
    return size_of_loaded(path, onnx.load(path, load_external_data=False))


def size_of_loaded(path: Path, model: Any) -> Size:
    """Return the same of `model`, which lies at `path`."""
    elements = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    return Size(parameters=elements, bytes=sum(file.stat().st_size for file in _files_of(path, model)))


def open_session(path: Path, level: Any = NONE, *, once: bool = False) -> Any:
    """Return an onnxruntime session with one thread.

    `once`: it answers few questions, and so takes weights as they lie in the file instead of packing them anew.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = level
    if once:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session: Any, inputs: Arrays) -> dict[str, Array]:
    """Return the outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def not_finite(outputs: Arrays) -> list[str]:
    """Return the names of outputs that hold NaN or infinity."""
    return [name for name, value in outputs.items() if value.dtype.kind == "f" and not np.isfinite(value).all()]


def replace_nodes(model: Any, nodes: Iterable[Any]) -> None:
    """Have the graph consist of these nodes, in place, without initializers that none of them takes."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    drop_unused(model)


def needed(model: Any, nodes: Sequence[Any]) -> list[Any]:
    """Return those of the nodes, in their order, that the model's outputs depend on."""
    wanted = {item.name for item in model.graph.output}
    found = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(_all_inputs(node))
            found.append(node)
    return found[::-1]


def drop_unused(model: Any) -> None:
    """Remove initializers that nobody takes, in place: sessions warn of each. Defaults of inputs stay."""
    used = consumers(model).keys() | {item.name for item in model.graph.input}
    kept = [
        onnx.TensorProto.FromString(item.SerializeToString()) for item in model.graph.initializer if item.name in used
    ]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def consumers(model: Any) -> dict[str, list[Any]]:
    """Return the nodes that take each tensor; the graph's outputs count as taken by None."""
    found: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in _all_inputs(node):
            found.setdefault(name, []).append(node)
    for output in model.graph.output:
        found.setdefault(output.name, []).append(None)
    return found


def turned(node: Any) -> bool:
    """Whether a Gemm's weight is [outputs, inputs]."""
    return any(item.name == "transB" and item.i for item in node.attribute)


def _all_inputs(node: Any) -> Iterable[str]:
    """Inputs of a node, and whatever its subgraphs take."""
    yield from node.input
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                yield from _all_inputs(inner)
