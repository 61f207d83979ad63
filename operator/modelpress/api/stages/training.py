"""What stages that train have in common: steps, learning rate, regularization, augmentation."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from ..base import ApiType, Fraction, rules


class LearningRateSchedule(StrEnum):
    """How the learning rate falls."""

    COSINE = "Cosine"
    LINEAR = "Linear"
    CONSTANT = "Constant"


class Flip(StrEnum):
    """Along which axis images are mirrored."""

    HORIZONTAL = "Horizontal"
    VERTICAL = "Vertical"
    BOTH = "Both"


class Augment(ApiType):
    """Random changes of the training inputs, drawn anew for each sample and epoch.

    All of them work on floating-point inputs of the shape [batch, channels, height, width]; noise works on every
    floating-point input. Targets stay as they are.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.shift) || has(self.rotate) || has(self.zoom) || has(self.flip) || has(self.noise)",
                "augment has at least one of shift, rotate, zoom, flip, noise",
            )
        )
    )

    shift: Annotated[float, Field(gt=0, le=64)] | None = None
    """Greatest shift in pixels, in any direction; what comes in is zero. Default: none."""
    rotate: Annotated[float, Field(gt=0, le=180)] | None = None
    """Greatest rotation in degrees, either way. Default: none."""
    zoom: Fraction | None = None
    """Greatest change of size: 0.1 is 90 % to 110 %. Default: none."""
    flip: Flip | None = None
    """Mirror every second sample, on average. Default: none."""
    noise: Annotated[float, Field(gt=0, le=10)] | None = None
    """Standard deviation of added Gaussian noise, in units of the input. Default: none."""


class Training(ApiType):
    """AdamW over the training data. The best epoch on validation data wins, if there is any."""

    epochs: Annotated[int, Field(ge=1, le=10000)]
    """Number of passes over the training data."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Learning rate of AdamW at the start; `schedule` says how it falls. Default: 0.001."""
    schedule: LearningRateSchedule | None = None
    """How the learning rate goes on from the start: to zero along half a cosine (Cosine), to zero along a line
    (Linear), or not at all (Constant). Default: Cosine."""
    warmup: Fraction | None = None
    """Fraction of all steps in which the learning rate rises from zero to where it starts. Default: none."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Samples per step. Default: 64."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] | None = None
    """Decoupled weight decay. Default: 0.0001."""
    max_gradient_norm: Annotated[float, Field(gt=0, le=1000000)] | None = None
    """L2 norm to which the gradient of all weights together is clipped. Default: none, it is not clipped."""
    augment: Augment | None = None
    """Random changes of the training inputs. Default: none."""
    patience: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Epochs without improvement on validation data after which training stops. Default: none, all epochs are run."""
    quantization_aware: bool | None = None
    """Train with weights, and 8-bit activations, rounded as the recipe's quantize stage rounds them (Jacob et al. 2018,
    arXiv:1712.05877, section 3). Put fuse before it. Default: false."""
