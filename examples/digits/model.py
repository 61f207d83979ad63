"""SimpleNet for 8x8 images of digits: two convolutions, three dense layers."""

from __future__ import annotations

import torch
from torch import nn


class SimpleNet(nn.Module):
    """Convolutions of 6 and 16 channels, dense layers of 120, 84 and `classes` units."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * 2 * 2, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn images (batch, 1, 8, 8) with values in 0…1 into scores (batch, classes)."""
        return self.classifier(self.features(image).flatten(1))


def build(classes: int = 10) -> nn.Module:
    """Return an untrained SimpleNet; `source.entrypoint` names this function."""
    return SimpleNet(classes)
