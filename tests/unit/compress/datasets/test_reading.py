"""A dataset is fitted to the model, or refused with what was expected and what was found."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from modelpress.api.data import Dataset, DatasetFormat
from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.compress.datasets import count_leaks, read, row_digests
from modelpress.compress.errors import Judged
from modelpress.compress.signature import Signature, calls, example

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


@pytest.mark.parametrize("file_format", ["npz", "parquet", "jsonl"])
def test_samples_of_one_group_are_told_by_text_or_numbers(tmp_path: Path, file_format: str) -> None:
    names = numpy.array(["one", "another document", "one", "one", "third"])
    for group in (names, numpy.array([7, 3, 7, 7, 9])):
        dataset = save(tmp_path, file_format, {"image": IMAGES.reshape(5, 4), "document": group})
        dataset = dataset.model_copy(update={"group": "document", "samples": 4})
        found = read(dataset, tmp_path, INPUTS, OUTPUTS, 0)
        rows = [int(image.flat[0]) // 4 for image in found.inputs["image"]]
        assert found.group is not None
        for first, second in itertools.combinations(range(4), 2):
            assert (found.group[first] == found.group[second]) == (group[rows[first]] == group[rows[second]])


def test_samples_of_no_group_are_not_taken_for_a_group(tmp_path: Path) -> None:
    group = numpy.array([1.0, 2.0, numpy.nan, 2.0, numpy.nan])
    dataset = save(tmp_path, "npz", {"image": IMAGES.reshape(5, 4), "document": group})
    refusal = refused(tmp_path, dataset.model_copy(update={"group": "document"}))
    assert "column 'document' holds NaN, first in sample 2: say which group" in refusal.message


def test_text_where_numbers_are_wanted_is_refused(tmp_path: Path) -> None:
    dataset = save(tmp_path, "jsonl", {"image": numpy.array(["a", "bc"])})
    assert "holds text, not numbers" in refused(tmp_path, dataset).message


@pytest.mark.parametrize("value", ["null", "[1, null]", '{"one": 1}'])
def test_a_line_without_a_value_is_named(tmp_path: Path, value: str) -> None:
    dataset = save(tmp_path, "jsonl", {"image": IMAGES})
    with next(tmp_path.glob("*.jsonl")).open("a") as file:
        file.write(f'{{"image": {value}}}\n')
    line = len(IMAGES) + 1
    assert f"column 'image' has no number and no text in line {line}: fill" in refused(tmp_path, dataset).message


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


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"])
def test_a_file_that_was_never_brought_along_is_told_from_a_damaged_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    error = refused(tmp_path, Dataset(uri="s3://b/data.npz"))
    assert error.reason is Reason.DATASET_INVALID
    assert ("`git lfs pull`" if content else "bring it again") in error.message


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


def graphs(count: int = 6) -> dict[str, list[Any]]:
    """Return graphs of 3 to 2 + count nodes and as many edges, as lists."""
    random = numpy.random.default_rng(0)
    sizes = range(3, 3 + count)
    return {
        "nodes": [random.random((size, 2)).astype(numpy.float32).tolist() for size in sizes],
        "edges": [random.integers(0, size, (2, size)).tolist() for size in sizes],
        "label": list(range(count)),
    }


GRAPH = (
    TensorSpec(name="nodes", dtype="float32", shape=("node", 2)),
    TensorSpec(name="edges", dtype="int64", shape=(2, "edge")),
)


def save_lists(folder: Path, file_format: str, columns: dict[str, list[Any]]) -> Dataset:
    path = folder / f"data.{file_format}"
    if file_format == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(columns), path)
    else:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Dataset(uri=f"s3://bucket/data.{file_format}")


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_samples_may_differ_in_size_where_there_is_no_batch(tmp_path: Path, file_format: str) -> None:
    columns = graphs()
    dataset = save_lists(tmp_path, file_format, columns)
    found = read(dataset, tmp_path, GRAPH, OUTPUTS, 0)
    for name, dtype in (("nodes", numpy.float32), ("edges", numpy.int64)):
        assert [sample.dtype for sample in found.inputs[name]] == [dtype] * 6
        for sample, wanted in zip(found.inputs[name], columns[name], strict=True):
            numpy.testing.assert_array_equal(sample, numpy.asarray(wanted, dtype))
    few = read(dataset.model_copy(update={"samples": 3}), tmp_path, GRAPH, OUTPUTS, 1)
    assert [len(nodes) - 3 for nodes in few.inputs["nodes"]] == few.targets["logits"].tolist()
    signature = Signature(GRAPH, OUTPUTS)
    sizes = [(call["nodes"].shape, call["edges"].shape) for call in calls(found.inputs, signature, 4)]
    assert sizes == [((size, 2), (2, size)) for size in range(3, 9)]
    assert example(signature, 2, 0, found.inputs)["nodes"].shape == (3, 2)


def test_graphs_that_are_in_both_sets_are_counted(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    columns = graphs()
    first = row_digests(save_lists(tmp_path, "parquet", columns), tmp_path)
    part = {name: values[2:5] for name, values in columns.items()}
    second = row_digests(save_lists(tmp_path / "other", "jsonl", part), tmp_path / "other")
    assert count_leaks(first, {"train": second}) == {"train": 3}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nodes": [[[1.0, 2.0]] * 3, [[1.0, 2.0, 3.0]] * 4]}, "sample 1: column 'nodes' has samples of shape [4, 3]"),
        ({"nodes": [[[1.0, 2.0], [1.0]], [[1.0, 2.0]]]}, "lists inside of one sample have different lengths"),
        ({"nodes": [[[1.0, 2.0]] * 3, [[1.0, float("nan")]] * 4]}, "holds NaN"),
        ({"label": [[1.0, 2.0], [float("inf")]]}, "sample 1: column 'label' holds NaN or infinity"),
    ],
)
def test_graphs_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    dataset = save_lists(tmp_path, "parquet", graphs(2) | change)
    assert says in refused(tmp_path, dataset, GRAPH).message


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_targets_of_nodes_differ_in_number_with_their_graph_and_in_no_batch(tmp_path: Path, file_format: str) -> None:
    dataset = save_lists(tmp_path, file_format, graphs(3) | {"label": [[0, 1, 2], [1, 1, 1, 1], [2, 2, 2, 2, 2]]})
    found = read(dataset, tmp_path, GRAPH, OUTPUTS, 0).targets["logits"]
    assert [one.tolist() for one in found] == [[0, 1, 2], [1, 1, 1, 1], [2, 2, 2, 2, 2]]
    assert {one.dtype.name for one in found} == {"int64"}
    batch = save_lists(tmp_path, file_format, {"image": [[1.0] * 4] * 2, "label": [[1, 2], [1]]})
    assert "column 'label' has lists of different lengths: pad them" in refused(tmp_path, batch).message


def test_axes_of_one_name_have_one_length_in_every_graph(tmp_path: Path) -> None:
    specs = (GRAPH[0], TensorSpec(name="degree", dtype="int64", shape=("node",)))
    columns = {"nodes": graphs(2)["nodes"], "degree": [[1, 1, 1], [1, 1, 1]]}
    error = refused(tmp_path, save_lists(tmp_path, "jsonl", columns), specs)
    assert "axis node has length 4 in sample 1 of nodes, 3 in degree" in error.message


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_samples_of_different_sizes_make_no_batch(tmp_path: Path, file_format: str) -> None:
    dataset = save_lists(tmp_path, file_format, {"image": [[1.0, 2.0], [3.0, 4.0], [1.0]]})
    error = refused(tmp_path, dataset)
    assert error.reason is Reason.DATASET_DOES_NOT_FIT
    assert "has shape [1] in sample 2 and [2] before, and the model takes batches: pad it" in error.message


def test_a_mapping_of_an_unknown_input_is_refused(tmp_path: Path) -> None:
    dataset = save(tmp_path, "npz", {"image": IMAGES}).model_copy(update={"inputs": {"imgae": "image"}})
    assert "'imgae', the model has image" in refused(tmp_path, dataset).message
