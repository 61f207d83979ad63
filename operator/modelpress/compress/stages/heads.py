"""Heads of attention: whole heads go, with their rows of query, key and value and their columns of the output.

Found are nn.MultiheadAttention, and modules with separate linear layers for query, key and value under their usual
names that know their number of heads, as in transformers. The others are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .multihead import FewerHeads, keep_columns, keep_rows

TRIPLES = (
    ("query", "key", "value"),
    ("q_proj", "k_proj", "v_proj"),
    ("q_lin", "k_lin", "v_lin"),
    ("to_q", "to_k", "to_v"),
    ("q", "k", "v"),
)
"""Names that the linear layers of an attention have."""
COUNTS = ("num_attention_heads", "num_heads", "n_heads", "n_head", "nhead", "heads")
"""Attributes that hold the number of heads."""
WIDTHS = ("all_head_size", "inner_dim", "inner_size")
"""Attributes that hold the number of heads times the width of one."""


class Heads:
    """The heads of one attention."""

    parts = least = 1

    def __init__(self, root: nn.Module, name: str, inside: tuple[str, ...], out: str, width: int) -> None:
        self.root = root
        self.name = name
        self.inside = inside
        self.out = out
        self.width = width

    @property
    def layers(self) -> set[str]:
        """The layers that lose outputs with a head; of nn.MultiheadAttention it is itself."""
        return set(self.inside) or {self.name}

    @property
    def fixed(self) -> set[str]:
        """What may not lose single channels."""
        return self.layers

    def magnitude(self, power: int) -> torch.Tensor:
        """Return the norm of the weights of each head, relative to the mean of all."""
        total = torch.stack([item.detach().abs().pow(power).sum(1) for item in self._by_head()]).sum(0).cpu()
        return total / total.mean().clamp(min=1e-12)

    def taylor(self) -> torch.Tensor:
        """Return |Σ weight × gradient| over the columns that take what each head gives."""
        weight = self._out().weight
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        product = (weight * gradient).detach()
        return product.view(len(product), self.width, -1).sum((0, 2)).abs().cpu()

    def takers(self) -> list[tuple[nn.Module, torch.Tensor]]:
        """Return the layer that takes what the heads give, and which of its inputs are whose, [heads, width of one]."""
        out = self._out()
        return [(out, torch.arange(out.in_features).view(self.width, -1))]

    @contextmanager
    def without(self, index: int) -> Iterator[None]:
        """Take nothing from one head for a while."""
        weight = self._out().weight
        before = weight.detach().clone()
        with torch.no_grad():
            weight.view(len(weight), self.width, -1)[:, index] = 0.0
        try:
            yield
        finally:
            with torch.no_grad():
                weight.copy_(before)

    def remove(self, kept: int, importance: torch.Tensor) -> set[str]:
        """Remove all but `kept` heads, least important first."""
        if kept >= self.width:
            return set()
        stay = sorted(torch.argsort(importance, stable=True)[self.width - kept :].tolist())
        attention = self.root.get_submodule(self.name)
        if isinstance(attention, nn.MultiheadAttention | FewerHeads):
            _spelled_out(self.root, self.name).keep(stay)
            return self.layers
        for name in self.inside:
            keep_rows(self._linear(name), stay, self.width)
        keep_columns(self._linear(self.out), stay, self.width)
        for attribute in (*COUNTS, *WIDTHS):
            value = getattr(attention, attribute, None)
            if isinstance(value, int):
                setattr(attention, attribute, value * kept // self.width)
        return self.layers

    def _by_head(self) -> list[torch.Tensor]:
        """Return all weights as (heads, weights of a head)."""
        attention = self.root.get_submodule(self.name)
        out = self._out().weight
        columns = out.view(len(out), self.width, -1).transpose(0, 1).flatten(1)
        if isinstance(attention, nn.MultiheadAttention):
            rows = [FewerHeads.of(attention).inside(name).weight for name in FewerHeads.INSIDE]
        elif isinstance(attention, FewerHeads):
            rows = [attention.inside(name).weight for name in FewerHeads.INSIDE]
        else:
            rows = [self._linear(name).weight for name in self.inside]
        return [*(item.reshape(self.width, -1) for item in rows), columns]

    def _out(self) -> nn.Linear:
        return self._linear(self.out)

    def _linear(self, name: str) -> nn.Linear:
        found = self.root.get_submodule(name)
        if not isinstance(found, nn.Linear):
            raise TypeError(f"{name} is {type(found).__name__}, not a linear layer")
        return found


def find(root: nn.Module) -> list[Heads]:
    """Return the attentions of a module whose heads can be told apart."""
    found = []
    for name, module in root.named_modules():
        if not name:
            continue
        if isinstance(module, FewerHeads):
            inside = tuple(f"{name}.{key}" for key in FewerHeads.INSIDE)
            found.append(Heads(root, name, inside, f"{name}.out_proj", module.num_heads))
            continue
        if isinstance(module, nn.MultiheadAttention):
            if module.bias_k is None and not module.add_zero_attn:
                found.append(Heads(root, name, (), f"{name}.out_proj", module.num_heads))
            continue
        children = {key: child for key, child in module.named_children() if isinstance(child, nn.Linear)}
        triple = next((keys for keys in TRIPLES if set(keys) <= set(children)), None)
        count = next((value for key in COUNTS if isinstance(value := getattr(module, key, None), int)), None)
        if triple is None or not count:
            continue
        widths = {children[key].out_features for key in triple}
        out = _output(root, name, module, set(triple), max(widths))
        if len(widths) == 1 and max(widths) % count == 0 and out is not None:
            found.append(Heads(root, name, tuple(f"{name}.{key}" for key in triple), out, count))
    return found


def spell_out(root: nn.Module) -> None:
    """Replace each nn.MultiheadAttention by what calls its layers one by one, so that they can be watched."""
    for item in find(root):
        if isinstance(root.get_submodule(item.name), nn.MultiheadAttention):
            _spelled_out(root, item.name)


def _spelled_out(root: nn.Module, name: str) -> FewerHeads:
    """Return the attention that stands under a name; an nn.MultiheadAttention is replaced by its like first."""
    attention = root.get_submodule(name)
    if isinstance(attention, nn.MultiheadAttention):
        parent, _, last = name.rpartition(".")
        attention = FewerHeads.of(attention)
        setattr(root.get_submodule(parent), last, attention)
    assert isinstance(attention, FewerHeads)
    return attention


def _output(root: nn.Module, name: str, module: nn.Module, inside: set[str], width: int) -> str | None:
    """Return the one linear layer that takes what the heads give: in the attention, else beside it. None if unclear."""
    above = name.rpartition(".")[0]
    for place, holder, without in ((name, module, inside), (above, root.get_submodule(above), set())):
        found = [
            f"{place}.{key}" if place else key
            for key, child in holder.named_modules()
            if isinstance(child, nn.Linear) and child.in_features == width and key not in without
        ]
        if place != name:
            found = [item for item in found if not item.startswith(f"{name}.")]
        if found:
            return found[0] if len(found) == 1 else None
    return None
