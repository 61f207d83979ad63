"""A graph made ready: shapes inferred, constants folded, every node named."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnx.version_converter
import onnxruntime
from onnxruntime.quantization.fusions import ReplaceUpsampleWithResize
from onnxruntime.quantization.onnx_model import ONNXModel

from modelpress.api.reasons import Reason

from ... import external, graph
from ...errors import Judged

LEAST_OPSET = 11
"""The oldest operator set that can be quantized."""


def prepare(source: Path, target: Path, scratch: Path) -> None:
    """Infer shapes and fold what is constant. Old shapes go first: the exporter's contradict later ones."""
    proto = graph.load(source)
    _raise_opset(proto)
    del proto.graph.value_info[:]
    name_nodes(proto)
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
        onnx.shape_inference.infer_shapes_path(str(folded), str(target))
    folded.unlink()


def _raise_opset(proto: Any) -> None:
    """Bring old operator sets up to what can be quantized, in place. Their Upsample becomes Resize first."""
    opset = next((item.version for item in proto.opset_import if item.domain in ("", "ai.onnx")), LEAST_OPSET)
    if opset >= LEAST_OPSET:
        return
    external.bring_in(proto)
    ReplaceUpsampleWithResize(ONNXModel(proto), opset).apply()
    proto.CopyFrom(onnx.version_converter.convert_version(proto, LEAST_OPSET))


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
