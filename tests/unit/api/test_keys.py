"""What is in which key, and what is not. Exact values: tests/golden/test_keys.py."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelpress.api import keys
from modelpress.api.defaults import EFFECTIVE, with_defaults
from modelpress.api.spec import CompressedModelSpec

SOURCE = "sha256:" + "a" * 64
DATASETS = {role: f"sha256:{letter * 64}" for role, letter in zip(("train", "validation", "test"), "bcd", strict=True)}
BASE: dict[str, Any] = {
    "source": {
        "uri": "s3://models/digits/",
        "format": "torch",
        "entrypoint": "model:build",
        "trustCode": True,
        "kwargs": {"width": 32},
        "inputs": [{"name": "image", "shape": ["batch", 1, 8, 8]}],
        "outputs": [{"name": "logits"}],
    },
    "compression": {
        "data": {"train": {"uri": "s3://data/train.npz"}, "validation": {"uri": "s3://data/validation.npz"}},
        "objective": {"loss": "CrossEntropy"},
        "stages": [
            {"prune": {"structure": "Channel", "amount": {"channels": 0.5}}},
            {"finetune": {"epochs": 3}},
            {"quantize": {"preset": "INT8"}},
        ],
        "job": {"retries": 1},
    },
    "evaluation": {
        "test": {"uri": "s3://data/test.npz"},
        "metrics": [{"name": "top1", "type": "accuracy"}],
        "gates": [{"metric": "top1", "goal": "MaxDegradation", "value": 0.02}],
    },
    "serving": {"replicas": 1},
    "rollout": {"revisionHistoryLimit": 3},
}


def artifact(spec: CompressedModelSpec) -> str:
    return keys.artifact_key(spec, SOURCE, DATASETS)


def revision(spec: CompressedModelSpec) -> str:
    return keys.revision_key("digits-0123456789", spec, runtime_image="triton:1")


def evaluation(spec: CompressedModelSpec) -> str:
    return keys.evaluation_key(spec, DATASETS)


def gates(spec: CompressedModelSpec) -> str:
    return keys.gates_key(spec, DATASETS)


ALL: dict[str, Callable[[CompressedModelSpec], str]] = {
    "artifact": artifact,
    "revision": revision,
    "evaluation": evaluation,
    "gates": gates,
    "resolution": keys.resolution_key,
}


def spec(path: str = "", value: Any = None) -> CompressedModelSpec:
    """Return the base spec with `value` at `path`."""
    document = copy.deepcopy(BASE)
    if path:
        *above, last = path.split(".")
        parent: Any = document
        for step in above:
            parent = parent[int(step)] if isinstance(parent, list) else parent.setdefault(step, {})
        parent[int(last) if isinstance(parent, list) else last] = value
    return CompressedModelSpec.model_validate(document)


CHANGES = [
    ("source.kwargs", {"width": 64}, {"artifact"}),
    ("source.entrypoint", "model:other", {"artifact"}),
    ("source.inputs.0.shape", ["batch", 1, 16, 16], {"artifact"}),
    ("source.inputs.0.dtype", "float64", {"artifact"}),
    ("source.outputs.0.dtype", "float32", {"artifact"}),
    ("source.assets", ["labels.txt"], {"artifact"}),
    ("source.uri", "s3://elsewhere/digits/", {"resolution"}),
    ("source.digest", SOURCE, {"resolution"}),
    ("source.secretName", "another", set()),
    ("compression.data.train.uri", "s3://elsewhere/train.npz", {"resolution"}),
    ("compression.data.train.secretName", "another", set()),
    ("compression.data.train.inputs", {"image": "pixels"}, {"artifact"}),
    ("compression.data.train.samples", 100, {"artifact"}),
    ("compression.data.train.format", "parquet", {"artifact"}),
    ("compression.objective.loss", "MSE", {"artifact"}),
    ("compression.seed", 1, {"artifact"}),
    ("compression.stages.0.prune.amount.channels", 0.25, {"artifact"}),
    ("compression.stages.1.finetune.patience", 5, {"artifact"}),
    ("compression.stages.2", {"fuse": {}}, {"artifact"}),
    ("compression.job.timeout", "2h", set()),
    ("evaluation.test.uri", "s3://elsewhere/test.npz", {"resolution"}),
    ("evaluation.test.samples", 10, {"evaluation", "gates"}),
    ("evaluation.metrics.0.type", "f1", {"evaluation", "gates"}),
    ("evaluation.latency.threads", 2, {"evaluation", "gates"}),
    ("evaluation.gates.0.value", 0.03, {"gates"}),
    ("rollout.retryToken", "again", {"gates"}),
    ("rollout.revisionHistoryLimit", 9, set()),
    ("rollout.paused", True, set()),
    ("suspend", True, set()),
    ("update", {"interval": "5m"}, set()),
    ("artifacts.uri", "s3://elsewhere", set()),
    ("artifacts.readSecretName", "reader", {"revision"}),
    ("serving.replicas", 5, set()),
    ("serving.batching", {"maxBatchSize": 8}, {"revision"}),
    ("serving.resources", {"requests": {"cpu": "1"}}, {"revision"}),
    ("serving.nodeSelector", {"disk": "fast"}, {"revision"}),
    ("serving.tolerations", [{"key": "gpu"}], {"revision"}),
    ("serving.affinity", {"nodeAffinity": {}}, {"revision"}),
    ("serving.serviceAccountName", "reader", {"revision"}),
    ("serving.imagePullSecrets", ["registry"], {"revision"}),
]


@pytest.mark.parametrize(("path", "value", "expected"), CHANGES, ids=[change[0] for change in CHANGES])
def test_a_change_changes_exactly_these_keys(path: str, value: Any, expected: set[str]) -> None:
    before, after = spec(), spec(path, value)
    assert {name for name, key in ALL.items() if key(before) != key(after)} == expected


def test_digests_that_decide_are_in_the_key_and_others_are_not() -> None:
    before = artifact(spec())
    assert keys.artifact_key(spec(), "sha256:" + "f" * 64, DATASETS) != before
    assert keys.artifact_key(spec(), SOURCE, DATASETS | {"train": SOURCE}) != before
    assert keys.artifact_key(spec(), SOURCE, DATASETS | {"test": SOURCE}) == before
    assert keys.evaluation_key(spec(), DATASETS | {"test": SOURCE}) != evaluation(spec())
    assert keys.evaluation_key(spec(), DATASETS | {"train": SOURCE}) == evaluation(spec())


LARGE = {"uri": "s3://models/large/", "format": "transformers", "task": "CausalLM"}


def taught(name: str = "large", source: dict[str, Any] | None = None, **others: Any) -> CompressedModelSpec:
    """Return a spec whose one stage learns from a teacher of its own."""
    stages = [{"distill": {"epochs": 1, "alpha": 1, "teacher": {"name": name}}}]
    compression = {key: part for key, part in BASE["compression"].items() if key != "job"}
    teachers = {name: source or LARGE, **others}
    return spec("compression", compression | {"stages": stages, "teachers": teachers})


def test_a_teacher_is_in_the_key_by_what_it_is_and_not_by_its_name_or_place() -> None:
    def key(spec: CompressedModelSpec, digest: str = SOURCE) -> str:
        return keys.artifact_key(spec, SOURCE, DATASETS | dict.fromkeys(("teacher.large", "teacher.big"), digest))

    before = key(taught())
    assert key(taught(), "sha256:" + "f" * 64) != before
    assert key(taught(source=LARGE | {"task": "MaskedLM"})) != before
    assert key(taught(source=LARGE | {"uri": "s3://elsewhere/", "secretName": "another"})) == before
    assert key(taught("big")) == before
    assert key(taught(unused=LARGE)) == before
    assert keys.resolution_key(taught()) == keys.resolution_key(taught(unused=LARGE))
    assert keys.resolution_key(taught(source=LARGE | {"uri": "s3://elsewhere/"})) != keys.resolution_key(taught())
    assert keys.resolution_key(taught(source=LARGE | {"digest": SOURCE})) != keys.resolution_key(taught())


def test_a_rung_has_the_teachers_that_it_names() -> None:
    stages = [[{"distill": {"epochs": 1, "alpha": 1, "teacher": {"name": name}}}] for name in ("large", "huge")]
    rungs = [{"stages": one} for one in (*stages, [{"fuse": {}}])]
    data = BASE["compression"]["data"]
    ladder = spec("compression", {"data": data, "ladder": rungs, "teachers": {"large": LARGE, "huge": LARGE}})
    assert [sorted(rung.teachers or {}) for rung in ladder.compression.rungs()] == [["large"], ["huge"], []]
    assert list(ladder.compression.taught_by()) == ["huge", "large"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"teachers": {"../etc": LARGE}}, "names in compression.teachers are small letters"),
        ({"teachers": {"large": {"uri": "s3://m/x.onnx", "format": "onnx"}}}, "format torch or transformers"),
        ({"teachers": {"large": LARGE | {"assets": ["vocab.txt"]}}}, "no assets"),
        ({"teachers": {"larger": LARGE}}, "one of the names in compression.teachers: there is no large"),
        ({"teachers": None}, "one of the names in compression.teachers: there is no large"),
        ({"stages": None, "auto": {"objective": "Size"}}, "leave teachers out"),
    ],
)
def test_teachers_that_cannot_be_meant_are_refused_without_an_api_server_too(
    change: dict[str, Any], words: str
) -> None:
    compression = taught().to_wire()["compression"] | change
    with pytest.raises(ValueError, match=re.escape(words)):
        spec("compression", {key: part for key, part in compression.items() if part is not None})


def test_artifact_and_server_are_in_the_key_of_a_revision() -> None:
    assert keys.revision_key("digits-1", spec(), runtime_image="triton:1") != revision(spec())
    assert keys.revision_key("digits-0123456789", spec(), runtime_image="triton:2") != revision(spec())


def test_the_order_of_stages_matters_and_the_order_of_fields_does_not() -> None:
    turned = {name: BASE[name] for name in reversed(BASE)}
    assert artifact(CompressedModelSpec.model_validate(turned)) == artifact(spec())
    stages = BASE["compression"]["stages"]
    assert artifact(spec("compression.stages", [stages[1], stages[0], stages[2]])) != artifact(spec())


def test_an_integer_and_the_same_number_with_a_fraction_of_zero_are_one() -> None:
    """The API server gives 32.0 back as 32."""
    assert artifact(spec("source.kwargs", {"width": 32.0})) == artifact(spec())
    assert artifact(spec("source.kwargs", {"width": True})) != artifact(spec("source.kwargs", {"width": 1}))
    one, text = ({"requests": {"cpu": amount}} for amount in (1, "1"))
    assert revision(spec("serving.resources", one)) == revision(spec("serving.resources", text))


def test_a_part_without_content_is_the_same_as_no_part() -> None:
    for part in ("serving", "evaluation", "rollout"):
        document = {**BASE, part: {}}
        without = {name: content for name, content in BASE.items() if name != part}
        for name, key in ALL.items():
            filled, empty = (CompressedModelSpec.model_validate(item) for item in (document, without))
            assert key(filled) == key(empty), (part, name)


def _written_out(value: Any, chosen: Callable[[], bool]) -> Any:
    """Return `value` with some of its defaults written down."""
    if isinstance(value, tuple):
        return tuple(_written_out(item, chosen) for item in value)
    kind = type(value)
    if not hasattr(kind, "model_fields"):
        return value
    full = with_defaults(value) if kind in EFFECTIVE else value
    changes = {}
    for name in kind.model_fields:
        own, default = getattr(value, name), getattr(full, name)
        if own is not None:
            changes[name] = _written_out(own, chosen)
        elif default is not None and chosen():
            changes[name] = default
    document = kind.model_construct(**changes).model_dump(mode="json", exclude_none=True)
    return kind.model_validate(document)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_writing_defaults_down_changes_no_key(data: st.DataObject) -> None:
    explicit = _written_out(spec(), lambda: data.draw(st.booleans()))
    for name, key in ALL.items():
        assert key(explicit) == key(spec()), name


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_canonical_json_survives_being_written_and_read(value: Any) -> None:
    once = keys.canonical_json(value)
    assert keys.canonical_json(json.loads(once)) == once


def test_what_is_not_json_has_no_key() -> None:
    with pytest.raises(ValueError, match="JSON"):
        keys.canonical_json({"a": float("nan")})
