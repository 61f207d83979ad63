"""Cutting channels and attention heads out of a module, and whether it still answers in its shapes.

Channels go along torch-pruning's dependency graph (Fang et al. 2023, arXiv:2301.12900), heads by themselves.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
import torch_pruning
from torch import nn
from torch.nn.utils import parametrize
from torch_pruning.pruner.function import BasePruningFunc

from modelpress.api.defaults import EffectivePrune
from modelpress.api.reasons import Reason

from .. import recurrent
from ..errors import Judged
from ..models import ModuleModel
from . import heads
from .candidates import Candidate, ChannelGroup
from .exchanging import UnknownError
from .following import EndlessError, alike, bounded
from .selecting import kept_of_all, kept_of_layers, rounded

GLOBAL = "Global"
ALIKE = 1e-3
"""Greatest difference of answers that the order of sums explains, relative to the size of the answers."""
ROOTS = (nn.modules.conv._ConvNd, nn.Linear)
"""Layers that may lose channels of their own; what depends on them follows."""


class Untouched(BasePruningFunc):  # type: ignore[misc]
    """A recurrent layer or cell keeps its widths: torch-pruning follows channels through the simplest LSTM alone.

    What would have to follow it breaks forward, and so is left alone too.
    """

    def prune_out_channels(self, layer: nn.RNNBase, _idxs: Sequence[int]) -> nn.RNNBase:
        """Do nothing."""
        return layer

    def prune_in_channels(self, layer: nn.RNNBase, _idxs: Sequence[int]) -> nn.RNNBase:
        """Do nothing."""
        return layer

    def get_out_channels(self, layer: Any) -> int:
        """Return the width of an answer."""
        return int(layer.hidden_size) * (2 if getattr(layer, "bidirectional", False) else 1)

    def get_in_channels(self, layer: nn.RNNBase) -> int:
        """Return the width of an input."""
        return layer.input_size


class Cutter:
    """Cuts channels out of modules of one make, and knows what their outputs must look like."""

    def __init__(self, model: ModuleModel, settings: EffectivePrune, inputs: dict[str, torch.Tensor]) -> None:
        self.model = model
        self.settings = settings
        self.inputs = inputs
        self.shapes = self._shapes(model.module)
        self.endless = set[str]()
        """Layers whose channels cannot be followed to an end, and so are left alone."""

    def cut(self, module: nn.Module, ignored: set[str], ratio: float, importances: Sequence[torch.Tensor]) -> None:
        """Remove the ratio of the channels in place, least important first. Raises Judged with StageFailed.

        `importances`: of the candidates of this module, or of one that it is a copy of, in their order.
        """
        with tracing(module):
            found = self.candidates(module, ignored)
            if not found:
                return
            if self.settings.scope == GLOBAL:
                kept = kept_of_all(importances, ratio)
            else:
                kept = kept_of_layers([item.width for item in found], ratio)
            for item, importance, count in zip(found, importances, kept, strict=True):
                multiple = self.settings.round_to if isinstance(item, ChannelGroup) else 1
                item.remove(rounded(max(count, item.least), item.width, item.parts, multiple), importance)

    def try_out(self, module: nn.Module, ignored: set[str], ratio: float) -> set[str]:
        """Cut candidate after candidate in place; return the layers of the first that breaks the outputs, if any."""
        with tracing(module):
            for item in self.candidates(module, ignored):
                kept = kept_of_layers([item.width], ratio)[0]
                layers = item.remove(kept, torch.arange(item.width, 0, -1).float())
                if layers and not self.fits(module):
                    return layers
        return set()

    def mixed_up(self, module: nn.Module, ignored: set[str]) -> set[str]:
        """Return the layers whose channels others count in another order, so that removing them would mix them up.

        What draws random numbers in forward cannot be judged so, and is taken to be in order.
        """
        with tracing(module):
            found = [item for item in self.candidates(module, ignored) if isinstance(item, ChannelGroup)]
        before, mixed = self._answers(module), set[str]()
        if not _alike(before, self._answers(module)):
            return mixed
        for number, item in enumerate(found):
            if item.layers & mixed or item.width == 1:
                continue
            try:
                with item.exchanged(number):
                    if not _alike(before, self._answers(module)):
                        mixed |= item.layers
            except UnknownError:
                continue
        return mixed

    def fits(self, module: nn.Module) -> bool:
        """Whether forward works and answers in the shapes of the untouched module."""
        try:
            return self._shapes(module) == self.shapes
        except MemoryError:
            raise
        except Exception:  # tenants' forward may raise anything when a width is another
            return False

    def candidates(self, module: nn.Module, ignored: set[str]) -> list[Candidate]:
        """Trace the module; return what may lose channels or heads, always in the same order."""
        layers = dict(module.named_modules())
        for parameter in module.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        attentions = heads.find(module)
        own = {name for item in attentions for name in item.fixed}
        while True:
            try:
                with bounded():
                    pruner, groups = self._groups(
                        module, [layers[name] for name in sorted(ignored | own | self.endless)]
                    )
                break
            except EndlessError as error:
                self.endless |= alike(error.layer, layers)
        names = {layer: name for name, layer in layers.items()}
        channels = [ChannelGroup.of(pruner, group, names) for group in groups]
        usable = [item for item in attentions if not ignored & item.layers and item.width > 1]
        return [*(item for item in channels if item is not None), *usable]

    def _groups(self, module: nn.Module, ignored: list[nn.Module]) -> tuple[Any, list[Any]]:
        """Return torch-pruning's pruner, and the layers that depend on each other. Raises EndlessError."""
        with recurrent.as_single_steps():
            pruner = torch_pruning.BasePruner(
                module,
                example_inputs=tuple(self.inputs[spec.name] for spec in self.model.signature.inputs),
                importance=torch_pruning.importance.MagnitudeImportance(),
                ignored_layers=ignored,
                in_channel_groups={},  # the defaults are shared between all pruners of a process
                out_channel_groups={},
                num_heads={},
                channel_groups={},
                output_transform=_flatten,
                customized_pruners={kind: Untouched() for kind in (*recurrent.KINDS, *recurrent.CELLS)},
                root_module_types=list(ROOTS),
            )
        roots = {"ignored_layers": pruner.ignored_layers, "root_module_types": pruner.root_module_types}
        return pruner, list(pruner.DG.get_all_groups(**roots))

    def _answers(self, module: nn.Module) -> list[torch.Tensor]:
        module.eval()
        with torch.no_grad():
            found = ModuleModel(module, self.model.signature).call(self.inputs)
        return [item.double() for item in found if item.is_floating_point()]

    def _shapes(self, module: nn.Module) -> list[torch.Size]:
        module.eval()
        with torch.no_grad():
            return [output.shape for output in ModuleModel(module, self.model.signature).call(self.inputs)]


