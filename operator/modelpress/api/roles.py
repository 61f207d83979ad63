"""Datasets of a spec by role, and how containers read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from .data import CompressionData, Dataset, mapped
from .evaluation import Evaluation
from .source import Source
from .spec import CompressedModelSpec

Place = TypeVar("Place", Dataset, Source)

TEST_ROLE = "test"
LEARNING_ROLES = ("train", "validation", "calibration")
"""Datasets that compression may look at. The test set is none of them."""


def learning_datasets(spec: CompressedModelSpec) -> dict[str, Dataset]:
    """Return the datasets that compression may look at, by role."""
    data = spec.compression.data or CompressionData()
    return {role: dataset for role in LEARNING_ROLES if (dataset := getattr(data, role)) is not None}


def test_dataset(spec: CompressedModelSpec) -> dict[str, Dataset]:
    """Return the held-out data by its role, if there is any."""
    test = (spec.evaluation or Evaluation()).test
    return {TEST_ROLE: test} if test is not None else {}


def all_datasets(spec: CompressedModelSpec) -> dict[str, Dataset]:
    """Return every dataset of `spec`, by role."""
    return learning_datasets(spec) | test_dataset(spec)


def without_secrets(places: Mapping[str, Place]) -> dict[str, Place]:
    """Return `places` without the names of what opens them: of no use to whoever reads a file or folder."""
    return {role: place.model_copy(update={"secret_name": None}) for role, place in places.items()}


def readings(spec: CompressedModelSpec, datasets: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Return how to read `datasets`, with the columns of the model's inputs as far as its source names them."""
    inputs = [given.name for given in spec.source.inputs or ()]
    return {role: mapped(dataset, inputs) for role, dataset in without_secrets(datasets).items()}
