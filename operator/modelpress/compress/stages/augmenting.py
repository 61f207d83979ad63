"""Random changes of training inputs: affine ones in a single resampling, mirroring, noise. Seeded."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from modelpress.api.reasons import Reason
from modelpress.api.stages import Augment, Flip

from ..errors import Judged
from ..signature import Signature, type_of

IMAGE_AXES = 4
"""Axes of an image-shaped input: batch, channels, height, width."""


class Augmentation:
    """Changes the inputs of one call. Raises Judged with RecipeInvalid if no input can be changed as asked."""

    def __init__(self, settings: Augment, signature: Signature, seed: int, device: str) -> None:
        self.settings = settings
        self.generator = torch.Generator(device).manual_seed(seed)
        floats = [spec for spec in signature.inputs if type_of(spec).kind == "f"]
        self.noisy = {spec.name for spec in floats} if settings.noise is not None else set()
        self.affine = any(value is not None for value in (settings.shift, settings.rotate, settings.zoom))
        moved = self.affine or settings.flip is not None
        self.images = {
            spec.name for spec in floats if signature.batched and len(spec.shape or ()) == IMAGE_AXES and moved
        }
        if moved and not self.images:
            raise Judged(
                Reason.RECIPE_INVALID,
                "augment with shift, rotate, zoom or flip needs a floating-point input of shape [batch, channels, "
                "height, width], and the model has none: leave them out.",
            )
        if self.settings.noise is not None and not self.noisy:
            raise Judged(
                Reason.RECIPE_INVALID, "augment with noise needs a floating-point input, and the model has none."
            )

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return changed copies; the images of one sample, if there are several, are moved alike."""
        found = dict(inputs)
        images = sorted(self.images)
        if images:
            first = found[images[0]]
            matrices = self._matrices(first)
            mirrored = self._mirrored(len(first), first.device)
            for name in images:
                found[name] = _flipped(_resampled(found[name], matrices), mirrored)
        for name in self.noisy:
            found[name] = found[name] + (self.settings.noise or 0) * torch.randn(
                found[name].shape, generator=self.generator, device=found[name].device, dtype=found[name].dtype
            )
        return found

    def _matrices(self, images: torch.Tensor) -> torch.Tensor | None:
        """Return (n, 2, 3) matrices from output to input coordinates, which go from -1 to 1."""
        if not self.affine:
            return None
        count, height, width = len(images), images.shape[-2], images.shape[-1]
        angle, size, right, down = (self._uniform(count, images.device) for _ in range(4))
        angle = angle * math.radians(self.settings.rotate or 0)
        size = 1 / (1 + size * (self.settings.zoom or 0))
        shift = self.settings.shift or 0
        cosine, sine = angle.cos() * size, angle.sin() * size
        rows = [
            torch.stack([cosine, -sine * height / width, right * shift * 2 / width], 1),
            torch.stack([sine * width / height, cosine, down * shift * 2 / height], 1),
        ]
        return torch.stack(rows, 1).to(images.dtype)

    def _mirrored(self, count: int, device: torch.device) -> dict[int, torch.Tensor]:
        """Return which samples are mirrored, by axis."""
        flip = self.settings.flip
        axes = {None: (), Flip.HORIZONTAL: (-1,), Flip.VERTICAL: (-2,), Flip.BOTH: (-2, -1)}[flip]
        return {axis: self._uniform(count, device) > 0 for axis in axes}

    def _uniform(self, count: int, device: torch.device) -> torch.Tensor:
        return torch.rand(count, generator=self.generator, device=device) * 2 - 1


def _resampled(images: torch.Tensor, matrices: torch.Tensor | None) -> torch.Tensor:
    if matrices is None:
        return images
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def _flipped(images: torch.Tensor, mirrored: Mapping[int, torch.Tensor]) -> torch.Tensor:
    for axis, chosen in mirrored.items():
        images = torch.where(chosen.view(-1, 1, 1, 1), images.flip(axis), images)
    return images
