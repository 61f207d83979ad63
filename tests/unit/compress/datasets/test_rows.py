"""The same sample has the same digest wherever and however it is stored."""

from __future__ import annotations

from pathlib import Path

import numpy

from modelpress.api.data import Dataset
from modelpress.compress.datasets import count_leaks, group_digests, row_digests


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


def test_groups_are_compared_by_name_and_are_no_part_of_a_sample(tmp_path: Path) -> None:
    for name, documents in (("test", ["a", "b", "c"]), ("train", ["c", "d", "c"])):
        numpy.savez(tmp_path / f"{name}.npz", x=[[1], [2], [3]], text=["u", "v", "w"], document=documents)
    test, train = (Dataset(uri=f"s3://b/{name}.npz", group="document") for name in ("test", "train"))
    shared = count_leaks(group_digests(test, tmp_path), {"train": group_digests(train, tmp_path)})
    assert shared == {"train": 1}
    assert (row_digests(test, tmp_path) == row_digests(train, tmp_path)).all()
    assert len(group_digests(Dataset(uri="s3://b/test.npz"), tmp_path)) == 0
