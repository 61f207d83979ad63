"""Stage fuse on a graph: BatchNormalization folded into the Conv, ConvTranspose or Gemm before it; attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from modelpress.api.stages import Fuse

from .. import external, graph
from ..models import GraphModel
from . import fuse_attention
from .context import Context

EPSILON = 1e-5


def run(model: GraphModel, settings: Fuse, context: Context) -> GraphModel:
    """Write a graph with everything folded that can be; nothing to fold is worth a warning."""
    proto = graph.load(model.path)
    done = fold(proto)
    if done:
        context.notes.append(f"Folded {len(done)}: {', '.join(done[:8])}{' …' if len(done) > 8 else ''}.")
    elif not settings.attention:
        context.warnings.append("There was no batch normalization to fold.")
    result = replace(model, path=context.scratch / "model.onnx")
    graph.save(proto, result.path)
    return fuse_attention.run(result, context) if settings.attention else result


def fold(proto: Any) -> list[str]:
    """Fold in place; return what was folded, by name."""
    weights = {item.name: item for item in proto.graph.initializer}
    producers = {name: node for node in proto.graph.node for name in node.output}
    takers = graph.consumers(proto)
    done: list[str] = []
    for norm in [node for node in proto.graph.node if node.op_type == "BatchNormalization"]:
        layer = producers.get(norm.input[0])
        fixed = all(name in weights for name in norm.input[1:5])
        if layer is None or not fixed or len(takers[norm.input[0]]) > 1 or not _foldable(layer, weights, takers):
            continue
        _fold(proto, layer, norm, weights)
        done.append(f"{norm.name or norm.output[0]} into {layer.name or layer.op_type}")
        producers[norm.output[0]] = layer
        proto.graph.node.remove(norm)
    graph.drop_unused(proto)
    return done


def _foldable(layer: Any, weights: dict[str, Any], takers: dict[str, list[Any]]) -> bool:
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in layer.attribute}
    if layer.op_type not in ("Conv", "ConvTranspose", "Gemm"):
        return False
    own = [name for name in layer.input[1:] if name]
    if any(name not in weights or len(takers[name]) > 1 for name in own):
        return False
    if layer.op_type == "ConvTranspose":
        return bool(attributes.get("group", 1) == 1)
    plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0
    return layer.op_type == "Conv" or bool(plain)


def _fold(proto: Any, layer: Any, norm: Any, weights: dict[str, Any]) -> None:
    scale, shift, mean, variance = (external.array(weights[name]).astype(np.float64) for name in norm.input[1:5])
    epsilon = next((item.f for item in norm.attribute if item.name == "epsilon"), EPSILON)
    factor = scale / np.sqrt(variance + epsilon)
    weight = external.array(weights[layer.input[1]])
    axis = 0
    if layer.op_type == "ConvTranspose":
        axis = 1
    elif layer.op_type == "Gemm":
        axis = 0 if graph.turned(layer) else 1
    shape = [1] * weight.ndim
    shape[axis] = -1
    bias = np.zeros_like(mean)
    if len(layer.input) > 2 and layer.input[2]:
        bias = np.broadcast_to(external.array(weights[layer.input[2]]).astype(np.float64).reshape(-1), mean.shape)
    name = f"{norm.output[0]}_bias"
    new_bias = numpy_helper.from_array(((bias - mean) * factor + shift).astype(weight.dtype), name)
    weights[layer.input[1]].CopyFrom(
        numpy_helper.from_array((weight * factor.reshape(shape)).astype(weight.dtype), layer.input[1])
    )
    proto.graph.initializer.append(new_bias)
    weights[name] = proto.graph.initializer[-1]
    inputs = [layer.input[0], layer.input[1], name]
    del layer.input[:]
    layer.input.extend(inputs)
    layer.output[0] = norm.output[0]
