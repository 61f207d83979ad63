"""Augmentation: what is asked for happens, to what it fits, and the same each time."""

from __future__ import annotations

import pytest
import torch

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Augment
from modelpress.compress.errors import Judged
from modelpress.compress.signature import Signature
from modelpress.compress.stages.augmenting import Augmentation

IMAGE = TensorSpec(name="image", shape=("batch", 1, 9, 9))
ROW = TensorSpec(name="row", shape=("batch", 4))
TOKENS = TensorSpec(name="tokens", shape=("batch", "time"), dtype="int64")


def made(*specs: TensorSpec, **settings: object) -> Augmentation:
    return Augmentation(Augment.model_validate(settings), Signature(specs, ()), 0, "cpu")


def point(count: int, row: int, column: int) -> torch.Tensor:
    images = torch.zeros(count, 1, 9, 9)
    images[:, :, row, column] = 1.0
    return images


def places(images: torch.Tensor) -> torch.Tensor:
    """Return the centres of mass (row, column)."""
    axis = torch.arange(9.0)
    mass = images.sum((1, 2, 3))
    return torch.stack([(images.sum((1, 3)) * axis).sum(1), (images.sum((1, 2)) * axis).sum(1)], 1) / mass[:, None]


def test_shifts_reach_as_far_as_asked_in_all_directions() -> None:
    moved = places(made(IMAGE, shift=2)({"image": point(400, 4, 4)})["image"]) - 4
    assert moved.abs().max() <= 2.01
    assert (moved.amax(0) > 1.8).all()
    assert (moved.amin(0) < -1.8).all()


def test_rotations_turn_about_the_middle_by_at_most_the_angle() -> None:
    found = places(made(IMAGE, rotate=30)({"image": point(400, 4, 7)})["image"]) - 4
    angles = torch.rad2deg(torch.atan2(found[:, 0], found[:, 1]))
    assert angles.abs().max() < 32
    assert angles.max() > 27
    assert angles.min() < -27
    torch.testing.assert_close(found.norm(dim=1), torch.full((400,), 3.0), atol=0.3, rtol=0)


def test_zoom_moves_away_from_the_middle_and_towards_it() -> None:
    found = places(made(IMAGE, zoom=0.25)({"image": point(400, 4, 6)})["image"])[:, 1] - 4
    assert 2.3 < found.max() < 2.7
    assert 1.4 < found.min() < 1.7


@pytest.mark.parametrize(("flip", "axes"), [("Horizontal", [3]), ("Vertical", [2]), ("Both", [2, 3])])
def test_about_half_of_the_samples_are_mirrored(flip: str, axes: list[int]) -> None:
    image = point(400, 1, 2)
    found = made(IMAGE, flip=flip)({"image": image})["image"]
    for axis in axes:
        assert 0.4 < (places(found) - places(image))[:, axis - 2].ne(0).float().mean() < 0.6
    assert torch.equal(found.sum((1, 2, 3)), image.sum((1, 2, 3)))


def test_noise_falls_on_every_floating_point_input_and_on_no_other() -> None:
    given = {"image": torch.zeros(64, 1, 9, 9), "row": torch.zeros(64, 4), "tokens": torch.ones(64, 3).long()}
    found = made(IMAGE, ROW, TOKENS, noise=0.5)(given)
    assert abs(found["image"].std() - 0.5) < 0.05
    assert abs(found["row"].std() - 0.5) < 0.1
    assert found["tokens"] is given["tokens"]
    assert not given["image"].any()


def test_two_images_of_one_sample_move_alike_and_a_seed_gives_the_same() -> None:
    other = TensorSpec(name="other", shape=("batch", 1, 9, 9))
    both = {"image": point(8, 4, 4), "other": point(8, 4, 4)}
    once, again = (made(IMAGE, other, shift=2, rotate=20)(both) for _ in range(2))
    assert torch.equal(once["image"], once["other"])
    assert torch.equal(once["image"], again["image"])


@pytest.mark.parametrize(
    ("spec", "settings", "words"),
    [(ROW, {"shift": 1}, "height, width"), (TOKENS, {"noise": 0.1}, "floating-point input")],
)
def test_what_no_input_can_have_is_refused(spec: TensorSpec, settings: dict[str, float], words: str) -> None:
    with pytest.raises(Judged, match=words):
        made(spec, **settings)
