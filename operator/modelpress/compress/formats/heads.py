"""What transformers answer, by task. A new task is a line in the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from modelpress.api.source import SourceTask

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


BARE = "AutoModel"
"""Builds models without a head."""
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


class Transformer(nn.Module):
    """A model of transformers that takes its inputs by position and answers one named tensor."""

    def __init__(self, model: nn.Module, head: Head, pooling: Pooling, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self.pooling = pooling
        self.inputs = inputs

    def forward(self, *values: torch.Tensor) -> dict[str, torch.Tensor]:
        """Take tensors in the order of `inputs`, (batch, sequence) each; return the answer by its name."""
        named: dict[str, Any] = dict(zip(self.inputs, values, strict=True))
        answer = self.model(**named, return_dict=True)
        if not self.head.pooled:
            return {self.head.output: getattr(answer, self.head.output)}
        hidden = answer.last_hidden_state
        return {self.head.output: self.pooling(hidden, named.get("attention_mask"))}
