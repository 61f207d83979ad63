"""Stage fuse with `attention`: found in the graph, replaced, and verified by the answers, with and without padding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from modelpress.api.reasons import Reason

from .. import graph
from ..errors import Judged
from ..export import distance
from ..models import GraphModel
from ..signature import Array, Arrays, example
from . import attention, attention_nodes
from .context import Context
from .masks import Mask, MaskKind, why_masked

SAMPLES = 2
TOLERANCE = 1e-3
MASK = "mask"
"""In the names of inputs that say where a request has nothing."""
KEPT = (1, 0)
"""What such an input may hold where there is something: transformers say 1, torch's own modules False."""
MOST_MASKS = 4
"""So many such inputs may each say it in a way of its own."""
LOOKED_AT = "_looked_at"


@dataclass(frozen=True)
class _Questions:
    """What a graph is asked, and which masks mask something even of the first."""

    whole: Arrays
    """A request without padding."""
    padded: Arrays
    """The same, of which the last sample is half padding."""
    always: dict[Mask, str]
    """Why each of these masks something nevertheless."""
    masked: int
    """How many positions they mask."""


def run(model: GraphModel, context: Context) -> GraphModel:
    """Write a graph whose attention is computed by one operator, where nothing is masked.

    Raises Judged with StageFailed if it answers differently.
    """
    proto = _with_shapes(model)
    found, others = attention.find(proto)
    asked = _questions(model, proto, found, context)
    chosen = [item for item in found if not asked.always.keys() & set(item.masks)]
    for item in found:
        others.update([asked.always[mask] for mask in item.masks if mask in asked.always][:1])
    if not chosen:
        context.warnings.append(f"No attention was fused: {_told(others)}.")
        return model
    attention_nodes.replace(proto, chosen)
    target = replace(model, path=context.scratch / "attention" / "model.onnx")
    graph.save(proto, target.path)
    _compare(model, target, (asked.whole, asked.padded))
    masked = sum(bool(item.masks) for item in chosen)
    context.notes.append(
        f"Attention was fused {len(chosen)} times"
        f"{f', in {masked} of them where a request masks nothing' if masked else ''}."
    )
    if others:
        context.notes.append(f"Other attention was left alone: {_told(others)}.")
    return target


def _told(others: Counter[str]) -> str:
    """Return why attention was left alone, with how often that was so, where there are several reasons."""
    if not others:
        return "there is no softmax whose answers are multiplied with values"
    return "; ".join(f"{why} ({count} times)" if len(others) > 1 else why for why, count in others.most_common())


def _with_shapes(model: GraphModel) -> Any:
    """Return the graph with what can be known of shapes; large weights stay where they lie."""
    shaped = model.path.with_name("shaped.onnx")
    onnx.shape_inference.infer_shapes_path(str(model.path), str(shaped), data_prop=True)
    proto = graph.load(shaped)
    shaped.unlink()
    return proto


def _questions(model: GraphModel, proto: Any, found: Sequence[attention.Attention], context: Context) -> _Questions:
    """Return the questions of which the fewest masks mask something; each mask input may say what is kept as 1 or 0."""
    conditions = attention_nodes.conditions(found)
    given = example(model.signature, SAMPLES, context.seed, context.calibration())
    names = [name for name, value in given.items() if MASK in name and value.ndim > 1]
    looking = _looking(proto, conditions, context) if conditions else None
    made = {mask: nodes[-1].output[0] for mask, nodes in conditions.items()}
    tried: list[_Questions] = []
    for whole, padded in _said(given, names):
        answers = graph.run(looking, whole) if looking is not None else {}
        busy = {mask: answers[f"{mask.value}{LOOKED_AT}"] for mask in conditions if not answers[made[mask]]}
        always = {mask: why_masked(mask.kind, value) for mask, value in busy.items()}
        masked = sum(
            int(np.count_nonzero((value == 0) == (mask.kind is MaskKind.SEEN))) for mask, value in busy.items()
        )
        tried.append(_Questions(whole, padded, always, masked))
        if not always:
            break
    return min(tried, key=lambda item: (len(item.always), item.masked))


def _said(given: Arrays, names: Sequence[str]) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """Yield requests without padding, and with it, for each way in which these inputs may say what is kept."""
    ways = product(KEPT, repeat=len(names)) if len(names) <= MOST_MASKS else ([kept] * len(names) for kept in KEPT)
    for way in ways:
        whole, padded = dict(given), dict(given)
        for name, kept in zip(names, way, strict=True):
            whole[name], padded[name] = np.full_like(given[name], kept), np.full_like(given[name], kept)
            padded[name][-1, ..., given[name].shape[-1] // 2 :] = 1 - kept
        yield whole, padded


def _looking(proto: Any, conditions: dict[Mask, list[Any]], context: Context) -> Any:
    """Return a session that answers the masks as numbers, and whether each masks nothing."""
    looking = onnx.ModelProto.FromString(proto.SerializeToString())
    attention_nodes.add_conditions(looking, conditions)
    for name in dict.fromkeys(mask.value for mask in conditions):
        seen = f"{name}{LOOKED_AT}"
        looking.graph.node.append(helper.make_node("Cast", [name], [seen], name=seen, to=TensorProto.FLOAT))
        looking.graph.output.append(helper.make_tensor_value_info(seen, TensorProto.FLOAT, None))
    made = [nodes[-1].output[0] for nodes in conditions.values()]
    looking.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in made)
    path = context.scratch / "conditions" / "model.onnx"
    graph.save(looking, path)
    return graph.open_session(path, once=True)


def _compare(before: GraphModel, after: GraphModel, questions: Sequence[Arrays]) -> None:
    """Raise Judged with StageFailed if the graphs answer differently."""
    session = graph.open_session(before.path, once=True)
    try:
        other = graph.open_session(after.path, once=True)
        answers = [graph.run(other, asked) for asked in questions]
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise Judged(
            Reason.STAGE_FAILED,
            f"With its attention fused the graph does not run: {graph.said(error)}: leave fuse.attention out.",
        ) from error
    for asked, got in zip(questions, answers, strict=True):
        expected = graph.run(session, asked)
        for name, value in expected.items():
            difference = distance(value, got[name])
            if difference > TOLERANCE:
                raise Judged(
                    Reason.STAGE_FAILED,
                    f"With its attention fused the graph answers {name} differently, by {difference:.2g}: leave "
                    "fuse.attention out.",
                )
