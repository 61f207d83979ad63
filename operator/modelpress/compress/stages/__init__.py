"""Stages of a recipe, one file each. A new stage is a file here and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ..models import Medium
from . import cut, distill, factorize, finetune, fuse, fuse_graph, prune, quantize

Run = Callable[[Any, Any, Any], Any]
"""(model, settings of the stage, context) → model of the same medium."""

STAGES: Mapping[str, Mapping[Medium, Run]] = MappingProxyType(
    {
        "prune": {Medium.MODULE: prune.run},
        "cut": {Medium.MODULE: cut.run},
        "factorize": {Medium.MODULE: factorize.run},
        "distill": {Medium.MODULE: distill.run},
        "finetune": {Medium.MODULE: finetune.run},
        "fuse": {Medium.MODULE: fuse.run, Medium.GRAPH: fuse_graph.run},
        "quantize": {Medium.GRAPH: quantize.run},
    }
)
"""What each stage works on, and what does it."""
WORKS_ON: Mapping[str, tuple[Medium, ...]] = MappingProxyType({kind: tuple(table) for kind, table in STAGES.items()})
"""What each stage works on."""
