"""What stages hand to each other: a torch module, or the graph it was exported to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec

from . import ids
from .errors import Judged
from .facts import Size
from .signature import Array, Arrays, Signature


class Medium(StrEnum):
    """What a stage works on."""

    MODULE = "module"
    PROGRAM = "program"
    """A torch program of fixed operations: it can be exported, but has no layers to cut or train."""
    GRAPH = "graph"


@dataclass
class ModuleModel:
    """A torch module. Stages change it in place."""

    module: nn.Module
    signature: Signature
    masks: dict[str, torch.Tensor] = field(default_factory=dict)
    """True where a weight stays, by parameter name; training keeps the others at zero."""
    cuts: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    """Blocks that were cut, in order: the name of their list and their positions in it then."""

    def call(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Run forward; return the outputs in the order of the signature.

        Raises Judged: SourceInvalid if they do not fit it, DatasetDoesNotFit for ids that a table does not have.
        """

        def forward() -> Any:
            return self.module(*(inputs[spec.name] for spec in self.signature.inputs))

        with ids.explained(self.module, inputs, forward):
            result = forward()
        return fit_outputs(result, self.signature.outputs)

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Run forward without gradients, in evaluation mode, on arrays."""
        self.module.eval()
        with torch.no_grad():
            outputs = self.call(tensors(inputs))
        return {
            spec.name: np.asarray(output.cpu().numpy())
            for spec, output in zip(self.signature.outputs, outputs, strict=True)
        }

    def refresh_masks(self) -> None:
        """Make masks fit weights whose shapes changed: what is zero stays zero."""
        weights = dict(self.module.named_parameters())
        self.masks = {name: weights[name].detach() != 0 for name in self.masks if name in weights}


@dataclass(frozen=True)
class GraphModel:
    """An ONNX file. Stages write a new one."""

    path: Path
    signature: Signature


def tensors(inputs: Arrays, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
    """Return arrays as tensors that may be written to."""
    return {name: torch.from_numpy(np.array(value)).to(device) for name, value in inputs.items()}


def fit_outputs(result: Any, specs: tuple[TensorSpec, ...]) -> tuple[torch.Tensor, ...]:
    """Return what forward returned as a tuple in the order of the specs; raise Judged if it does not fit them."""
    names = ", ".join(spec.name for spec in specs)
    if isinstance(result, torch.Tensor):
        values: list[Any] = [result]
    elif isinstance(result, Mapping):
        lacking = [spec.name for spec in specs if spec.name not in result]
        if lacking:
            raise Judged(
                Reason.SOURCE_INVALID,
                f"forward returns a mapping with the keys {', '.join(map(str, result))}, but source.outputs names "
                f"{', '.join(lacking)}.",
            )
        values = [result[spec.name] for spec in specs]
    elif isinstance(result, tuple | list):
        values = list(result)
    else:
        raise Judged(
            Reason.SOURCE_INVALID,
            f"forward returns {type(result).__name__}: it must return a tensor, a tuple of tensors or a mapping by "
            f"the names {names}.",
        )
    if len(values) != len(specs):
        raise Judged(
            Reason.SOURCE_INVALID,
            f"forward returns {len(values)} outputs, but source.outputs names {len(specs)}: {names}.",
        )
    for spec, value in zip(specs, values, strict=True):
        if not isinstance(value, torch.Tensor):
            raise Judged(Reason.SOURCE_INVALID, f"Output {spec.name} is {type(value).__name__}, not a tensor.")
    return tuple(values)


def size_of_module(model: ModuleModel, macs: int | None = None) -> Size:
    """Count parameters, those that are not zero, and bytes of parameters and buffers."""
    parameters = list(model.module.parameters())
    buffers = list(model.module.buffers())
    return Size(
        parameters=sum(item.numel() for item in parameters),
        nonzero=sum(int(torch.count_nonzero(item)) for item in parameters),
        macs=macs,
        bytes=sum(item.numel() * item.element_size() for item in [*parameters, *buffers]),
    )
