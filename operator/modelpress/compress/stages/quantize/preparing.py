"""A graph made ready: shapes inferred, constants folded, every node named."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
from onnx import TensorProto, helper

from modelpress.api.reasons import Reason

from ... import external, graph
from ...errors import Judged
from ...value_names import keep_apart
from .plain import plain_products

LEAST_OPSET = 13
"""The oldest operator set that can be quantized: from there on a channel can have a scale of its own."""
WITH_COORDINATES = 11
"""The oldest operator set whose Resize says where samples lie; onnx's converter mistakes those of older ones."""
OLD_COORDINATES = MappingProxyType({"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})
WITH_WEIGHTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"})
LEAST_IR = 4
"""The oldest format whose weights are no inputs."""


def prepare(source: Path, target: Path, scratch: Path) -> None:
    """Infer shapes, fold constants, keep names apart. Old shapes go first: the exporter's contradict later ones.

    Raises Judged: NotFinite for weights that hold no numbers, StageFailed for a graph that cannot be prepared.
    """
    proto = graph.load(source)
    _check_finite(proto)
    _raise_opset(proto)
    del proto.graph.value_info[:]
    name_nodes(proto)
    plain_products(proto)
    bare, folded = scratch / "bare" / "model.onnx", target.with_name("folded.onnx")
    graph.save(proto, bare)
    target.parent.mkdir(parents=True, exist_ok=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = graph.BASIC
    options.optimized_model_filepath = str(folded)
    options.add_session_config_entry("session.disable_prepacking", "1")
    if len(graph.files_of(bare)) > 1:
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", graph.EXTERNAL_FILE)
    with sentences():
        onnxruntime.InferenceSession(str(bare), options, providers=["CPUExecutionProvider"])
        shutil.rmtree(bare.parent)
        _keep_apart(folded)
        onnx.shape_inference.infer_shapes_path(str(folded), str(target))
    folded.unlink()


def _check_finite(proto: Any) -> None:
    """Raise Judged if a weight holds NaN or infinity. Other constants may: masks are made of it."""
    tensors = {item.name: item for item in proto.graph.initializer if item.data_type == TensorProto.FLOAT}
    for node in proto.graph.node:
        for name in node.input if node.op_type in WITH_WEIGHTS else ():
            tensor = tensors.pop(name, None)  # a weight that several nodes take is read once
            if tensor is not None and not np.isfinite(external.array(tensor)).all():
                raise Judged(
                    Reason.NOT_FINITE,
                    f"The weight {name} of the graph's {node.op_type} holds NaN or infinity: check the source.",
                )


def _keep_apart(path: Path) -> None:
    """Rename values that new ones would meet, in the file."""
    proto = onnx.load(path, load_external_data=False)
    keep_apart(proto)
    onnx.save(proto, path)


def _raise_opset(proto: Any) -> None:
    """Bring old operator sets up to what can be quantized, in place. Their Upsample becomes Resize."""
    opset = next((item.version for item in proto.opset_import if item.domain in ("", "ai.onnx")), LEAST_OPSET)
    if opset >= LEAST_OPSET:
        return
    external.bring_in(proto)
    proto.ir_version = max(proto.ir_version, LEAST_IR)
    try:
        proto.CopyFrom(onnx.version_converter.convert_version(proto, LEAST_OPSET))
    except Exception as error:  # the converter raises RuntimeError, IndexError and its own
        text = " ".join(str(error).split("` failed: ")[-1].split())[:400]
        raise Judged(
            Reason.STAGE_FAILED,
            f"quantize needs operator set {LEAST_OPSET}, and the graph has {opset} and cannot be converted ({text}): "
            f"export it with opset_version={graph.OPSET}.",
        ) from error
    if opset < WITH_COORDINATES:
        for node in proto.graph.node:
            if node.op_type == "Resize":
                kept = [item for item in node.attribute if item.name not in OLD_COORDINATES]
                del node.attribute[:]
                node.attribute.extend(kept)
                node.attribute.extend(helper.make_attribute(*item) for item in OLD_COORDINATES.items())


def name_nodes(proto: Any) -> None:
    """Give every node a name of its own, in place: its operator and number where it has none or another's."""
    taken: set[str] = set()
    for number, node in enumerate(proto.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turn what the quantizer raises into StageFailed."""
    try:
        yield
    except (Judged, MemoryError, OSError):
        raise
    except Exception as error:  # onnxruntime's quantizer raises whatever its parts raise
        text = " ".join(str(error).split())[:400]
        raise Judged(
            Reason.STAGE_FAILED, f"onnxruntime cannot quantize this graph: {type(error).__name__}: {text}"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the quantizer, which advises and warns."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
