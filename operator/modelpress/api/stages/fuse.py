"""Stage `fuse`."""

from __future__ import annotations

from ..base import ApiType


class Fuse(ApiType):
    """Fold batch normalization into the convolution or linear layer before it.

    Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """
