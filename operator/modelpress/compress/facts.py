"""What compression.json says: what each stage changed. Written beside tenants' code: shown, never judged by."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from modelpress.api.base import ApiType
from modelpress.store.search import Search


class Size(ApiType):
    """How big a model is at one point of the recipe."""

    parameters: int | None = None
    """Number of elements of all weights."""
    nonzero: int | None = None
    """Number of those that are not zero. Torch modules only."""
    macs: int | None = None
    """Multiply-accumulate operations for one sample. Torch modules only."""
    bytes: int | None = None
    """Bytes of the weights in memory (torch) or of the files on disk (graph)."""


class LayerFacts(ApiType):
    """What became of one node of the graph."""

    name: str
    """Name of the node, as `targets`, `ignore` and `overrides` know it."""
    operator: str
    """What it computes: `MatMul`, `Gemm`, `Gather`."""
    parameters: int
    """Number of its weights."""
    bits: float
    """Mean bits of a weight in the file, scales included; 32: left in float."""
    loss: float | None = None
    """Its sensitivity: ‖y' - y‖² / ‖y‖² of the model's outputs on calibration data, with only this node stored in the
    fewest bits that the stage tried (4). None: not measured."""


class StageFacts(ApiType):
    """What one stage did."""

    position: int
    """Number of the stage, from 1."""
    kind: str
    """Key of the stage: `prune`."""
    works_on: str
    """`module` or `graph`."""
    before: Size
    """Size before the stage."""
    after: Size
    """Size after the stage."""
    seconds: float
    """How long it took."""
    notes: tuple[str, ...] = ()
    """What it did, in sentences."""
    warnings: tuple[str, ...] = ()
    """What a person should know, in sentences."""
    layers: tuple[LayerFacts, ...] = ()
    """What became of single nodes. Empty if the stage does not say so."""
    configuration: dict[str, Any] | None = None
    """What a transformer's config.json has to say after it, by key: `num_hidden_layers`. None: what it said before."""


class CompressionFacts(ApiType):
    """The whole of compression.json."""

    format: str
    """Format of the source."""
    batched: bool
    """Whether the model has a batch axis."""
    stages: tuple[StageFacts, ...] = ()
    """In the order of the recipe."""
    original_bytes: int
    """Bytes on disk of the original's export."""
    compressed_bytes: int
    """Bytes on disk of the result."""
    seconds: float
    """How long all of it took."""
    warnings: tuple[str, ...] = Field(default=())
    """All warnings, those of the stages with their names in front."""
    assets: tuple[str, ...] = ()
    """Files that were carried along, relative to the assets folder."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the libraries that did it."""
    search: Search | None = None
    """Every trial, if the recipe was searched for."""
