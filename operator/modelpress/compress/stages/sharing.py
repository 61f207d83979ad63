"""Weights that several layers share: what changes one of them changes the others."""

from __future__ import annotations

from torch import nn


def layers_that_share(module: nn.Module) -> set[str]:
    """Return the names of layers one of whose parameters another name has too; a layer of two names is among them."""
    seen: dict[int, list[str]] = {}
    for name, item in module.named_parameters(remove_duplicate=False):
        seen.setdefault(id(item), []).append(name.rpartition(".")[0])
    return {name for names in seen.values() if len(names) > 1 for name in names}
