"""Identity: hashes that say whether something asked for is something that was already made.

A key is the SHA-256, in 64 hexadecimal digits, of canonical JSON: names sorted, no spaces, whole numbers without a
fraction, unset fields and fields that hold their default left out, and the hash version first. So writing a default
down, or the order of fields, changes no key; nor does a later default for a field that was always unset. What a key is
made of may never change under one VERSION: tests/golden/keys holds specs and their keys, and only ever grows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from .base import ApiType
from .data import Dataset
from .defaults import EFFECTIVE, INPUT_DTYPES, dataset_format, dependent_defaults
from .evaluation import Evaluation, targets_of_test
from .fields import ResourceRequirements
from .roles import all_datasets, learning_datasets
from .rollout import Rollout
from .serving import Serving
from .source import Source
from .spec import Artifacts, CompressedModelSpec
from .stages import Stage
from .teachers import teacher_role

VERSION = 1
"""Goes into every hash. A new version means that everything is made again."""


def artifact_key(spec: CompressedModelSpec, source_digest: str, datasets: Mapping[str, str]) -> str:
    """Return the key of everything that decides what compression makes of the source.

    `datasets` are digests by role, those of teachers too; `test` is not looked at. Not in the key: where things lie
    (URIs), which Secrets open them, what teachers are called, how the Job runs, and whether code is trusted, since none
    of them changes what comes out. The target is ONNX.
    What a search chooses by, metrics, latency and gates, is in the key of a search alone.
    Raises ValueError for a dataset whose format cannot be told, and for a ladder, each rung of which has a key; the API
    server refuses the former.
    """
    teachers = {
        name: {"digest": datasets.get(teacher_role(name))} | _source(source)
        for name, source in spec.compression.taught_by().items()
    }
    return _key(
        "artifact",
        {
            "source": {"digest": source_digest} | _source(spec.source),
            "stages": [_stage(stage, teachers) for stage in spec.compression.recipe],
            "search": _search(spec),
            "objective": _canonical(spec.compression.objective),
            "seed": spec.compression.seed or None,
            "data": {
                role: {"digest": datasets.get(role)} | _dataset(dataset)
                for role, dataset in learning_datasets(spec).items()
            },
        },
    )


def revision_key(artifact: str, spec: CompressedModelSpec, *, runtime_image: str) -> str:
    """Return the key of everything that decides how the ModelArtifact named `artifact` is served.

    In it: batching, resources, scheduling, service account, pull secrets, the Secret that pods read the store with, and
    the server's image. Not in it: replicas, autoscaling, gateway, gates, rollout.
    """
    serving = _canonical(spec.serving or Serving(), without=("replicas", "autoscaling", "gateway"))
    artifacts = spec.artifacts or Artifacts()
    return _key(
        "revision",
        {
            "artifact": artifact,
            "image": runtime_image,
            "serving": serving,
            "readSecret": artifacts.read_secret_name or artifacts.secret_name,
        },
    )


def evaluation_key(spec: CompressedModelSpec, datasets: Mapping[str, str]) -> str:
    """Return the key of what is measured and on what: figures with another key do not answer this spec.

    `datasets` are digests by role, of which `test` is looked at. Gates are not in the key: they judge what is there.
    """
    return _key("evaluation", _evaluation(spec, datasets))


def gates_key(spec: CompressedModelSpec, datasets: Mapping[str, str]) -> str:
    """Return the key of what a rejection is judged by: gates, what they are measured on, and `rollout.retryToken`.

    A rejection holds as long as this stays the same.
    """
    gates = (spec.evaluation or Evaluation()).gates or ()
    return _key(
        "gates",
        {
            "gates": [_canonical(gate) for gate in gates],
            "evaluation": _evaluation(spec, datasets),
            "retryToken": (spec.rollout or Rollout()).retry_token or None,
        },
    )


def resolution_key(spec: CompressedModelSpec) -> str:
    """Return the key of what is looked up: the URIs of source, datasets and teachers, and given digests."""
    teachers = {teacher_role(name): source for name, source in spec.compression.taught_by().items()}
    places: dict[str, Source | Dataset] = {"source": spec.source, **all_datasets(spec), **teachers}
    return _key(
        "resolution",
        {role: {"uri": place.uri, "digest": place.digest} for role, place in places.items()},
    )


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of `value`, which holds JSON types only. Raises ValueError for NaN and infinities."""
    plain = _plain(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _key(kind: str, content: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json({"version": VERSION, "kind": kind, **_without_gaps(content)})).hexdigest()


def _source(source: Source) -> dict[str, Any]:
    found = _canonical(source, without=("uri", "digest", "secret_name", "trust_code", "inputs"))
    tensors = [_canonical(tensor) for tensor in source.inputs or ()]
    for tensor in tensors:
        if "dtype" in tensor and tensor["dtype"] == INPUT_DTYPES.get(source.format):
            del tensor["dtype"]
    return _without_gaps({**found, "inputs": tensors})


def _search(spec: CompressedModelSpec) -> dict[str, Any] | None:
    """Return how a recipe is searched for, and by what it is chosen; None if it is given."""
    if spec.compression.auto is None:
        return None
    evaluation = spec.evaluation or Evaluation()
    targets = targets_of_test(evaluation)
    return {
        **({"targets": targets} if targets else {}),
        "auto": _canonical(spec.compression.auto),
        "metrics": [_canonical(metric) for metric in evaluation.metrics or ()],
        "latency": _canonical(evaluation.latency),
        "gates": [_canonical(gate) for gate in evaluation.gates or ()],
    }


def _stage(stage: Stage, teachers: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a stage; in the place of a teacher's name what it is."""
    found = _canonical(stage.settings)
    teacher = stage.distill.teacher if stage.distill is not None else None
    if teacher is not None and teacher.name is not None:
        found["teacher"] = {"source": teachers[teacher.name]}
    return {stage.kind: found}


def _dataset(dataset: Dataset) -> dict[str, Any]:
    """Return how a dataset is read; its format in full, as it may follow from a URI that is not in the key."""
    found = _canonical(dataset, without=("uri", "digest", "secret_name", "format"))
    return {**found, "format": dataset_format(dataset)}


def _evaluation(spec: CompressedModelSpec, datasets: Mapping[str, str]) -> dict[str, Any]:
    evaluation = spec.evaluation or Evaluation()
    test = evaluation.test
    return _without_gaps(
        {
            "metrics": [_canonical(metric) for metric in evaluation.metrics or ()],
            "latency": _canonical(evaluation.latency),
            "test": {"digest": datasets.get("test")} | _dataset(test) if test is not None else None,
        }
    )


def _canonical(value: Any, without: tuple[str, ...] = ()) -> Any:
    """Return the wire form of `value` without what is unset, holds its default, or is named in `without`."""
    if not isinstance(value, ApiType):
        return value
    if isinstance(value, ResourceRequirements):
        return _amounts(value)
    found = {}
    for name, field in type(value).model_fields.items():
        part = getattr(value, name)
        if part is None or name in without or (not field.is_required() and part == _default(value, name)):
            continue
        many = isinstance(part, tuple)
        found[field.alias or name] = [_canonical(item) for item in part] if many else _canonical(part)
    return _without_gaps(found)


def _amounts(value: ResourceRequirements) -> dict[str, Any]:
    """Return requests and limits with every amount as a string: 1 and "1" are the same."""
    both = {"requests": value.requests or {}, "limits": value.limits or {}}
    return _without_gaps({kind: {name: str(amount) for name, amount in part.items()} for kind, part in both.items()})


def _default(value: ApiType, name: str) -> Any:
    """Return what field `name` of `value` would be if it were unset."""
    effective = EFFECTIVE.get(type(value))
    if effective is None:
        return None
    fixed = effective.model_fields[name].get_default(call_default_factory=True)
    return dependent_defaults(value).get(name, fixed)


def _without_gaps(content: dict[str, Any]) -> dict[str, Any]:
    """Drop what is None or an empty collection: both mean the same as unset, in every field that may be unset."""
    return {name: part for name, part in content.items() if part is not None and part not in ({}, [], ())}


def _plain(value: Any) -> Any:
    """Return `value` as the API server would give it back: enumerations as strings, 3.0 as 3."""
    match value:
        case Enum():
            return value.value
        case Mapping():
            return {str(name): _plain(part) for name, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case _:
            return value