def _alike(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> bool:
    """Whether answers are the same but for rounding."""
    return all(
        float(torch.nan_to_num(other - one).norm()) <= ALIKE * max(float(torch.nan_to_num(one).norm()), ALIKE)
        for one, other in zip(before, after, strict=True)
    )


def _flatten(outputs: Any) -> list[torch.Tensor]:
    """Return all tensors of whatever forward returned, for the tracer."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return [tensor for value in values for tensor in _flatten(value)]


@contextmanager
def tracing(module: nn.Module) -> Iterator[None]:
    """Silence the tracer and turn what it raises into StageFailed."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (Judged, MemoryError, OSError):
            raise
        except Exception as error:  # the tracer raises whatever forward or its own assertions raise
            raise Judged(Reason.STAGE_FAILED, _lost(module, error)) from error


def _lost(module: nn.Module, error: Exception) -> str:
    """Return why the tracer got lost."""
    bound = next((name for name, layer in module.named_modules() if parametrize.is_parametrized(layer)), None)
    if bound is not None:
        return (
            f"Channels cannot be followed through {bound}, whose weight is computed (weight_norm, say): save the "
            "module after torch.nn.utils.parametrize.remove_parametrizations, or prune with structure Unstructured."
        )
    told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return f"The dependencies between layers cannot be traced for channel pruning: {told}"
