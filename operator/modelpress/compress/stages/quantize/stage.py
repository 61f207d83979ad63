"""The way through the stage: prepare, choose nodes, let an engine work, store what it does not know, check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import onnx

from modelpress.api.reasons import Reason
from modelpress.api.stages import Quantize, QuantizePreset

from ... import graph
from ...errors import Judged
from ...external import Spool
from ...facts import LayerFacts
from ...models import GraphModel
from ...quantize_settings import needs_calibration
from ..context import Context
from ..naming import select
from . import integers
from .candidates import Candidate, find
from .checking import CODES, Facts, check
from .convolutions import store_convolutions
from .ends import leave_ends_in_float
from .exact import fit_pairs
from .fixed_point import to_fixed_point
from .mixed import FLOAT
from .mixing import Mixing, parted
from .preparing import prepare
from .products import take_over_biases
from .recurrent import store_recurrent
from .rounding import nearest
from .scheme import Engine, engine, fixed_point, table_bits, table_scheme
from .smoothing import smooth
from .weights import Work
from .writing import Stored, Writer

FEW = 16
"""Samples for calibration, fewer than which are too few."""
WEIGHTY = "matrix product or embedding that is quantized"


def run(model: GraphModel, settings: Quantize, context: Context) -> GraphModel:
    """Write a quantized graph. Raises Judged with StageFailed if no weight could be stored as integers."""
    prepared = replace(model, path=context.scratch / "prepared" / "model.onnx")
    before = Facts.of(model.path)
    prepare(model.path, prepared.path, context.scratch)
    context.report(0.2, "prepared")
    if model.signature.batched:
        _warn_of_few(settings, context)
    nodes = _nodes(prepared)
    chosen = select(settings.targets, nodes, "node", nested=True, field="targets") if settings.targets else set(nodes)
    chosen -= select(settings.ignore or (), nodes, "node", nested=True)
    if settings.smooth_quant:
        prepared = smooth(prepared, chosen, context)
    if engine(settings) is Engine.GROUPS:
        proto = _in_groups(prepared, settings, chosen, context)
    else:
        proto = _in_integers(prepared, settings, set(_nodes(prepared)) - chosen, context)
    proto.ir_version = min(max(proto.ir_version, 10 if _has_nibbles(proto) else 0), graph.IR_VERSION)
    before.restore_axes(proto)
    target = replace(model, path=context.scratch / "quantized" / "model.onnx")
    graph.strip(proto)
    graph.shorten(proto)
    graph.save(proto, target.path)
    check(target, before, context)
    return target


def _nodes(model: GraphModel) -> list[str]:
    return [node.name for node in onnx.load(model.path, load_external_data=False).graph.node]


def _in_groups(prepared: GraphModel, settings: Quantize, chosen: set[str], context: Context) -> Any:
    """Return the graph with its matrices and embeddings in groups, and its convolutions in 8 bits."""
    proto = graph.load(prepared.path)
    candidates = [item for item in find(proto) if item.name in chosen]
    _refuse_others(settings, candidates)
    spool = Spool(context.scratch / "spool")
    fitted, measured = parted(settings, context.calibration(), context.seed)
    work = Work(prepared, proto, settings, context, spool, fitted)
    stored = work.store(candidates)
    losses: dict[str, float] = {}
    if settings.mixed is not None and measured is not None and candidates:
        mixing = Mixing(work, settings.mixed, candidates, stored, measured)
        stored, losses = mixing.choose(), mixing.losses
    context.layers += _facts(candidates, stored, losses)
    context.warnings += _twice(proto, stored)
    Writer(proto, spool, integer=settings.activations is not None).write(stored)
    written = sum(node.op_type in ("MatMulNBits", "GatherBlockQuantized") for node in proto.graph.node)
    plain = sum(item.candidate.embedding and item.rounded.grid.scheme.bits == 8 for item in stored.values())
    if written + plain != len(stored):
        raise Judged(
            Reason.STAGE_FAILED,
            f"quantize was to store the weights of {len(stored)} nodes, and did of {written + plain}.",
        )
    _widened(proto, chosen, context, per_channel=True, fixed=fixed_point(settings))
    return proto


def _in_integers(prepared: GraphModel, settings: Quantize, excluded: set[str], context: Context) -> Any:
    """Return the graph after onnxruntime's quantizer; embeddings of 4 bits are written after it, as it must be."""
    path = context.scratch / "model.onnx"
    bits = table_bits(settings)
    whole = graph.load(prepared.path)
    tensors = {item.name: item for item in whole.graph.initializer}
    tables = [item for item in find(whole) if item.embedding and item.name not in excluded] if bits else []
    work = integers.static if engine(settings) is Engine.STATIC else integers.dynamic
    external = len(graph.files_of(prepared.path)) > 1
    work(prepared, path, settings, sorted(excluded | {item.name for item in tables}), context, external=external)
    proto = graph.load(path)
    spool = Spool(context.scratch / "spool")
    unknown = [] if fixed_point(settings) else fit_pairs(proto, tensors, spool)
    if unknown:
        context.warnings.append(
            f"{', '.join(unknown)} may overflow on processors without VNNI: onnxruntime's quantizer made them of no "
            "weight of the graph."
        )
    if fixed_point(settings):
        context.notes.append(f"{to_fixed_point(proto, tensors)} scales are powers of two.")
    if bits and tables:
        stored = {
            item.name: Stored(item, nearest(item.rows(tensors), table_scheme(bits, item.shape[1], settings)))
            for item in tables
        }
        Writer(proto, spool, integer=False).write(stored)
    chosen = {node.name for node in proto.graph.node} - excluded
    if engine(settings) is Engine.DYNAMIC:
        _widened(proto, chosen, context, per_channel=integers.per_channel(settings), fixed=False)
    else:
        _recurrent(proto, chosen, context, fixed=fixed_point(settings))
        if not fixed_point(settings):
            leave_ends_in_float(proto, whole)
            take_over_biases(proto)
    return proto


