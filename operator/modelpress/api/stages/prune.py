"""Stage `prune`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ..base import ApiType, Fraction, rules


class PruneStructure(StrEnum):
    """What is removed together."""

    UNSTRUCTURED = "Unstructured"
    CHANNEL = "Channel"


class Importance(StrEnum):
    """How the weights that may go are ranked: by L1 or L2 norm (Li et al. 2017, arXiv:1608.08710, section 3.1)."""

    L1 = "L1"
    L2 = "L2"


class PruneAmount(ApiType):
    """How much is removed. Exactly one field is set."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.channels), has(self.sparsity), has(self.parameters), has(self.macs)]"
                ".filter(set, set).size() == 1",
                "amount has exactly one of channels, sparsity, parameters, macs",
            )
        )
    )

    channels: Fraction | None = None
    """Fraction of the channels of each layer that is removed. Structure Channel only. About (1 - channels)^2 of the
    parameters stay."""
    sparsity: Fraction | None = None
    """Fraction of the weights that is set to zero. Structure Unstructured only. Size and latency stay as they are
    unless the runtime exploits zeros."""
    parameters: Fraction | None = None
    """Fraction of the model's parameters that is removed by removing channels. Structure Channel only."""
    macs: Fraction | None = None
    """Fraction of the multiply-accumulate operations that is removed by removing channels. Structure Channel only."""


class Prune(ApiType):
    """Remove weights or whole channels of the torch module, least important first."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.structure == 'Unstructured' ? has(self.amount.sparsity) : !has(self.amount.sparsity)",
                "structure Unstructured takes amount.sparsity;"
                " structure Channel takes amount.channels, amount.parameters or amount.macs",
            )
        )
    )

    structure: PruneStructure
    """What is removed together: single weights (Unstructured) or whole channels with everything that depends on them
    (Channel)."""
    importance: Importance | None = None
    """How candidates are ranked. Default: L1."""
    amount: PruneAmount
    """How much is removed."""
    scope: Literal["Global", "Layer"] | None = None
    """Whether candidates of all layers compete (Global) or each layer loses the same fraction (Layer). Default: Layer
    for Channel, Global for Unstructured."""
    round_to: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Channels that stay are a multiple of this number. Structure Channel only. Default: 1."""
    ignore: Annotated[tuple[str, ...], Field(max_length=64)] | None = None
    """Layers that are left alone, by module name or as `re:<regular expression>`. Outputs of the model are never
    pruned. Default: none."""
