"""Datasets: columns of equal length out of one file, fitted to a model's inputs. No torch, and no pickle."""

from .near import near_duplicates
from .ragged import is_ragged, rows_of
from .reading import Samples, read
from .rows import count_leaks, group_digests, row_digests, sample_columns, sample_names
from .splitting import hold_out, without

__all__ = [
    "Samples",
    "count_leaks",
    "group_digests",
    "hold_out",
    "is_ragged",
    "near_duplicates",
    "read",
    "row_digests",
    "rows_of",
    "sample_columns",
    "sample_names",
    "without",
]
