"""`compression.objective`: what training makes small."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict

from .base import ApiType, rules
from .fields import Entrypoint, Name


class Loss(StrEnum):
    """What training makes small."""

    CROSS_ENTROPY = "CrossEntropy"
    MSE = "MSE"
    COSINE = "Cosine"
    CAUSAL_LM = "CausalLM"
    ENTRYPOINT = "Entrypoint"


class Objective(ApiType):
    """What training makes small."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(self.loss == 'Entrypoint') == has(self.entrypoint)",
                "loss Entrypoint needs objective.entrypoint, as file:function, and no other loss takes one",
            )
        )
    )

    loss: Loss
    """CrossEntropy: integer targets, and -100 where none is to be learned. Scores are [batch, classes], for tokens
    [batch, tokens, classes], for nodes of a graph [nodes, classes], for images [batch, classes, height, width]; the
    axis without which the shape of the targets is left counts the classes. MSE: mean squared error. Cosine: 1 - cosine
    similarity over the last axis. CausalLM: cross-entropy of scores [batch, tokens, vocabulary] with the token after
    each; targets are the tokens themselves, and -100 where none is to be learned. Entrypoint: what a function of the
    source says."""
    entrypoint: Entrypoint | None = None
    """`file:function` of the source; `losses:loss` calls `loss(outputs, targets)` of `losses.py`, which returns the
    mean over a batch as a tensor of one number. `outputs` and `targets` are mappings from the names of outputs to
    tensors whose first axis counts samples; targets are those that the dataset has. It runs where the source's code
    does, so `source.trustCode` is needed. Needed by loss Entrypoint. Default: none."""
    output: Name | None = None
    """Output that the loss is taken of, and that distill compares. Default: the loss is the sum over all outputs that
    the training data has targets for, distill compares all of floating point; a loss of an entrypoint sees all of
    them."""
