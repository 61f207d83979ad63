"""torch's own transformers as the exporter can write them: layer by layer, without a look at what masks hold.

Without gradients their layers are one operation of torch's that has no translation, and where a mask is given they
compare it with a causal one, which a graph cannot. The comparison is a hint for speed alone: the mask is added anyway.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.modules import transformer


@contextlib.contextmanager
def as_layers() -> Iterator[None]:
    """Let torch's encoders and decoders compute as in training while an export traces them."""
    inside: Any = transformer
    compares, fast = inside._detect_is_causal_mask, torch.backends.mha.get_fastpath_enabled()
    inside._detect_is_causal_mask = _said
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        inside._detect_is_causal_mask = compares
        torch.backends.mha.set_fastpath_enabled(fast)


def _said(_mask: torch.Tensor | None, is_causal: bool | None = None, _size: int | None = None) -> bool:
    """Return whether the caller says that a mask is causal."""
    return is_causal is True
