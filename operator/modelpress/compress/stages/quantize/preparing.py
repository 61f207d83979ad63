"""A graph made ready: shapes inferred, constants folded, every node named."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization.shape_inference import quant_pre_process

from modelpress.api.reasons import Reason

from ... import graph
from ...errors import Judged


def prepare(source: Path, target: Path, scratch: Path, external: bool) -> None:
    """Infer shapes and fold what is constant. Old shapes go first: the exporter's contradict later ones."""
    proto = onnx.load(source)
    del proto.graph.value_info[:]
    name_nodes(proto)
    bare = scratch / "bare" / "model.onnx"
    graph.save(proto, bare)
    with sentences(), quiet():
        quant_pre_process(
            str(bare),
            str(target),
            skip_symbolic_shape=True,
            save_as_external_data=external,
            all_tensors_to_one_file=True,
        )


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
