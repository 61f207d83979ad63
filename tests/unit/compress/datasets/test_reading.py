"""A dataset is fitted to the model, or refused with what was expected and what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from modelpress.api.data import Dataset, DatasetFormat
from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.compress.datasets import read
from modelpress.compress.errors import Judged

IMAGES = numpy.arange(5 * 4, dtype=numpy.float32).reshape(5, 1, 2, 2)
LABELS = numpy.array([0, 1, 2, 0, 1])
INPUTS = (TensorSpec(name="image", dtype="float32", shape=("batch", 1, 2, 2)),)
OUTPUTS = (TensorSpec(name="logits"),)


def save(folder: Path, file_format: str, columns: dict[str, Any]) -> Dataset:
    """Write `columns` as a file of that format and return the dataset that names it."""
    path = folder / f"data.{file_format}"
    if file_format == "npz":
        numpy.savez(path, **columns)
    elif file_format == "safetensors":
        from safetensors.numpy import save_file

        save_file({name: numpy.ascontiguousarray(column) for name, column in columns.items()}, path)
    elif file_format == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({name: column.tolist() for name, column in columns.items()}), path)
    else:
        count = len(next(iter(columns.values())))
        rows = [{name: column[row].tolist() for name, column in columns.items()} for row in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Dataset(uri=f"s3://bucket/data.{file_format}")


def refused(folder: Path, dataset: Dataset, inputs: tuple[TensorSpec, ...] = INPUTS) -> Judged:
    with pytest.raises(Judged) as caught:
        read(dataset, folder, inputs, OUTPUTS, 0)
    return caught.value


@pytest.mark.parametrize("file_format", list(DatasetFormat))
def test_every_format_gives_the_same_samples(tmp_path: Path, file_format: str) -> None:
    found = read(save(tmp_path, file_format, {"image": IMAGES, "label": LABELS}), tmp_path, INPUTS, OUTPUTS, 0)
    assert found.count == 5
    assert found.inputs["image"].dtype == numpy.float32
    numpy.testing.assert_array_equal(found.inputs["image"], IMAGES)
    numpy.testing.assert_array_equal(found.targets["logits"], LABELS)


def test_an_uncompressed_npz_is_mapped_and_not_loaded(tmp_path: Path) -> None:
    found = read(save(tmp_path, "npz", {"image": IMAGES, "label": LABELS}), tmp_path, INPUTS, OUTPUTS, 0)
    assert isinstance(found.inputs["image"], numpy.memmap)


def test_columns_are_mapped_by_name(tmp_path: Path) -> None:
    dataset = save(tmp_path, "npz", {"x": IMAGES, "y": LABELS, "z": LABELS * 0.5}).model_copy(
        update={"inputs": {"image": "x"}, "targets": {"logits": "y"}}
    )
    found = read(dataset, tmp_path, INPUTS, OUTPUTS, 0, columns=["z"])
    assert set(found.targets) == {"logits"}
    assert found.columns["z"].dtype == numpy.float32


def test_flat_lists_take_the_shape_of_the_input(tmp_path: Path) -> None:
    found = read(save(tmp_path, "parquet", {"image": IMAGES.reshape(5, 4)}), tmp_path, INPUTS, OUTPUTS, 0)
    numpy.testing.assert_array_equal(found.inputs["image"], IMAGES)
    assert found.targets == {}


def test_samples_are_chosen_by_the_seed_and_stay_together(tmp_path: Path) -> None:
    rows = numpy.arange(100)
    dataset = save(tmp_path, "npz", {"x": rows[:, None], "label": rows}).model_copy(update={"samples": 10})
    inputs = (TensorSpec(name="x", dtype="int64", shape=("batch", 1)),)
    chosen = [read(dataset, tmp_path, inputs, OUTPUTS, seed) for seed in (1, 1, 2)]
    assert [found.count for found in chosen] == [10, 10, 10]
    assert (chosen[0].inputs["x"][:, 0] == chosen[0].targets["logits"]).all()
    assert (chosen[0].inputs["x"] == chosen[1].inputs["x"]).all()
    assert (chosen[0].inputs["x"] != chosen[2].inputs["x"]).any()


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (str(tmp_path / "exploded"),))  # type: ignore[return-value]

    dataset = save(tmp_path, "npz", {"image": numpy.array([Bomb()], dtype=object), "label": LABELS[:1]})
    error = refused(tmp_path, dataset)
    assert error.reason is Reason.DATASET_INVALID and "pickled" in error.message
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("file_format", list(DatasetFormat))
def test_a_file_of_another_kind_is_invalid(tmp_path: Path, file_format: str) -> None:
    (tmp_path / f"data.{file_format}").write_bytes(b"\x80\x04K\x01.garbage")
    assert refused(tmp_path, Dataset(uri=f"s3://b/data.{file_format}")).reason is Reason.DATASET_INVALID


def test_a_truncated_file_is_invalid(tmp_path: Path) -> None:
    dataset = save(tmp_path, "safetensors", {"image": IMAGES, "label": LABELS})
    path = tmp_path / "data.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    assert refused(tmp_path, dataset).reason is Reason.DATASET_INVALID


@pytest.mark.parametrize(
    ("columns", "reason", "says"),
    [
        ({"picture": IMAGES}, Reason.DATASET_DOES_NOT_FIT, "no column 'image'; it has picture"),
        ({"image": IMAGES.reshape(5, 2, 2)}, Reason.DATASET_DOES_NOT_FIT, "[2, 2], input 'image' takes [1, 2, 2]"),
        ({"image": IMAGES.astype("float64") * 1e300}, Reason.DATASET_DOES_NOT_FIT, "cannot hold"),
        ({"image": numpy.where(IMAGES == 3, numpy.nan, IMAGES)}, Reason.NOT_FINITE, "'image' holds NaN"),
        ({"image": IMAGES, "label": LABELS[:3]}, Reason.DATASET_INVALID, "differ in length: image 5, label 3"),
        ({"image": IMAGES[:0], "label": LABELS[:0]}, Reason.DATASET_INVALID, "no samples"),
        ({"image": numpy.array(["a", "b"])}, Reason.DATASET_INVALID, "not numbers"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, columns: dict[str, Any], reason: Reason, says: str) -> None:
    error = refused(tmp_path, save(tmp_path, "npz", columns))
    assert error.reason is reason
    assert says in error.message


def test_whole_numbers_are_converted_only_without_loss(tmp_path: Path) -> None:
    ids = (TensorSpec(name="ids", dtype="int32", shape=("batch", "length")),)
    fits = save(tmp_path, "npz", {"ids": numpy.array([[1, 2], [3, 4]], dtype="int64")})
    assert read(fits, tmp_path, ids, OUTPUTS, 0).inputs["ids"].dtype == numpy.int32
    halves = save(tmp_path, "npz", {"ids": numpy.array([[1.5, 2.0]])})
    assert "cannot hold 1.5" in refused(tmp_path, halves, ids).message


def test_axes_of_one_name_have_one_length(tmp_path: Path) -> None:
    specs = tuple(TensorSpec(name=name, dtype="int64", shape=("batch", "length")) for name in ("ids", "mask"))
    dataset = save(tmp_path, "npz", {"ids": numpy.ones((2, 3), int), "mask": numpy.ones((2, 4), int)})
    assert "axis length" in refused(tmp_path, dataset, specs).message


def test_ragged_lists_are_refused_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"image": [1, 2]}\n{"image": [1]}\n')
    assert "line 2" in refused(tmp_path, Dataset(uri="s3://b/data.jsonl")).message


def test_a_mapping_of_an_unknown_input_is_refused(tmp_path: Path) -> None:
    dataset = save(tmp_path, "npz", {"image": IMAGES}).model_copy(update={"inputs": {"imgae": "image"}})
    assert "'imgae', the model has image" in refused(tmp_path, dataset).message
