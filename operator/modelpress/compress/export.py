"""From a torch module to an ONNX file that answers alike at several batch sizes. Runs tenants' code (forward)."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx_ir.external_data import unload_from_model
from torch import nn

from modelpress.api.reasons import Reason

from . import bags, duplicates, encoders, external, graph, propagation, recurrent, scattering
from .errors import Judged
from .formats.entrypoint import place
from .models import GraphModel, ModuleModel, fit_outputs, tensors
from .node_names import name_after_modules
from .signature import BATCH, Array, Arrays, Signature, example
from .value_names import name_ends, placeholders

OPSET_VERSION = 20
SAMPLES = 2
"""Samples of the example that is traced: with one, the exporter takes the batch for a constant."""
OTHER_SAMPLES = 5
SPOOL = "exported.data"
"""Where the weights of a large export lie until they are in their order."""
WRAPPED = "module"
"""Attribute of Positional, which the tenant's module lies in."""
DEPENDENT = frozenset({"GuardOnDataDependentSymNode"})
"""What the exporter raises, by name, where the module decides by values."""
OTHER_LENGTHS = (9, 33)
"""Lengths of named axes other than batch in the last comparisons; at least one that was not traced."""
TOLERANCE = {"float16": 2e-2, "float32": 1e-3, "float64": 1e-3}
"""Greatest difference between torch's and onnxruntime's answers, relative to the greatest answer or 1."""


