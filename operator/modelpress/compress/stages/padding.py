"""Padding of texts: what a model answers there is read by nobody, and says nothing about what it answers to words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch

from ..signature import MASK, Array

AXES = 3
"""Axes of answers to tokens: batch, tokens, numbers."""

Values = TypeVar("Values", torch.Tensor, Array)


def words(inputs: Mapping[str, Values], shape: Sequence[int]) -> Values | None:
    """Return where answers of this shape, [batch, tokens, numbers], are to words, [batch, tokens].

    None: no input says so, answers are no tokens', or all of them are padding.
    """
    mask = inputs.get(MASK)
    if mask is None or len(shape) != AXES or tuple(mask.shape) != tuple(shape[:-1]):
        return None
    return mask != 0 if bool((mask != 0).any()) else None


def kept(values: Values, where: Values | None) -> Values:
    """Return the answers to words one after the other, [words, numbers]; all as they are if nothing says where."""
    return values if where is None else values[where]


def at_words(answers: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Array]:
    """Return the floating-point answers of one call without those to padding."""
    return [
        np.asarray(kept(values, words(inputs, values.shape))) for values in answers.values() if values.dtype.kind == "f"
    ]
