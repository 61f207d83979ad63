"""Stage `finetune`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..base import ApiType


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
