"""LeNet-5 (LeCun et al. 1998, section II.B) for 8x8 images: two convolutions, three dense layers."""

from __future__ import annotations

import torch
from torch import nn


class LeNet(nn.Module):
    """Convolutions of 6 and 16 channels, dense layers of 120, 84 and `classes` units; maxima instead of means."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 3, padding=1), nn.ReLU()
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn images (batch, 1, 8, 8) with values in 0…1 into scores (batch, classes)."""
        return self.classifier(self.features(image))


def build(classes: int = 10) -> nn.Module:
    """Return an untrained LeNet; `source.entrypoint` names this function."""
    return LeNet(classes)
