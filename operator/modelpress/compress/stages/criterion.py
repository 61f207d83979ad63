"""What training makes small, as stages that train ask for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np
import torch
from torch import nn

from ..datasets import Samples

Outputs = tuple[torch.Tensor, ...]
"""Outputs of one call in the order of the signature, all with a first axis that counts samples."""


class Criterion(Protocol):
    """What training makes small."""

    name: str
    """What a person calls it."""

    def check(self, inputs: dict[str, torch.Tensor], outputs: Outputs, samples: Samples, role: str) -> None:
        """Raise Judged unless the samples of a role have what the loss needs; outputs are those of the inputs."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained beside the module's own parameters."""
        ...

    def taught(self) -> Collection[str] | None:
        """Return the outputs that are looked at, once samples were checked; None: nobody knows."""
        ...

    def loss(
        self, inputs: dict[str, torch.Tensor], outputs: Outputs, samples: Samples, chosen: np.ndarray
    ) -> torch.Tensor:
        """Return the mean loss of the chosen samples, whose outputs these are, given the inputs."""
        ...
