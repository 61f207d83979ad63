"""Stage `fuse`."""

from __future__ import annotations

from ..base import ApiType


class Fuse(ApiType):
    """Fold batch normalization into the convolution or linear layer before it.

    Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """

    attention: bool | None = None
    """Whether attention is computed by one operator that never holds all scores (Dao et al. 2022, arXiv:2205.14135)
    where no position of a request is masked; where one is, as before. Works on the exported graph; before quantize.
    Default: false."""
