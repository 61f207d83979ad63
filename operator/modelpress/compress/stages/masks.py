"""What masks an attention's scores, and why some masks do so whatever is asked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from ..signature import Array

HIDDEN_FROM = -1e3
"""A number added to scores is no bias from here on, but hides a position."""
SLOWER = "with which one operator is no faster"


class MaskKind(Enum):
    """How a mask says so: by numbers that are added to scores, or by truths about what is hidden, or what is seen."""

    ADDED = "added"
    HIDDEN = "hidden"
    SEEN = "seen"


@dataclass(frozen=True)
class Mask:
    """What keeps positions from being seen."""

    value: str
    kind: MaskKind


def why_masked(kind: MaskKind, mask: Array) -> str:
    """Return why a mask, as numbers, masks something although nothing is padded."""
    numbers: Any = mask.astype(np.float32)
    hidden = {MaskKind.ADDED: numbers <= HIDDEN_FROM, MaskKind.HIDDEN: numbers > 0, MaskKind.SEEN: numbers == 0}[kind]
    if kind is MaskKind.ADDED and np.any(numbers[~hidden]):
        return f"a bias is added to its scores, {SLOWER}"
    later = np.triu(np.ones(hidden.shape[-2:], np.bool_), 1)
    if hidden.ndim > 1 and later.any() and hidden[..., later].all() and not hidden[..., ~later].all():
        return f"no token sees those after it (its mask is causal), {SLOWER}"
    return f"it has positions masked even where every input with mask in its name is all 1 or all 0, {SLOWER}"
