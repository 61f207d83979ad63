"""Format onnx: one `.onnx` file, or a folder with model.onnx and external data. Runs nobody's code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import version_converter
from pydantic import ValidationError

from modelpress.api.reasons import Reason
from modelpress.api.source import DTYPES, Source, TensorSpec

from .. import external, graph
from ..errors import Judged
from ..models import GraphModel
from ..signature import BATCH, Signature
from .files import refuse_hollow, single

FILE = "model.onnx"
UNKNOWN = "not a registered function/op"
"""How onnxruntime says that it has no such operator."""


def load(source: Source, folder: Path, scratch: Path) -> GraphModel:
    """Return the graph in the form that all runtimes take: IR 10, operator set at most 21. Raises Judged."""
    path = single(folder, FILE)
    refuse_hollow(path)
    try:
        model = graph.load(path)
        onnx.checker.check_model(str(path))
    except MemoryError:
        raise
    except Exception as error:  # protobuf's and onnx's exceptions share no base class
        raise Judged(Reason.SOURCE_INVALID, f"{path.name} is no valid ONNX model: {_one_line(error)}") from error
    if not model.graph.output:
        raise Judged(Reason.SOURCE_INVALID, f"{path.name} has no output: export it with what it is to answer.")
    notes = modernize(model, path.name)
    signature = signature_of(model, source)
    name_batch(model, signature)
    target = scratch / "source" / FILE
    graph.save(model, target)
    try:
        graph.open_session(target, once=True)
    except Exception as error:  # onnxruntime's exceptions share no base class
        said = graph.said(error).rstrip(".")
        advice = "export it without operators of your own" if UNKNOWN in said else "export it again"
        raise Judged(
            Reason.SOURCE_INVALID, f"{path.name} does not load in onnxruntime{notes}: {said}: {advice}."
        ) from error
    return GraphModel(target, signature)


def modernize(model: Any, name: str) -> str:
    """Bring the operator set and the IR version down to what servers know, in place; return words for an error."""
    words = ""
    opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), graph.OPSET)
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise Judged(
            Reason.SOURCE_INVALID,
            f"{name} uses operator set {opset}, and {newest} is the newest known: export it with "
            f"opset_version={graph.OPSET}.",
        )
    if opset > graph.OPSET:
        external.bring_in(model)
        try:
            model.CopyFrom(version_converter.convert_version(model, graph.OPSET))
        except Exception as error:  # the converter raises RuntimeError and its own
            raise Judged(
                Reason.SOURCE_INVALID,
                f"{name} uses operator set {opset} and cannot be converted to {graph.OPSET} ({_one_line(error)}): "
                f"export it with opset_version={graph.OPSET}.",
            ) from error
        words = f" after conversion from operator set {opset}"
    weights = {item.name for item in model.graph.initializer}
    kept = [item for item in model.graph.input if item.name not in weights]  # older files list weights as inputs too
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = min(model.ir_version, graph.IR_VERSION)
    return words


def signature_of(model: Any, source: Source) -> Signature:
    """Return names, types and axes as in the file; what the spec says must agree. Raises Judged.

    The first axis counts samples if it is dynamic everywhere, unless the spec calls it otherwise: `[nodes, 16]`.
    """
    inputs = list(model.graph.input)
    dynamic = all(_axes(item) and not isinstance(_axes(item)[0], int) for item in [*inputs, *model.graph.output])
    dynamic &= all(spec.shape is None or spec.shape[:1] == (BATCH,) for spec in source.inputs or ())
    return Signature(
        _match("input", [_spec(item, dynamic) for item in inputs], source.inputs),
        _match("output", [_spec(item, dynamic) for item in model.graph.output], source.outputs),
    )


def _match(what: str, found: list[TensorSpec], said: tuple[TensorSpec, ...] | None) -> tuple[TensorSpec, ...]:
    if said is None:
        return tuple(found)
    names = {spec.name for spec in found}
    if {spec.name for spec in said} != names:
        raise Judged(
            Reason.SOURCE_INVALID,
            f"source.{what}s names {', '.join(spec.name for spec in said)}, the file has the {what}s "
            f"{', '.join(sorted(names))}.",
        )
    for spec in said:
        real = next(item for item in found if item.name == spec.name)
        if spec.dtype is not None and spec.dtype != real.dtype:
            raise Judged(
                Reason.SOURCE_INVALID, f"{what} {spec.name} is {real.dtype} in the file and {spec.dtype} in the spec."
            )
        if spec.shape is not None and real.shape is not None and len(spec.shape) != len(real.shape):
            raise Judged(
                Reason.SOURCE_INVALID,
                f"{what} {spec.name} has {len(real.shape)} axes in the file and {len(spec.shape)} in the spec.",
            )
    return tuple(found)


def _axes(item: Any) -> list[int | str]:
    return [
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param for axis in item.type.tensor_type.shape.dim
    ]


def _spec(item: Any, batched: bool) -> TensorSpec:
    """Return a tensor of the file; nameless axes get names of their own."""
    shape: list[int | str] = []
    for position, axis in enumerate(_axes(item)):
        if isinstance(axis, int):
            shape.append(axis)
        elif position == 0 and batched:
            shape.append(BATCH)
        else:
            clean = re.sub(r"[^a-z0-9_]", "_", axis.lower()).lstrip("_0123456789") or f"axis_{position}"
            shape.append(clean if clean != BATCH else f"{clean}_{position}")
    number = item.type.tensor_type.elem_type
    kind = onnx.helper.tensor_dtype_to_np_dtype(number) if number else np.dtype(object)
    if kind.name not in DTYPES:
        held = onnx.TensorProto.DataType.Name(number).lower() if number else item.type.WhichOneof("value") or "nothing"
        raise Judged(
            Reason.SOURCE_INVALID,
            f"Tensor {item.name!r} of the file holds {held}, and models are served with {', '.join(DTYPES)}: leave "
            "the conversion out of the graph.",
        )
    try:
        return TensorSpec(name=item.name, dtype=kind.name, shape=tuple(shape))
    except ValidationError as error:
        first = error.errors()[0]
        raise Judged(
            Reason.SOURCE_INVALID,
            f"Tensor {item.name!r} of the file cannot be served: {first['loc'][0]}: {first['msg']}; rename it.",
        ) from error


def name_batch(model: Any, signature: Signature) -> None:
    """Call the first axis of every input and output `batch`, in place, if it counts samples."""
    if signature.batched:
        names = {spec.name for spec in (*signature.inputs, *signature.outputs)}
        for item in [*model.graph.input, *model.graph.output]:
            if item.name in names:
                item.type.tensor_type.shape.dim[0].dim_param = BATCH


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
