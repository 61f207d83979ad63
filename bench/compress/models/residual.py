"""A residual net for 8x8 images: what ResNet-56 is for CIFAR-10, three widths of basic blocks (He et al. 2016)."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions, and what came in added to what they make of it (He et al. 2016, arXiv:1512.03385, figure 5)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn (batch, inputs, height, width) into (batch, outputs, height / stride, width / stride)."""
        hidden = torch.relu(self.first_norm(self.first(image)))
        return torch.relu(self.second_norm(self.second(hidden)) + self.shortcut(image))


class Residual(nn.Module):
    """A stem, three blocks of widths 16, 32 and 64, a dense layer."""

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2))
        self.head = nn.Linear(4 * width, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn images (batch, 1, height, width) with values in 0…1 into scores (batch, classes)."""
        hidden = self.blocks(torch.relu(self.stem_norm(self.stem(image))))
        scores: torch.Tensor = self.head(hidden.mean((2, 3)))
        return scores


def build(classes: int = 10, width: int = 16) -> nn.Module:
    """Return an untrained net; `source.entrypoint` names this function."""
    return Residual(classes, width)
