"""Stage `cut`."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from ..base import ApiType, rules


class Cut(ApiType):
    """Remove whole blocks from a list of blocks, such as the layers of a transformer or the blocks of a residual net.

    Each block must answer in the shape that it is given, so that its neighbours fit together without it.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.keep) != has(self.remove)", "cut has exactly one of keep, remove"))
    )

    blocks: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the module that holds the blocks, an nn.ModuleList or nn.Sequential: `encoder.layer`; with format
    transformers `model.bert.encoder.layer`. `modelpress inspect` names those that a model has."""
    keep: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Number of blocks that stay. Those go whose removal changes the model's outputs least on calibration data, one
    after the other. How much a block changes what passes through it (Men et al. 2024, arXiv:2403.03853) is not asked:
    it misranks. Default: as `remove` says."""
    remove: Annotated[tuple[Annotated[int, Field(ge=0, le=999)], ...], Field(min_length=1, max_length=256)] | None = (
        None
    )
    """Blocks that go, by their positions from 0. Default: as `keep` says."""
