"""The same sample has the same digest wherever and however it is stored."""

from __future__ import annotations

from pathlib import Path

import numpy

from modelpress.api.data import Dataset
from modelpress.compress.datasets import count_leaks, row_digests


def digests(folder: Path, name: str, **columns: object) -> numpy.ndarray:
    numpy.savez(folder / f"{name}.npz", **columns)  # type: ignore[arg-type]
    return row_digests(Dataset(uri=f"s3://b/{name}.npz"), folder)


def test_leaks_are_counted_whatever_type_the_numbers_have(tmp_path: Path) -> None:
    rows = numpy.arange(60).reshape(20, 3)
    test = digests(tmp_path, "test", x=rows[:10].astype("float32"), label=numpy.zeros(10, int))
    train = digests(tmp_path, "train", x=rows[8:].astype("uint8"), label=numpy.ones(12, int))
    assert count_leaks(test, {"train": train, "none": train[5:]}) == {"train": 2, "none": 0}


def test_labels_are_no_part_of_a_sample_and_every_input_is(tmp_path: Path) -> None:
    first = digests(tmp_path, "a", x=[[1, 2]], y=[[3]], label=[0])
    assert (digests(tmp_path, "b", x=[[1, 2]], y=[[3]], label=[1]) == first).all()
    assert (digests(tmp_path, "c", x=[[1, 2]], y=[[4]], label=[0]) != first).all()
