from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelpress.agent.verification import difference, requests, warm_up
from modelpress.store import reference
from modelpress.store.manifest import ONNX, Manifest, Tensor
from modelpress.store.reference import Reference


def manifest_of(*, batched: bool) -> Manifest:
    return Manifest(
        artifact="a",
        files=(),
        variants={ONNX: ONNX},
        batched=batched,
        inputs=(Tensor(name="x", dtype="float32", shape=(-1, 2)), Tensor(name="gain", dtype="float32", shape=(-1,))),
        outputs=(Tensor(name="y", dtype="float32", shape=(-1,)),),
    )


KNOWN = Reference(
    {"x": np.arange(6, dtype=np.float32).reshape(3, 2), "gain": np.ones(3, dtype=np.float32)},
    {"y": np.array([1.0, 2.0, 300.0], dtype=np.float32)},
    relative_tolerance=0.01,
    absolute_tolerance=0.05,
)


def test_samples_are_asked_one_by_one_in_the_form_in_which_they_travel() -> None:
    asked = list(requests(KNOWN, manifest_of(batched=True), 2))
    assert [arrays["x"].tolist() for arrays in asked] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    assert {arrays["gain"].shape for arrays in asked} == {(1, 1)}


def test_a_model_without_a_batch_axis_is_asked_once() -> None:
    (asked,) = requests(KNOWN, manifest_of(batched=False), 0)
    assert asked["x"].shape == (3, 2)


def test_warm_up_asks_one_sample_and_then_as_many_as_triton_takes() -> None:
    assert [len(arrays["x"]) for arrays in warm_up(KNOWN, manifest_of(batched=True), 2)] == [1, 2]


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([1.04, 2.0, 300.0], None),
        ([1.0, 2.0, 302.9], None),
        ([1.0, 2.2, 300.0], r"output 'y' differs in 1 of 3 values, first at \[1\]: 2.2.*, expected 2.0"),
        ([1.0, 2.0, float("nan")], r"first at \[2\]: nan"),
    ],
)
def test_answers_may_be_off_by_the_tolerance_and_no_more(answers: list[float], found: str | None) -> None:
    given = [{"y": np.array([[answer]], dtype=np.float32)} for answer in answers]
    said = difference(KNOWN, given)
    if found is None:
        assert said is None
    else:
        assert said is not None
        with pytest.raises(AssertionError, match=found):
            raise AssertionError(said)


def test_an_answer_of_another_shape_is_named() -> None:
    assert "shape" in str(difference(KNOWN, [{"y": np.zeros((2, 3), dtype=np.float32)}]))


def test_a_reference_survives_its_file_and_nothing_pickled_is_read(tmp_path: Path) -> None:
    words = Reference({"x": np.array(["ä", "bc"])}, {"y": np.array([True, False])}, 0.5, 0.25)
    reference.write(words, tmp_path / "reference.npz")
    found = reference.read(tmp_path / "reference.npz")
    assert found.inputs["x"].tolist() == ["ä", "bc"] and found.outputs["y"].tolist() == [True, False]
    assert (found.relative_tolerance, found.absolute_tolerance) == (0.5, 0.25)
    np.savez(tmp_path / "pickled.npz", **{"input:x": np.array([{}], dtype=object)})
    with pytest.raises(ValueError):
        reference.read(tmp_path / "pickled.npz")
