"""What is asked for: YAML files, folders, presets, and every way of getting them wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelpress.local.asked_error import AskedError
from modelpress.local.asking import from_file, from_model, with_preset

SPEC: dict[str, Any] = {
    "source": {"uri": "source/", "format": "onnx"},
    "compression": {
        "data": {"calibration": {"uri": "s3://data/calibration.npz", "inputs": {"x": "picture"}}},
        "stages": [{"quantize": {"preset": "INT8"}}],
    },
    "evaluation": {"test": {"uri": "../test.npz"}, "metrics": [{"name": "top1", "type": "accuracy"}]},
}


def own(**changes: Any) -> dict[str, Any]:
    """Return an evaluation by a function of the source."""
    metric = {"name": "cost", "type": "entrypoint", "entrypoint": "metrics:cost", "higherIsBetter": False}
    return {"test": {"uri": "test.npz"}, "metrics": [metric | changes]}


OWN = own()


def written(folder: Path, *documents: Any) -> Path:
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return path


def whole(name: str = "digits", **changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "modelpress.io/v1alpha1",
        "kind": "CompressedModel",
        "metadata": {"name": name},
        "spec": SPEC | changes,
    }


@pytest.mark.parametrize("document", [SPEC, {"spec": SPEC}, whole("model")])
def test_a_spec_alone_means_the_same_as_a_whole_model(tmp_path: Path, document: dict[str, Any]) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    asked = from_file(written(folder, document), {}, {})
    assert asked.name == "model"
    assert asked.spec.source.uri == f"file://{folder}/source"
    assert asked.datasets()["test"].uri == f"file://{tmp_path}/test.npz"
    assert asked.datasets()["calibration"].uri == "s3://data/calibration.npz"


def test_uris_of_a_cluster_can_lie_elsewhere_here(tmp_path: Path) -> None:
    asked = from_file(written(tmp_path, whole()), {}, {"s3://data/": str(tmp_path / "data")})
    assert asked.datasets()["calibration"].uri == f"file://{tmp_path}/data/calibration.npz"


def test_data_of_the_command_line_keeps_how_the_file_reads_it(tmp_path: Path) -> None:
    asked = from_file(written(tmp_path, whole()), {"calibration": str(tmp_path / "other.npz")}, {})
    found = asked.datasets()["calibration"]
    assert (found.uri, found.inputs) == (f"file://{tmp_path}/other.npz", {"x": "picture"})


@pytest.mark.parametrize(("place", "kept"), [("other.npz", None), ("other", "parquet")])
def test_data_of_the_command_line_is_not_what_the_digest_was_of(tmp_path: Path, place: str, kept: str | None) -> None:
    test = {"uri": "test.bin", "digest": f"sha256:{'0' * 64}", "format": "parquet", "targets": {"y": "truth"}}
    spec = whole(evaluation={"test": test}) | {}
    spec["spec"]["compression"] = {"stages": [{"quantize": {"preset": "INT8_DYNAMIC"}}], "data": {"train": test}}
    given = {"test": str(tmp_path / place), "train": str(tmp_path / place)}
    for found in from_file(written(tmp_path, spec), given, {}).datasets().values():
        assert found.uri == f"file://{tmp_path}/{place}"
        assert (found.digest, found.format, found.targets) == (None, kept, {"y": "truth"})


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (whole(source={"uri": "x", "format": "onxx"}), "source.format"),
        (
            whole(evaluation={"metrics": [{"name": False, "type": "mse"}]}),
            "metrics.0.name: YAML takes on, off, .*quotes",
        ),
        (whole(evaluation={"metrics": SPEC["evaluation"]["metrics"]}), "evaluation.test"),
        (
            whole(evaluation={"gates": [{"metric": "top5", "goal": "Threshold", "value": 1}]}),
            "no metric is called top5",
        ),
        (
            whole(evaluation={"gates": [{"metric": "size", "goal": "MaxDegradation", "value": -1}]}),
            "gates, size: value must not be negative",
        ),
        (
            whole(
                source=SPEC["source"] | {"outputs": [{"name": "kind"}, {"name": "amount"}]},
                evaluation=SPEC["evaluation"] | {"metrics": [{"name": "mse", "type": "mse", "output": "sum"}]},
            ),
            "metrics, mse: output is sum, the model has the outputs kind, amount",
        ),
        (whole(compression={"stages": {"fuse": {}}}), "compression.stages: Input should be a list"),
        (whole(compression={"stages": ["fuse"]}), "compression.stages.0: Input should be a mapping"),
        (whole(evaluation={"test": {"uri": "test.bin"}}), "test data: the ending"),
        (whole(evaluation=OWN), "metrics, cost: .*set source.trustCode to true"),
        (whole(source={"uri": "a/model.onnx", "format": "onnx", "trustCode": True}, evaluation=OWN), "into one folder"),
        (
            whole(
                source={"uri": "a", "format": "onnx", "trustCode": True},
                evaluation=OWN
                | {"gates": [{"metric": "cost", "goal": "Threshold", "value": 1, "measuredOn": "ServingRuntime"}]},
            ),
            "gates, cost: .*use measuredOn: Compression",
        ),
        (whole(evaluation=own(entrypoint=None)), "metrics.0: .*type entrypoint needs metrics.*entrypoint"),
        (whole(evaluation=own(type="accuracy")), "metrics.0: .*no other type takes one"),
        (whole(evaluation=own(higherIsBetter=None)), "metrics.0: .*needs higherIsBetter"),
        (whole() | {"apiVersion": "modelpress.io/v9"}, "modelpress.io/v9"),
        ({"kind": "Pod"}, "holds a Pod"),
        ({"spec": [1]}, "spec is not a mapping"),
        (["a"], "no CompressedModel"),
        (3, "no CompressedModel and no spec"),
        (
            whole() | {"metadata": ["digits"], "spec": SPEC | {"sauce": 1}},
            "sauce: there is no such field; source is one",
        ),
        (
            whole() | {"spec": SPEC | {"evaluation": {"metrics": [{"name": "right", "type": "f1", "arguments": {}}]}}},
            "evaluation.metrics.0.arguments: there is no such field; there are args, entrypoint, higherIsBetter, name",
        ),
        (
            whole() | {"spec": SPEC | {"compression": {"stages": [{"prune": {"amount": {"chanels": 0.5}}}]}}},
            "amount.chanels: there is no such field; channels is one",
        ),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, document: Any, words: str) -> None:
    with pytest.raises(AskedError, match=words):
        from_file(written(tmp_path, document), {}, {})


def test_one_file_with_two_models_is_refused_by_their_names(tmp_path: Path) -> None:
    with pytest.raises(AskedError, match="digits, letters"):
        from_file(written(tmp_path, whole(), whole("letters")), {}, {})


def test_text_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("spec: [")
    with pytest.raises(AskedError, match="is no YAML"):
        from_file(tmp_path / "model.yaml", {}, {})


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        "source: {uri: a, format: onnx}\ncompression: {stages: []}\nsource: {uri: b}\n"
    )
    with pytest.raises(AskedError, match=r"source stands twice in a mapping.*line 1"):
        from_file(tmp_path / "model.yaml", {}, {})


def test_what_is_no_file_or_no_utf_8_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "model.yaml").write_text("source: {}", encoding="utf-16")
    for name, words in (("folder.yaml", "is a folder: name the file in it"), ("model.yaml", "not in UTF-8")):
        with pytest.raises(AskedError, match=words):
            from_file(tmp_path / name, {}, {})


def test_a_folder_with_a_graph_and_a_preset_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "My Model_2"
    folder.mkdir()
    (folder / "model.onnx").touch()
    asked = from_model(folder, with_preset("INT8_DYNAMIC"), {"test": str(tmp_path / "t.npz")}, ("accuracy",))
    assert asked.name == "my-model-2"
    assert asked.spec.source.format == "onnx"
    assert [stage.kind for stage in asked.spec.compression.stages] == ["quantize"]
    assert asked.spec.evaluation is not None
    assert [metric.name for metric in asked.spec.evaluation.metrics or ()] == ["accuracy"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["pytorch_model.bin"], "pytorch_model.bin is a pickle"),
        (["weights.safetensors", "model.py"], "a YAML file must say how it is built"),
        (["readme.txt"], "holds no model"),
    ],
)
def test_a_folder_that_is_not_enough_says_what_is_missing(tmp_path: Path, names: list[str], words: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(AskedError, match=words):
        from_model(tmp_path, with_preset("INT8_DYNAMIC"), {}, ())


def test_a_preset_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(AskedError, match="INT8_DYNAMIC"):
        from_model(tmp_path, with_preset("INT3"), {}, ())


def test_a_preset_that_needs_data_says_so_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(AskedError, match=r"--preset INT8 .*name some with --calibration"):
        from_model(tmp_path, with_preset("INT8"), {"test": "t.npz"}, ())
    for role in ("calibration", "train"):
        assert from_model(tmp_path, with_preset("INT8"), {role: "t.npz"}, ()).datasets().keys() == {role}
