"""Weights that lie in a graph several times: exporters write those of a module that is called twice for each call.

So a transformer whose layers are one and the same (ALBERT) would be as large as if each had weights of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import external
from .value_names import rename

HEAD = 4096
"""Bytes that are compared first."""


def merge(model: Any) -> int:
    """Have nodes share weights that are the same, in place; return how many went. Vectors stay: many hold but zeros."""
    ends = {item.name for item in (*model.graph.input, *model.graph.output)}
    known: dict[Any, list[Any]] = {}
    same: dict[str, str] = {}
    for tensor in model.graph.initializer:
        if external.size_of(tensor) < external.LARGE or len(tensor.dims) == 1 or tensor.name in ends:
            continue
        values = external.array(tensor)
        key = (tensor.data_type, tuple(tensor.dims), values.reshape(-1)[: HEAD // values.itemsize].tobytes())
        twins = known.setdefault(key, [])
        first = next((twin for twin in twins if np.array_equal(external.array(twin), values)), None)
        if first is None:
            twins.append(tensor)
        else:
            same[tensor.name] = first.name
    for place in reversed(range(len(model.graph.initializer))):
        if model.graph.initializer[place].name in same:
            del model.graph.initializer[place]
    rename(model, same)
    return len(same)
