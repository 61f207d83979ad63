"""Stage `prune`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ..base import ApiType, Fraction, rules
from .finetune import Finetune


class PruneStructure(StrEnum):
    """What is removed together."""

    UNSTRUCTURED = "Unstructured"
    CHANNEL = "Channel"
    SEMI_STRUCTURED = "SemiStructured2x4"


class Importance(StrEnum):
    """How the weights that may go are ranked."""

    L1 = "L1"
    L2 = "L2"
    TAYLOR = "Taylor"
    LOSS_CHANGE = "LossChange"
    RANDOM = "Random"
    RECONSTRUCTION = "Reconstruction"


class PruneAmount(ApiType):
    """How much is removed. Exactly one field is set."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.channels), has(self.sparsity), has(self.parameters), has(self.macs), has(self.bytes)]"
                ".filter(set, set).size() == 1",
                "amount has exactly one of channels, sparsity, parameters, macs, bytes",
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
    bytes: Fraction | None = None
    """Fraction of the bytes of parameters and buffers that is removed by removing channels. Structure Channel only."""


class Prune(ApiType):
    """Remove weights or whole channels of the torch module, least important first."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.structure == 'SemiStructured2x4' ? !has(self.amount) && !has(self.scope)"
                " : has(self.amount) && (self.structure == 'Unstructured') == has(self.amount.sparsity)",
                "structure Unstructured takes amount.sparsity;"
                " structure Channel takes amount.channels, amount.parameters, amount.macs or amount.bytes;"
                " structure SemiStructured2x4 is half of the weights, and takes neither amount nor scope",
            ),
            (
                "self.structure == 'Channel' || !has(self.importance) || self.importance != 'LossChange'",
                "importance LossChange leaves out one channel after the other: it goes with structure Channel",
            ),
            (
                "self.structure == 'Channel' || (!has(self.importance) || self.importance != 'Reconstruction')"
                " && (!has(self.reconstruct) || !self.reconstruct)",
                "importance Reconstruction and reconstruct make up for whole channels: they go with structure Channel",
            ),
            (
                "self.structure != 'SemiStructured2x4' || !has(self.steps) || self.steps == 1",
                "structure SemiStructured2x4 takes no steps",
            ),
            (
                "!has(self.recovery) || has(self.steps) && self.steps > 1",
                "recovery is training between steps: set steps to 2 or more",
            ),
        )
    )

    structure: PruneStructure
    """What is removed together: single weights (Unstructured), whole channels with everything that depends on them
    (Channel), or two of every four neighbouring weights of one output, which become zero (SemiStructured2x4, Mishra et
    al. 2021, arXiv:2104.08378)."""
    importance: Importance | None = None
    """How candidates are ranked. L1, L2: by norm (Li et al. 2017, arXiv:1608.08710, section 3.1). Taylor: by weight
    times gradient of the objective (Molchanov et al. 2019, arXiv:1906.10771, equation 8). LossChange: by how much the
    objective grows without the channel, tried out. Reconstruction: by what the layers that take a channel can no longer
    answer without it when the other channels make up for it, on calibration data (Kurtic et al. 2023, arXiv:2302.04089,
    equations 3 and 4); with scope Global all layers then lose about as much of their answers. Random: not at all.
    Default: L1."""
    amount: PruneAmount | None = None
    """How much is removed. Needed by Unstructured and Channel. Default: none."""
    scope: Literal["Global", "Layer"] | None = None
    """Whether candidates of all layers compete (Global) or each layer loses the same fraction (Layer). Default: Layer
    for Channel, Global for Unstructured."""
    steps: Annotated[int, Field(ge=1, le=100)] | None = None
    """Number of steps in which the amount is reached, candidates being ranked anew in each. Default: 1."""
    recovery: Finetune | None = None
    """Training after each step but the last; what follows the last is a stage of its own. Default: none."""
    reconstruct: bool | None = None
    """Whether layers that lost inputs are fitted anew by least squares to what they answered before, on calibration
    data (He et al. 2017, arXiv:1707.06168, section 3): much of the loss is gone before any training, and more of it the
    more samples there are: there should be several times as many rows (tokens, positions) as the widest layer has
    inputs. Structure Channel only. Default: false."""
    round_to: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Channels that stay are a multiple of this number. Structure Channel only. Default: 1."""
    ignore: Annotated[tuple[str, ...], Field(max_length=64)] | None = None
    """Layers that are left alone, by module name or as `re:<regular expression>`. Outputs of the model are never
    pruned. Default: none."""
