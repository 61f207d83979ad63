"""Datasets: columns of equal length out of one file, fitted to a model's inputs. No torch, and no pickle."""

from .reading import Samples, read
from .rows import count_leaks, row_digests
from .splitting import hold_out, without

__all__ = ["Samples", "count_leaks", "hold_out", "read", "row_digests", "without"]
