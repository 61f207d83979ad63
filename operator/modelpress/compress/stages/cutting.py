"""Cutting channels out of a module along torch-pruning's dependency graph (Fang et al. 2023, arXiv:2301.12900)."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import nn

from modelpress.api.reasons import Reason
from modelpress.api.stages import Importance, Prune

from ..errors import Judged
from ..models import ModuleModel
from .selecting import kept_of_all, kept_of_layers, least, rounded

GLOBAL = "Global"


@dataclass(frozen=True)
class Candidate:
    """Layers whose channels go together."""

    layer: nn.Module
    """One of them, by which torch-pruning finds the others."""
    removal: Any
    """torch-pruning's function that removes channels of that layer."""
    parts: int
    """Number of groups of channels that must stay equally wide: 1, or the groups of a convolution or normalization."""
    importance: torch.Tensor
    """One number for each channel of one part."""


class Cutter:
    """Cuts channels out of modules of one make, and knows what their outputs must look like."""

    def __init__(self, model: ModuleModel, settings: Prune, inputs: dict[str, torch.Tensor]) -> None:
        self.model = model
        self.settings = settings
        self.inputs = inputs
        self.shapes = self._shapes(model.module)

    def cut(self, module: nn.Module, ignored: set[str], ratio: float) -> None:
        """Remove the ratio of the channels in place, least important first. Raises Judged with StageFailed."""
        with _tracing():
            graph, candidates = self._candidates(module, ignored)
            widths = [len(item.importance) for item in candidates]
            if not candidates:
                return
            if self.settings.scope == GLOBAL:
                kept = kept_of_all([item.importance for item in candidates], ratio)
            else:
                kept = kept_of_layers(widths, ratio)
            for item, width, count in zip(candidates, widths, kept, strict=True):
                number = rounded(count, width, item.parts, self.settings.round_to or 1)
                _remove(graph, item, number)

    def try_out(self, module: nn.Module, ignored: set[str], ratio: float) -> set[str]:
        """Cut group after group in place; return the layers of the first group that breaks the outputs, if any."""
        with _tracing():
            names = {layer: name for name, layer in module.named_modules()}
            graph, candidates = self._candidates(module, ignored)
            for item in candidates:
                kept = kept_of_layers([len(item.importance)], ratio)[0]
                group = _remove(graph, item, kept)
                if group is not None and not self.fits(module):
                    return _widths(group, names)
        return set()

    def fits(self, module: nn.Module) -> bool:
        """Whether forward works and answers in the shapes of the untouched module."""
        try:
            return self._shapes(module) == self.shapes
        except MemoryError:
            raise
        except Exception:  # tenants' forward may raise anything when a width is another
            return False

    def _shapes(self, module: nn.Module) -> list[torch.Size]:
        module.eval()
        with torch.no_grad():
            return [output.shape for output in ModuleModel(module, self.model.signature).call(self.inputs)]

    def _candidates(self, module: nn.Module, ignored: set[str]) -> tuple[Any, list[Candidate]]:
        """Trace the module; return torch-pruning's graph and what may lose channels."""
        layers = dict(module.named_modules())
        for parameter in module.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        power = 2 if self.settings.importance is Importance.L2 else 1
        importance = torch_pruning.importance.MagnitudeImportance(p=power)
        pruner = torch_pruning.BasePruner(
            module,
            example_inputs=tuple(self.inputs[spec.name] for spec in self.model.signature.inputs),
            importance=importance,
            ignored_layers=[layers[name] for name in ignored],
            in_channel_groups={},  # the defaults are shared between all pruners of a process
            out_channel_groups={},
            num_heads={},
            channel_groups={},
            output_transform=_flatten,
        )
        found = []
        for group in pruner.DG.get_all_groups(
            ignored_layers=pruner.ignored_layers, root_module_types=pruner.root_module_types
        ):
            with torch.no_grad():
                score = importance(group)
            if score is None:
                continue
            parts = _parts(pruner, group)
            first = group[0].dep
            mean = score.detach().view(parts, -1).mean(dim=0).cpu()
            found.append(Candidate(first.target.module, first.handler, parts, mean))
        return pruner.DG, found


def _remove(graph: Any, item: Candidate, kept: int) -> Any:
    """Remove all but `kept` channels of each part; return torch-pruning's group, None if there was nothing to do."""
    if kept >= len(item.importance):
        return None
    group = graph.get_pruning_group(item.layer, item.removal, least(item.importance, kept, item.parts))
    if not graph.check_pruning_group(group):
        return None
    group.prune()
    return group


def _parts(pruner: Any, group: Any) -> int:
    """Return how many equal parts the channels of a group consist of."""
    counts = [1]
    for dependency, _ in group:
        outgoing = pruner.DG.is_out_channel_pruning_fn(dependency.handler)
        table = pruner.out_channel_groups if outgoing else pruner.in_channel_groups
        counts.append(table.get(dependency.target.module, 1))
    return max(counts)


def _widths(group: Any, names: dict[nn.Module, str]) -> set[str]:
    """Return the layers of a group that lose output channels."""
    return {
        names[dependency.target.module]
        for dependency, _ in group
        if dependency.target.module in names and dependency.handler.__name__.startswith("prune_out")
    }


def _flatten(outputs: Any) -> list[torch.Tensor]:
    """Return all tensors of whatever forward returned, for the tracer."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return [tensor for value in values for tensor in _flatten(value)]


@contextmanager
def _tracing() -> Iterator[None]:
    """Silence the tracer and turn what it raises into StageFailed."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (Judged, MemoryError, OSError):
            raise
        except Exception as error:  # the tracer raises whatever forward or its own assertions raise
            raise Judged(
                Reason.STAGE_FAILED,
                "The dependencies between layers cannot be traced for channel pruning: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            ) from error
