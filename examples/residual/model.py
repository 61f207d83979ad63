"""A residual net of depthwise-separable convolutions for 8x8 images: what channel pruning must keep in step."""

from __future__ import annotations

import torch
from torch import nn


def convolution(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution with batch normalization."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


class Block(nn.Module):
    """Widen, filter each channel by itself, narrow; add what came in (Sandler et al. 2018, MobileNetV2, section 3)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = 4 * inputs
        self.widen, self.narrow = convolution(inputs, wide, 1), convolution(wide, outputs, 1)
        self.filter = convolution(wide, wide, 3, stride, groups=wide)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn (batch, inputs, height, width) into (batch, outputs, height / stride, width / stride)."""
        narrow = self.narrow(torch.relu(self.filter(torch.relu(self.widen(image)))))
        return image + narrow if self.adds else narrow


class Residual(nn.Module):
    """A stem, four blocks, a dense layer."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.stem = convolution(1, width, 3)
        shapes = [(width, width, 1), (width, width, 1), (width, 2 * width, 2), (2 * width, 2 * width, 1)]
        self.blocks = nn.Sequential(*(Block(*shape) for shape in shapes))
        self.head = nn.Linear(2 * width, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn images (batch, 1, 8, 8) with values in 0…1 into scores (batch, classes)."""
        return self.head(torch.relu(self.blocks(torch.relu(self.stem(image)))).mean((2, 3)))


def build(width: int = 16, classes: int = 10) -> nn.Module:
    """Return an untrained net; `source.entrypoint` names this function."""
    return Residual(width, classes)
