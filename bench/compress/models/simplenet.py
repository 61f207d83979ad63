"""SimpleNet for 32x32 images in colour: two convolutions, three dense layers; 62,006 parameters (LeCun et al. 1998)."""

from __future__ import annotations

import torch
from torch import nn


class SimpleNet(nn.Module):
    """Convolutions of 6 and 16 channels, dense layers of 120, 84 and `classes` units."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn images (batch, 3, 32, 32) with values in 0…1 into scores (batch, classes)."""
        scores: torch.Tensor = self.classifier(self.features(image))
        return scores


def build(classes: int = 10) -> nn.Module:
    """Return an untrained SimpleNet; `source.entrypoint` names this function."""
    return SimpleNet(classes)
