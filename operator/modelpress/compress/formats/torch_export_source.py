"""Format torch-export: a `.pt2` of torch.export.save. Runs no code of the source, unless it is trusted.

An exported program is a fixed list of operations, so nothing in it can be cut or trained: stages work on its graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn
from torch.utils import _pytree as pytree

from modelpress.api.reasons import Reason
from modelpress.api.source import Source, TensorSpec

from ..errors import Judged
from ..models import ModuleModel
from ..signature import BATCH, Signature, describe
from .files import refuse_hollow, single
from .pt2_archive import SYMBOL, copy_plain

FILE = "model.pt2"


class Program(nn.Module):
    """An exported program that takes its inputs by position and answers a tuple; training is not in it."""

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.program = program.module()
        self.packing = program.call_spec.in_spec

    def train(self, mode: bool = True) -> Program:
        """Change nothing: whether dropout works was decided when the program was exported."""
        return self

    def forward(self, *values: torch.Tensor) -> tuple[Any, ...]:
        """Take tensors in the order of the program's inputs; return its outputs, flat."""
        positional, named = pytree.tree_unflatten(list(values), self.packing)
        return tuple(pytree.tree_leaves(self.program(*positional, **named)))


def load(source: Source, folder: Path, scratch: Path) -> ModuleModel:
    """Return the program with names and axes of the file and the spec. Raises Judged."""
    path = single(folder, FILE)
    refuse_hollow(path)
    if not source.trust_code:
        copy = scratch / "source" / FILE
        copy_plain(path, copy)
        path = copy
    try:
        program = torch.export.load(path)
        module = Program(program)
    except MemoryError:
        raise
    except Exception as error:  # torch raises whatever its parts raise
        text = " ".join(str(error).split())[:400]
        raise Judged(
            Reason.SOURCE_INVALID, f"{FILE} does not load in torch {torch.__version__}: {type(error).__name__}: {text}"
        ) from error
    return ModuleModel(module, Signature(_inputs(program, source), _outputs(program, source)).checked())


def _inputs(program: Any, source: Source) -> tuple[TensorSpec, ...]:
    """Return the program's inputs; names of axes are the spec's, else `batch` for one that is first everywhere."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    names = program.graph_signature.user_inputs
    tensors = [value for name in names if isinstance(value := values.get(str(name)), torch.Tensor)]
    if len(tensors) != len(names):
        raise Judged(Reason.SOURCE_INVALID, f"{FILE} takes other things than tensors: make them constants of forward.")
    pairs = list(zip(names, tensors, strict=True))
    axes = [[_axis(axis, str(name), number) for number, axis in enumerate(tensor.shape)] for name, tensor in pairs]
    given = source.inputs or ()
    if given and len(given) != len(names):
        raise Judged(
            Reason.SOURCE_INVALID, f"source.inputs has {len(given)} entries, {FILE} takes {', '.join(map(str, names))}."
        )
    first = {shape[0] if shape else 1 for shape in axes}
    batch = next(iter(first)) if len(first) == 1 and isinstance(next(iter(first)), str) else None
    specs = []
    for position, ((name, tensor), shape) in enumerate(zip(pairs, axes, strict=True)):
        said = given[position] if given else TensorSpec.model_construct(name=str(name))
        kind = str(tensor.dtype).removeprefix("torch.")
        if said.dtype is not None and said.dtype != kind:
            raise Judged(
                Reason.SOURCE_INVALID, f"Input {said.name} is {kind} in the file and {said.dtype} in the spec."
            )
        wanted = said.shape or tuple(BATCH if axis == batch else axis for axis in shape)
        if len(wanted) != len(shape) or any(
            isinstance(found, int) and found != axis for found, axis in zip(shape, wanted, strict=True)
        ):
            raise Judged(
                Reason.SOURCE_INVALID,
                f"Input {said.name} has shape {describe(shape)} in the file and {describe(wanted)} in the spec.",
            )
        specs.append(_spec(said.name, kind, wanted))
    return tuple(specs)


def _axis(length: Any, tensor: str, number: int) -> int | str:
    """Return a size, or a name for a dynamic axis: its symbol, so that equal axes are called alike."""
    if isinstance(length, int):
        return length
    return str(length) if SYMBOL.fullmatch(str(length)) else f"{tensor.lower()}_{number}"


def _outputs(program: Any, source: Source) -> tuple[TensorSpec, ...]:
    """Return the outputs by the spec's names, else the keys of the dictionary that forward returns, else numbered."""
    count = len(program.graph_signature.user_outputs)
    packing = program.call_spec.out_spec
    if source.outputs is not None:
        if len(source.outputs) != count:
            raise Judged(
                Reason.SOURCE_INVALID, f"source.outputs has {len(source.outputs)} entries, {FILE} answers {count}."
            )
        return source.outputs
    keys = packing.context if packing.type is dict and packing.num_leaves == packing.num_children else None
    names = [str(key) for key in keys] if keys else [f"output_{number}" for number in range(count)]
    return tuple(_spec(name if count > 1 or keys else "output", None, None) for name in names)


def _spec(name: str, dtype: str | None, shape: tuple[int | str, ...] | None) -> TensorSpec:
    try:
        return TensorSpec(name=name, dtype=dtype, shape=shape)
    except ValidationError as error:
        first = error.errors()[0]
        raise Judged(
            Reason.SOURCE_INVALID, f"Tensor {name!r} of {FILE} cannot be served: {first['loc'][0]}: {first['msg']}."
        ) from error
