"""A list of blocks inside a module, and the module without some of them. Runs tenants' code (forward).

What transformers look up by a block's position while they run (`config.layer_types[i]`: which mask and which rotation
it gets) goes with the block: those that stay would otherwise be given their neighbours'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from modelpress.api.reasons import Reason

from ..errors import Judged
from ..formats.heads import MODEL
from ..models import ModuleModel
from ..signature import Arrays, describe
from .naming import select

Item = TypeVar("Item")

BY_POSITION = ("layer_types", "layers_block_type", "layer_rope_theta")
"""Lists of a transformer's config that forward reads by a block's position. Others are read while it is built."""
NUMBER = "num_hidden_layers"
"""How every transformer's config calls the number of its blocks, whatever name that has in its file."""


class Blocks:
    """The blocks of one nn.ModuleList or nn.Sequential. Raises Judged with RecipeInvalid for any other name."""

    def __init__(self, model: ModuleModel, name: str) -> None:
        self.model = model
        self.name = name
        lists = {
            known: module
            for known, module in model.module.named_modules()
            if known and isinstance(module, nn.ModuleList | nn.Sequential)
        }
        if not lists:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"cut.blocks is {name}, but the module has neither an nn.ModuleList nor an nn.Sequential.",
            )
        if name not in lists:
            select([name], lists, "nn.ModuleList or nn.Sequential", field="cut.blocks")
        self.container: nn.Module = lists[name]
        self.config = _config(model.module, name)

    @property
    def all(self) -> list[tuple[str, nn.Module]]:
        """The blocks by their names in the list."""
        return list(self.container.named_children())

    def refused(self, inputs: Arrays) -> dict[int, str]:
        """Run once; return the blocks that cannot go, by position, each with what it does instead."""
        shapes: dict[nn.Module, tuple[torch.Size | None, torch.Size | None]] = {}

        def hook(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
            given = next((item for item in [*arguments, *keywords.values()] if isinstance(item, torch.Tensor)), None)
            first = output[0] if isinstance(output, tuple | list) and output else output
            answer = first if isinstance(first, torch.Tensor) else None
            shapes[module] = (_shape(given), _shape(answer))

        handles = [block.register_forward_hook(hook, with_kwargs=True) for _, block in self.all]
        try:
            self.model.run(inputs)
        finally:
            for handle in handles:
                handle.remove()
        problems: dict[int, str] = {}
        for position, (_, block) in enumerate(self.all):
            given, answer = shapes.get(block, (None, None))
            if given is None or answer is None:
                problems[position] = "is not called with a tensor that it answers with a tensor"
            elif given != answer:
                problems[position] = (
                    f"turns {describe(given)} into {describe(answer)}, and without it its neighbours would not fit"
                )
        return problems

    def called(self, inputs: Arrays) -> set[nn.Module]:
        """Run once; return the modules that forward calls."""
        found: set[nn.Module] = set()
        handles = [
            module.register_forward_pre_hook(lambda module, _arguments: found.add(module))
            for module in self.model.module.modules()
        ]
        try:
            self.model.run(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return found

    def remove(self, positions: Sequence[int]) -> None:
        """Remove blocks in place; those of an nn.ModuleList are numbered anew. Masks follow their weights."""
        masks = {id(self.model.module.get_parameter(name)): mask for name, mask in self.model.masks.items()}
        for key, values in self._by_position().items():
            setattr(self.config, key, _left(values, positions))
        if getattr(self.config, NUMBER, None) == len(self.all):
            setattr(self.config, NUMBER, len(self.all) - len(positions))
        self._put(_left(self.all, positions))
        self.model.cuts.append((self.name, tuple(positions)))
        self.model.masks = {
            name: masks[id(item)] for name, item in self.model.module.named_parameters() if id(item) in masks
        }

    @contextmanager
    def without(self, positions: Sequence[int]) -> Iterator[None]:
        """Leave blocks out for a while."""
        everything, listed = self.all, self._by_position()
        self._put(_left(everything, positions))
        for key, values in listed.items():
            setattr(self.config, key, _left(values, positions))
        try:
            yield
        finally:
            self.container._modules.clear()
            self.container._modules.update(everything)
            for key, values in listed.items():
                setattr(self.config, key, values)

    def described(self) -> dict[str, Any]:
        """Return what a transformer's config says of the blocks that are there, by the keys of its file; of a part of
        it (`text_config`), with the part's name in front. Empty if it does not count these.
        """
        if getattr(self.config, NUMBER, None) != len(self.all):
            return {}
        number = getattr(self.config, "attribute_map", {}).get(NUMBER, NUMBER)
        said = {number: len(self.all)} | self._by_position()
        whole = self.model.module.get_submodule(MODEL).config
        if whole is self.config:
            return said
        part = next((key for key, value in vars(whole).items() if value is self.config), None)
        return {} if part is None else {f"{part}.{key}": value for key, value in said.items()}

    def _by_position(self) -> dict[str, list[Any]]:
        """Return what the config lists for each block."""
        held = getattr(self.config, "__dict__", {})
        return {
            key: held[key] for key in BY_POSITION if isinstance(held.get(key), list) and len(held[key]) == len(self.all)
        }

    def _put(self, blocks: list[tuple[str, nn.Module]]) -> None:
        numbered = isinstance(self.container, nn.ModuleList) or all(name.isdigit() for name, _ in blocks)
        self.container._modules.clear()
        self.container._modules.update(
            {str(index) if numbered else name: block for index, (name, block) in enumerate(blocks)}
        )


def _config(root: nn.Module, name: str) -> Any:
    """Return the config of whatever holds the list: of the nearest module above it that has one, None if none has."""
    above = name.split(".")
    owners = (root.get_submodule(".".join(above[:depth])) for depth in range(len(above) - 1, -1, -1))
    return next((owner.config for owner in owners if hasattr(owner, "config")), None)


def _left(items: Sequence[Item], positions: Sequence[int]) -> list[Item]:
    return [item for index, item in enumerate(items) if index not in positions]


def _shape(tensor: torch.Tensor | None) -> torch.Size | None:
    return None if tensor is None else tensor.shape