class Positional(nn.Module):
    """The module with its outputs in the order of the signature, as a tuple."""

    def __init__(self, module: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.module = module
        self.signature = signature

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Inputs and outputs are in the order of the signature."""
        return fit_outputs(self.module(*inputs), self.signature.outputs)


def export(model: ModuleModel, path: Path, folder: Path, data: Arrays | None, seed: int) -> GraphModel:
    """Write the module as ONNX and compare the answers of both. Raises Judged: ExportFailed, NotFinite.

    `folder` is the source's, for sentences; `data` are samples to trace and compare with.
    """
    model.module.eval().cpu()
    inputs = example(model.signature, SAMPLES, seed, data)
    recurrent.refuse_packed(model.module, lambda: model.run(inputs))
    try:
        with recurrent.as_operators(model.module), bags.as_lookups(), scattering.as_sums(), encoders.as_layers():
            program = _program(model, tensors(inputs))
        proto = _proto(program, path)
    except (Judged, MemoryError):
        raise
    except Exception as error:  # the exporter raises whatever its parts raise
        raise Judged(Reason.EXPORT_FAILED, _explain(error, folder)) from error
    proto.ir_version = min(proto.ir_version, graph.IR_VERSION)
    duplicates.merge(proto)
    propagation.narrow(proto)
    name_ends(proto, [spec.name for spec in model.signature.inputs], [spec.name for spec in model.signature.outputs])
    _name_axes(proto, model.signature)
    name_after_modules(proto, WRAPPED)
    graph.save(proto, path)
    path.with_name(SPOOL).unlink(missing_ok=True)
    _compare(model, path, data, seed)
    return GraphModel(path, model.signature)


def _proto(program: Any, path: Path) -> Any:
    """Return the graph of an export; large weights go one by one from the module into a file beside `path`."""
    weights = program.model.graph.initializers.values()
    if sum(item.const_value.nbytes for item in weights if item.const_value is not None) > graph.EXTERNAL_FROM:
        path.parent.mkdir(parents=True, exist_ok=True)
        unload_from_model(program.model, path.parent, SPOOL, size_threshold_bytes=external.LARGE)
    proto = program.model_proto
    external.open_places(proto, path.parent)
    return proto


def _program(model: ModuleModel, inputs: dict[str, torch.Tensor]) -> Any:
    """Export with named axes; where the model constrains an axis further than a name can say, with free ones."""
    wrapped = Positional(model.module, model.signature).eval()
    arguments = tuple(inputs[spec.name] for spec in model.signature.inputs)
    named: dict[str, Any] = {}

    def shapes(free: bool) -> Any:
        return (
            tuple(
                {
                    position: torch.export.Dim.DYNAMIC if free else named.setdefault(axis, torch.export.Dim(axis))
                    for position, axis in enumerate(spec.shape or ())
                    if isinstance(axis, str)
                }
                or None
                for spec in model.signature.inputs
            ),
        )

    def attempt(free: bool) -> Any:
        with quiet(), torch.no_grad():
            return torch.onnx.export(
                wrapped,
                arguments,
                dynamo=True,
                dynamic_shapes=shapes(free),
                input_names=placeholders("input", len(model.signature.inputs)),
                output_names=placeholders("output", len(model.signature.outputs)),
                opset_version=OPSET_VERSION,
                verbose=False,
            )

    try:
        return attempt(free=False)
    except torch.onnx.errors.OnnxExporterError:
        if all(isinstance(axis, int) for spec in model.signature.inputs for axis in spec.shape or ()):
            raise
        return attempt(free=True)


def _name_axes(proto: Any, signature: Signature) -> None:
    """Call axes as the spec does, wherever the exporter made up a name of its own."""
    names: dict[str, str] = {}
    for item, spec in zip(proto.graph.input, signature.inputs, strict=True):
        for axis, name in zip(item.type.tensor_type.shape.dim, spec.shape or (), strict=True):
            if isinstance(name, str):
                names.setdefault(axis.dim_param, name)
                axis.dim_param = name
    for item in proto.graph.output:
        for position, axis in enumerate(item.type.tensor_type.shape.dim):
            if axis.dim_param:
                axis.dim_param = names.get(axis.dim_param, axis.dim_param)
            if position == 0 and signature.batched:
                axis.dim_param = BATCH


def _compare(model: ModuleModel, path: Path, data: Arrays | None, seed: int) -> None:
    """Raise Judged if torch and onnxruntime answer differently to any of a few questions."""
    try:
        session = graph.open_session(path, once=True)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise Judged(Reason.EXPORT_FAILED, f"The exported graph does not load in onnxruntime: {error}") from error
    for what, inputs, expected in _questions(model, data, seed):
        try:
            answers = graph.run(session, {name: inputs[name] for name in (item.name for item in session.get_inputs())})
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise Judged(
                Reason.EXPORT_FAILED, f"The exported graph fails on {what}: {' '.join(str(error).split())[:400]}"
            ) from error
        for name, wanted in expected.items():
            difference = distance(wanted, answers[name])
            limit = TOLERANCE.get(wanted.dtype.name, 0.0)
            if difference > limit:
                raise Judged(
                    Reason.EXPORT_FAILED,
                    f"Output {name} of the exported graph differs from the module's by {difference:.2g} on {what} (at "
                    f"most {limit:g} is allowed): forward may depend on the sizes of its inputs or on random numbers.",
                )


def _questions(model: ModuleModel, data: Arrays | None, seed: int) -> Iterator[tuple[str, dict[str, Array], Arrays]]:
    """Yield words, inputs and torch's answers: for two batch sizes, and for other lengths of the other named axes.

    Raises Judged with NotFinite for answers to given data.
    """
    signature = model.signature
    for step, count in enumerate((SAMPLES, OTHER_SAMPLES)):
        rows = data if data is None or signature.batched else {name: column[step:] for name, column in data.items()}
        inputs = example(signature, count, seed + step, rows)
        expected = model.run(inputs)
        broken = graph.not_finite(expected)
        if broken and rows is not None and all(len(column) for column in rows.values()):
            raise Judged(
                Reason.NOT_FINITE,
                f"Output {broken[0]} of the torch module holds NaN or infinity on given data: check the weights.",
            )
        yield f"a batch of {count}" if signature.batched else "one sample", inputs, expected
    axes = sorted({axis for spec in signature.inputs for axis in spec.shape or () if isinstance(axis, str)} - {BATCH})
    if not axes:
        return
    for length in OTHER_LENGTHS:
        inputs = example(signature, OTHER_SAMPLES, seed, free=length)
        try:
            expected = model.run(inputs)
        except MemoryError:
            raise
        except Exception:  # the module has limits of its own, which the graph need not share
            return
        yield f"a length of {length} of {', '.join(axes)}", inputs, expected


def distance(wanted: Array, got: Array) -> float:
    """Return the greatest difference, relative to the greatest wanted value or 1; infinite if shapes or NaNs differ."""
    if wanted.shape != got.shape:
        return float("inf")
    if wanted.dtype.kind != "f":
        return 0.0 if np.array_equal(wanted, got) else float("inf")
    left, right = wanted.astype(np.float64), got.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    if same.all():
        return 0.0
    scale = max(1.0, float(np.nanmax(np.where(np.isfinite(left), np.abs(left), 0))))
    gap = float(np.max(np.where(same, 0.0, np.abs(left - right)))) / scale
    return gap if np.isfinite(gap) else float("inf")


def _explain(error: Exception, folder: Path) -> str:
    root: BaseException = error
    while type(root).__name__ not in DEPENDENT and (root.__cause__ or root.__context__) is not None:
        root = root.__cause__ or root.__context__ or root
    where = place(root, folder) or place(error, folder)
    text = " ".join(str(root).split())[:500]
    at = f" at {where}" if where else ""
    if type(root).__name__ in DEPENDENT:
        return (
            f"The module cannot be exported to ONNX{at}: forward decides there by the values of its inputs, which a "
            "graph of fixed operations cannot. Write it without if, for example with torch.where."
        )
    return f"The module cannot be exported to ONNX{at}: {type(root).__name__}: {text}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter, which writes pages about nothing."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
