"""The compression vocabulary: one type per stage. A stage, preset or algorithm that is not built is not in here."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from .base import ApiType, Fraction, rules


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


class Finetune(ApiType):
    """Train the model on `compression.data.train` with `compression.objective`.

    The best epoch on validation data wins, if there is any.
    """

    epochs: Annotated[int, Field(ge=1, le=10000)]
    """Number of passes over the training data."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Learning rate of AdamW at the start; it falls to zero on a cosine. Default: 0.001."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Samples per step. Default: 64."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] | None = None
    """Decoupled weight decay. Default: 0.0001."""
    patience: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Epochs without improvement on validation data after which training stops. Default: none, all epochs are run."""


class Fuse(ApiType):
    """Fold batch normalization into the convolution or linear layer before it.

    Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """


class QuantizePreset(StrEnum):
    """A named scheme."""

    INT8 = "INT8"
    INT8_DYNAMIC = "INT8_DYNAMIC"


class QuantizeAlgorithm(StrEnum):
    """How ranges of activations are found in calibration."""

    MIN_MAX = "MinMax"
    ENTROPY = "Entropy"
    PERCENTILE = "Percentile"


class Granularity(StrEnum):
    """What shares one scale."""

    TENSOR = "Tensor"
    CHANNEL = "Channel"


class Quantize(ApiType):
    """Store weights, and with INT8 activations too, as 8-bit integers. Works on the exported graph: comes last."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.preset == 'INT8' || !has(self.algorithm)",
                "algorithm is for preset INT8 only: INT8_DYNAMIC finds ranges of activations at run time",
            )
        )
    )

    preset: QuantizePreset
    """INT8: weights and activations, static, calibrated. INT8_DYNAMIC: weights ahead of time, activations at run time.
    """
    algorithm: QuantizeAlgorithm | None = None
    """How calibration finds the range of an activation. Preset INT8 only. Default: MinMax."""
    granularity: Granularity | None = None
    """Whether a weight tensor has one scale or one per output channel. Default: Channel."""
    ignore: Annotated[tuple[str, ...], Field(max_length=64)] | None = None
    """Nodes of the exported graph that stay as they are, by name or as `re:<regular expression>`. Default: none."""


STAGE_KINDS = ("prune", "finetune", "fuse", "quantize")


class Stage(ApiType):
    """One step of a recipe. Exactly one key is set."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.prune), has(self.finetune), has(self.fuse), has(self.quantize)]"
                ".filter(set, set).size() == 1",
                "each stage has exactly one key: prune, finetune, fuse or quantize",
            )
        )
    )

    prune: Prune | None = None
    """Remove weights or channels. Works on the torch module."""
    finetune: Finetune | None = None
    """Train what is left. Works on the torch module."""
    fuse: Fuse | None = None
    """Fold batch normalization. Works on the torch module or on the exported graph, whichever the recipe is at."""
    quantize: Quantize | None = None
    """Store numbers in 8 bits. Works on the exported graph."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Stage:
        if len(self.keys()) != 1:
            kinds = ", ".join(STAGE_KINDS)
            raise ValueError(f"each stage has exactly one key of {kinds}; this one has {self.keys() or 'none'}")
        return self

    def keys(self) -> list[str]:
        """Return the keys that are set."""
        return [kind for kind in STAGE_KINDS if getattr(self, kind) is not None]

    @property
    def kind(self) -> str:
        """The one key that is set."""
        return self.keys()[0]

    @property
    def settings(self) -> Any:
        """What stands under the one key."""
        return getattr(self, self.kind)
