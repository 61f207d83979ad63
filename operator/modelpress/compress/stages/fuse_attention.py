"""Stage fuse with `attention`: found in the graph, replaced, and verified by the answers, with and without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from modelpress.api.reasons import Reason

from .. import graph
from ..errors import Judged
from ..export import distance
from ..models import GraphModel
from ..signature import Array, example
from . import attention, attention_nodes
from .context import Context

SAMPLES = 2
TOLERANCE = 1e-3
MASK = "mask"
"""In the names of inputs that say where a request has nothing."""
KEPT = (1, 0)
"""What such an input may hold where there is something: transformers say 1, torch's own modules False."""


def run(model: GraphModel, context: Context) -> GraphModel:
    """Write a graph whose attention is computed by one operator, where that is faster.

    Raises Judged with StageFailed if it answers differently.
    """
    proto = _with_shapes(model)
    found = attention.find(proto)
    conditions = attention_nodes.conditions(found)
    tried = []
    for kept in KEPT:
        questions = _questions(model, context, kept)
        tried.append((_never(proto, conditions, questions[0], context), questions))
        if not tried[-1][0]:
            break
    always, questions = min(tried, key=lambda item: len(item[0]))
    chosen = [item for item in found if item.mask not in always]
    if not chosen:
        always_masked = f"each has positions masked, even where every input with {MASK} in its name is all 1 or all 0"
        why = always_masked if found else "there is none of a form that is known"
        context.warnings.append(f"No attention was fused: {why}.")
        return model
    attention_nodes.replace(proto, chosen)
    target = replace(model, path=context.scratch / "attention" / "model.onnx")
    graph.save(proto, target.path)
    _compare(model, target, questions)
    masked = sum(bool(item.mask) for item in chosen)
    context.notes.append(
        f"Attention was fused {len(chosen)} times"
        f"{f', in {masked} of them where a request masks nothing' if masked else ''}."
    )
    return target


def _with_shapes(model: GraphModel) -> Any:
    """Return the graph with what can be known of shapes; large weights stay where they lie."""
    shaped = model.path.with_name("shaped.onnx")
    onnx.shape_inference.infer_shapes_path(str(model.path), str(shaped), data_prop=True)
    proto = graph.load(shaped)
    shaped.unlink()
    return proto


def _questions(model: GraphModel, context: Context, kept: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return a request without padding, and one whose last sample is half padding.

    `kept` is what masks hold where there is something.
    """
    whole = example(model.signature, SAMPLES, context.seed, context.calibration())
    padded = dict(whole)
    for name, value in whole.items():
        if MASK in name and value.ndim > 1:
            whole[name] = np.full_like(value, kept)
            padded[name] = np.full_like(value, kept)
            padded[name][-1, ..., value.shape[-1] // 2 :] = 1 - kept
    return whole, padded


def _never(proto: Any, conditions: dict[str, list[Any]], asked: dict[str, Array], context: Context) -> set[str]:
    """Return the masks that mask something even where nothing is padded: each token sees those before it alone."""
    if not conditions:
        return set()
    looking = onnx.ModelProto.FromString(proto.SerializeToString())
    attention_nodes.add_conditions(looking, conditions)
    made = {mask: nodes[-1].output[0] for mask, nodes in conditions.items()}
    looking.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in made.values())
    path = context.scratch / "conditions" / "model.onnx"
    graph.save(looking, path)
    answers = graph.run(graph.open_session(path, once=True), asked)
    return {mask for mask, name in made.items() if not answers[name]}


def _compare(before: GraphModel, after: GraphModel, questions: Sequence[dict[str, Array]]) -> None:
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