def _facts(
    candidates: list[Candidate], stored: Mapping[str, Stored], losses: Mapping[str, float]
) -> Iterator[LayerFacts]:
    for item in candidates:
        kept = stored.get(item.name)
        yield LayerFacts(
            name=item.name,
            operator=item.operator,
            parameters=item.elements,
            bits=round(kept.bytes * 8 / item.elements, 3) if kept else FLOAT,
            loss=losses.get(item.weight),
        )


def _twice(proto: Any, stored: Mapping[str, Stored]) -> Iterator[str]:
    """Yield what to say of weights that some nodes take as they were, beside those that take them as integers."""
    takers = graph.consumers(proto)
    for name, item in stored.items():
        others = [one.name for one in takers[item.candidate.weight] if one is not None and one.name not in stored]
        if others:
            yield f"{name} shares its weight with {', '.join(others)}, left as it was: the file holds it twice."


def _refuse_others(settings: Quantize, candidates: list[Candidate]) -> None:
    """Raise Judged if `overrides` name nodes that hold no weights in groups."""
    names = [item.name for item in candidates]
    for override in settings.overrides or ():
        select(override.targets, names, WEIGHTY, nested=True, field="overrides.targets")


def _widened(proto: Any, chosen: set[str], context: Context, *, per_channel: bool, fixed: bool) -> None:
    """Store in 8 bits what computes in float: convolutions and recurrent layers."""
    ignored = {node.name for node in proto.graph.node} - chosen
    stored = store_convolutions(proto, ignored, per_channel=per_channel, fixed_point=fixed)
    if stored:
        context.warnings.append(
            f"{stored} convolutions store their weights in 8 bits but compute in float: preset {QuantizePreset.INT8} "
            "would compute in integers."
        )
    _recurrent(proto, chosen, context, fixed=fixed)


def _recurrent(proto: Any, chosen: set[str], context: Context, *, fixed: bool) -> None:
    stored = store_recurrent(proto, chosen, fixed_point=fixed)
    if stored:
        context.warnings.append(
            f"{', '.join(f'{count} {operator}' for operator, count in stored.items())} store their weights in 8 bits "
            f"but compute in float: onnxruntime has an integer kernel for LSTM alone, under preset "
            f"{QuantizePreset.INT8_DYNAMIC}."
        )


def _has_nibbles(proto: Any) -> bool:
    return any(item.data_type in CODES[2:] for item in proto.graph.initializer)


def _warn_of_few(settings: Quantize, context: Context) -> None:
    """Say that what is found on so few samples holds for others by chance alone."""
    wanted = needs_calibration(settings)
    data = context.calibration() if wanted else None
    count = len(next(iter(data.values()))) if data else FEW
    if count < FEW:
        context.warnings.append(
            f"Calibration data has {count} sample{'s' if count > 1 else ''}, too few to speak for others: {wanted} "
            f"wants {FEW} or more."
        )
