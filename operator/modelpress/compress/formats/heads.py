"""What transformers answer, by task. A new task is a line in the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from modelpress.api.source import SourceTask

from ..signature import MASK
from .pooling import Pooling


@dataclass(frozen=True)
class Head:
    """How a task's model is built, and what of its answer counts."""

    auto_class: str
    """Class of transformers that builds the model for a config."""
    output: str
    """Name of the output; an attribute of the model's answer, unless it is pooled."""
    pooled: bool = False
    """Whether hidden states are pooled to one vector a text."""


MODEL = "model"
"""What a Transformer calls the model that it wraps."""
BARE = "AutoModel"
"""Builds models without a head."""
ENCODER = "AutoModelForTextEncoding"
"""Builds the encoder alone of what has a decoder too."""
HEADS: Mapping[SourceTask, Head] = MappingProxyType(
    {
        SourceTask.FEATURE_EXTRACTION: Head(BARE, "last_hidden_state"),
        SourceTask.SENTENCE_EMBEDDING: Head(BARE, "embedding", pooled=True),
        SourceTask.TEXT_CLASSIFICATION: Head("AutoModelForSequenceClassification", "logits"),
        SourceTask.TOKEN_CLASSIFICATION: Head("AutoModelForTokenClassification", "logits"),
        SourceTask.MASKED_LM: Head("AutoModelForMaskedLM", "logits"),
        SourceTask.CAUSAL_LM: Head("AutoModelForCausalLM", "logits"),
    }
)


TEXTS, TOKENS, ENOUGH_IDS = 2, 5, 50
SHAPE = (TEXTS, TOKENS)
NEAR = 1e-4
KINDS, EVERYWHERE, WINDOW = "layer_types", "full_attention", "window"
"""What configs call layers that do not see all tokens: by their kinds, or by how far they see."""


class Transformer(nn.Module):
    """A model of transformers that takes its inputs by position and answers one named tensor."""

    def __init__(self, model: nn.Module, head: Head, pooling: Pooling, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self.pooling = pooling
        self.inputs = inputs
        self.adds_mask = False
        """Whether the model is given what is added to its scores instead of the mask: that is four operations in the
        exported graph, and thirty where transformers makes it."""

    def forward(self, *values: torch.Tensor) -> dict[str, torch.Tensor]:
        """Take tensors in the order of `inputs`, (batch, sequence) each; return the answer by its name."""
        named: dict[str, Any] = dict(zip(self.inputs, values, strict=True))
        mask = named.get(MASK)
        if self.adds_mask:
            named[MASK] = added(named[MASK])
        answer = self.model(**named, return_dict=True)
        if not self.head.pooled:
            return {self.head.output: getattr(answer, self.head.output)}
        return {self.head.output: self.pooling(answer.last_hidden_state, mask)}


def added(mask: torch.Tensor) -> torch.Tensor:
    """Return what a mask (batch, sequence) adds to scores, (batch, 1, 1, sequence): 0, or the least number there is."""
    return (1 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min


def simplify_mask(module: Transformer, ids: int) -> None:
    """Have the model take what is added to its scores, if it answers padded texts alike then; not if tokens see those
    before them alone, or those near them: such a mask is the model's own, and what is given takes its place.

    `ids`: so many ids of tokens it knows.
    """
    config: Any = module.model.config
    if not {"input_ids", MASK} <= set(module.inputs) or not _sees_all(config.to_dict()):
        return
    generator = torch.Generator().manual_seed(0)
    asked = {name: torch.zeros(SHAPE, dtype=torch.int64) for name in module.inputs}
    asked["input_ids"] = torch.randint(0, min(ids, ENOUGH_IDS), SHAPE, generator=generator)
    asked[MASK] = torch.ones(SHAPE, dtype=torch.int64)
    asked[MASK][-1, TOKENS // 2 :] = 0
    values = [asked[name] for name in module.inputs]
    expected = _answer(module, values)
    module.adds_mask = True
    got = _answer(module, values)
    module.adds_mask = expected is not None and got is not None and torch.allclose(expected, got, atol=NEAR, rtol=NEAR)


def answers(module: Transformer) -> bool:
    """Return whether the model answers to its inputs at all."""
    return _answer(module, [torch.ones(SHAPE, dtype=torch.int64) for _ in module.inputs]) is not None


def _sees_all(config: Mapping[str, Any]) -> bool:
    """Whether each layer sees all tokens, as far as the config says; the few that are asked lie in any window."""
    for key, value in config.items():
        if key == KINDS and set(value or ()) - {EVERYWHERE}:
            return False
        if WINDOW in str(key) and value:
            return False
        if isinstance(value, Mapping) and not _sees_all(value):
            return False
    return True


def _answer(module: Transformer, values: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Return the answer, None if the model takes no such inputs."""
    try:
        with torch.no_grad():
            found: torch.Tensor = module(*values)[module.head.output]
    except MemoryError:
        raise
    except Exception:  # transformers raises whatever its parts raise
        return None
    return found
