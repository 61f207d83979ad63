"""What is asked for on the command line, as the spec that a cluster would get.

A YAML file is a whole CompressedModel or its `spec` alone; a folder or an .onnx file with a preset needs none. Paths
stand where a cluster wants URLs: relative ones start at the YAML file's folder, or at the one the command is called in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from modelpress.api.base import API_VERSION
from modelpress.api.data import CompressionData, Dataset
from modelpress.api.defaults import dataset_format, with_defaults
from modelpress.api.evaluation import (
    LATENCY_METRIC,
    NOT_NEGATIVE,
    NOT_SERVED,
    SIZE_METRIC,
    Evaluation,
    Goal,
    MeasuredOn,
    of_the_source,
)
from modelpress.api.names import MODEL_NAME_LIMIT
from modelpress.api.source import SourceFormat
from modelpress.api.spec import METRIC_WITHOUT_FOLDER, UNTRUSTED_METRIC, CompressedModelSpec
from modelpress.api.stages.quantize import QuantizePreset

from .metrics import asked_metric

SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://")
KNOWN = "an .onnx or .pt2 file, or config.json and model.safetensors of a transformer"
PICKLES = frozenset({".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt"})
TASKS = {
    "ForSequenceClassification": "TextClassification",
    "ForTokenClassification": "TokenClassification",
    "ForMaskedLM": "MaskedLM",
    "ForCausalLM": "CausalLM",
    "LMHeadModel": "CausalLM",
}
"""What a transformer with such a class is used for."""
SHOWN = 3
"""Mistakes in a file that are told at once."""
WORDS = {
    "extra_forbidden": "there is no such field",
    "tuple_type": "Input should be a list",
    "model_type": "Input should be a mapping",
    "dict_type": "Input should be a mapping",
}
"""What is said of a mistake in place of the parser's own words, by its kind."""
LEARNING = ("train", "validation", "calibration")


class AskedError(ValueError):
    """What was asked for cannot be meant; the message says where and what to do. Exit code 2."""


@dataclass(frozen=True)
class Asked:
    """One compression."""

    name: str
    """Name of the model, for sentences and the manifest."""
    spec: CompressedModelSpec
    """As a cluster would get it; every URI has a scheme."""

    def rungs(self) -> tuple[Asked, ...]:
        """Return each recipe alone, in the order in which they are tried; of `stages` there is one."""
        recipes = self.spec.compression.rungs()
        return tuple(Asked(self.name, self.spec.model_copy(update={"compression": recipe})) for recipe in recipes)

    def datasets(self) -> dict[str, Dataset]:
        """Return the datasets by role, `test` included."""
        data = self.spec.compression.data or CompressionData()
        found = {role: dataset for role in LEARNING if (dataset := getattr(data, role)) is not None}
        test = (self.spec.evaluation or Evaluation()).test
        return found | ({"test": test} if test is not None else {})


def from_file(path: Path, data: Mapping[str, str], moved: Mapping[str, str]) -> Asked:
    """Return what the YAML file at `path` asks for. Raises AskedError.

    `data`: places of datasets by role, which take the place of those in the file. `moved`: for the beginning of a URI
    in the file, what it is on this machine.
    """
    document = _document(path)
    spec = document.get("spec", document)
    if not isinstance(spec, dict):
        raise AskedError(f"{path}: spec is not a mapping.")
    spec = _located(spec, path.parent, moved)
    called = path.stem if path.stem != "model" else path.resolve().parent.name
    name = _name(_given_name(document) or called)
    return _checked(Asked(name, _parsed(_with_data(spec, data), f"{path}: ")))


def from_model(
    path: Path, recipe: Mapping[str, Any], data: Mapping[str, str], metrics: tuple[str, ...], task: str | None = None
) -> Asked:
    """Return `recipe`, `with_preset` or `searched`, for the model in the folder or file `path`. Raises AskedError.

    `task`: what a transformer is used for; without it, what its config.json says.
    """
    spec: dict[str, Any] = {
        "source": {"uri": located_uri(str(path)), "format": _format(path)},
        "compression": dict(recipe),
    }
    if spec["source"]["format"] == "transformers":
        spec["source"]["task"] = task or _task(path)
    elif task:
        raise AskedError(f"--task is for transformers; {path} is of format {spec['source']['format']}.")
    if recipe == with_preset(QuantizePreset.INT8) and not {"calibration", "train"} & data.keys():
        raise AskedError(
            "--preset INT8 finds ranges of activations on data: name some with --calibration, or take INT8_DYNAMIC."
        )
    if metrics:
        spec["evaluation"] = {"metrics": [measured(text) for text in metrics]}
    name = path.stem if path.is_file() else path.resolve().name
    return _checked(Asked(_name(name), _parsed(_with_data(spec, data), "")))


def measured(metric: str) -> dict[str, Any]:
    """Return a metric of the command line. Raises AskedError."""
    try:
        return asked_metric(metric)
    except ValueError as error:
        raise AskedError(f"{error}.") from error


def with_preset(preset: str) -> dict[str, Any]:
    """Return the recipe of one stage that quantizes by `preset`."""
    return {"stages": [{"quantize": {"preset": preset}}]}


def searched(objective: str) -> dict[str, Any]:
    """Return the search for a recipe that makes `objective` small."""
    return {"auto": {"objective": objective}}


def located_uri(place: str) -> str:
    """Return a path or URL of the command line as a URL."""
    return _located_uri(place, Path(), {})


class _Loader(yaml.SafeLoader):
    """Refuses a mapping in which a key stands twice: one of the two would be lost without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping. Raises yaml.YAMLError."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1 and key != "<<"), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice} stands twice in a mapping", node.start_mark)
        return super().construct_mapping(node, deep)


def _given_name(document: dict[str, Any]) -> str:
    """Return the name in a document's metadata, nothing if there is none."""
    metadata = document.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""


def _document(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise AskedError(f"{path} is {'a folder: name the file in it' if path.is_dir() else 'not there'}.")
    try:
        text = path.read_text(encoding="utf-8")
        found = [item for item in yaml.load_all(text, _Loader) if item is not None]  # a SafeLoader
    except UnicodeDecodeError as error:
        raise AskedError(f"{path} is not in UTF-8 (byte {error.start}): save it so.") from error
    except OSError as error:
        raise AskedError(f"{path} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise AskedError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    models = [item for item in found if isinstance(item, dict) and item.get("kind") == "CompressedModel"]
    if len(models) > 1:
        names = ", ".join(map(_given_name, models))
        raise AskedError(f"{path} holds several models ({names}): put the one to compress into a file of its own.")
    chosen = models or found
    if len(chosen) != 1 or not isinstance(chosen[0], dict):
        raise AskedError(f"{path} holds no CompressedModel and no spec: docs/local.md shows both.")
    document = chosen[0]
    if "kind" in document and document["kind"] != "CompressedModel":
        raise AskedError(f"{path} holds a {document['kind']}, not a CompressedModel.")
    if document.get("apiVersion", API_VERSION) != API_VERSION:
        raise AskedError(f"{path} has apiVersion {document['apiVersion']}; this modelpress knows {API_VERSION}.")
    return document


def _located(value: Any, folder: Path, moved: Mapping[str, str]) -> Any:
    """Return `value` with every `uri` in it as a URL of this machine."""
    if isinstance(value, dict):
        return {
            key: _located_uri(part, folder, moved)
            if key == "uri" and isinstance(part, str)
            else _located(part, folder, moved)
            for key, part in value.items()
        }
    return [_located(part, folder, moved) for part in value] if isinstance(value, list) else value


def _located_uri(uri: str, folder: Path, moved: Mapping[str, str]) -> str:
    for start, here in moved.items():
        if uri.startswith(start):
            rest = uri.removeprefix(start)
            joined = here if not rest else f"{here.rstrip('/')}/{rest.lstrip('/')}"
            return located_uri(joined)
    if SCHEME.match(uri):
        return uri
    return f"file://{(folder / Path(uri).expanduser()).resolve()}"


def _with_data(spec: dict[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    """Return `spec` with the datasets at other places; how they are read stays as it was."""
    learning = {role: {"uri": located_uri(place)} for role, place in data.items() if role in LEARNING}
    if learning:
        compression = dict(spec.get("compression") or {})
        given = dict(compression.get("data") or {})
        compression["data"] = given | {role: (given.get(role) or {}) | place for role, place in learning.items()}
        spec = spec | {"compression": compression}
    if "test" in data:
        evaluation = dict(spec.get("evaluation") or {})
        evaluation["test"] = (evaluation.get("test") or {}) | {"uri": located_uri(data["test"])}
        spec = spec | {"evaluation": evaluation}
    return spec


def _parsed(spec: dict[str, Any], where: str) -> CompressedModelSpec:
    try:
        return CompressedModelSpec.model_validate(spec)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, item['loc']))}: {_mistake(item)}" for item in error.errors()]
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise AskedError(f"{where}the spec is not valid: {'; '.join(found[:SHOWN])}{more}.") from error


def _mistake(item: Mapping[str, Any]) -> str:
    """Return what is wrong with one field, in words."""
    if item["type"] == "string_type" and isinstance(item["input"], bool):
        return "YAML takes on, off, yes and no for true and false: put the word in quotes"
    return str(WORDS.get(item["type"], item["msg"]))


def _checked(asked: Asked) -> Asked:
    """Return `asked` if its parts fit each other, as far as an API server would have looked. Raises AskedError."""
    evaluation = asked.spec.evaluation or Evaluation()
    names = [metric.name for metric in evaluation.metrics or ()]
    theirs = of_the_source(evaluation.metrics)
    if theirs and not asked.spec.source.trust_code:
        raise AskedError(f"evaluation.metrics, {theirs[0].name}: {UNTRUSTED_METRIC}.")
    if theirs and asked.spec.source.uri.endswith((".onnx", ".pt2")):
        raise AskedError(f"evaluation.metrics, {theirs[0].name}: {METRIC_WITHOUT_FOLDER}.")
    if names and evaluation.test is None:
        raise AskedError("evaluation.metrics need evaluation.test, the data they are measured on: name it with --test.")
    taken = sorted({SIZE_METRIC, LATENCY_METRIC} & set(names))
    if taken:
        raise AskedError(f"evaluation.metrics: the name {taken[0]} is taken, it is always measured: choose another.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise AskedError(f"evaluation.metrics has {twice[0]} twice: give each a name of its own.")
    for gate in evaluation.gates or ():
        measured = with_defaults(gate).measured_on
        if measured is MeasuredOn.SERVING_RUNTIME and gate.metric in {metric.name for metric in theirs}:
            raise AskedError(f"evaluation.gates, {gate.metric}: {NOT_SERVED}.")
        if gate.metric not in {SIZE_METRIC, LATENCY_METRIC, *names}:
            known = ", ".join([SIZE_METRIC, LATENCY_METRIC, *names])
            raise AskedError(f"evaluation.gates: no metric is called {gate.metric}; there are {known}.")
        if gate.goal is not Goal.THRESHOLD and gate.value < 0:
            raise AskedError(f"evaluation.gates, {gate.metric}: {NOT_NEGATIVE}.")
    _check_outputs(asked, evaluation)
    for role, dataset in asked.datasets().items():
        try:
            dataset_format(dataset)
        except ValueError as error:
            raise AskedError(f"{role} data: {error}.") from error
    return asked


def _check_outputs(asked: Asked, evaluation: Evaluation) -> None:
    """Raise AskedError if a metric is of an output that the source has not: the judge would say so at the very end."""
    outputs = [output.name for output in asked.spec.source.outputs or ()]
    for metric in evaluation.metrics or ():
        if outputs and metric.output is not None and metric.output not in outputs:
            raise AskedError(
                f"evaluation.metrics, {metric.name}: output is {metric.output}, the model has the outputs "
                f"{', '.join(outputs)}."
            )


def _format(path: Path) -> str:
    """Return the format of the model at `path`, by its files. Raises AskedError."""
    known = set(map(str, SourceFormat))
    if not path.exists():
        raise AskedError(f"{path} is not there.")
    names = [path.name] if path.is_file() else sorted(item.name for item in path.iterdir())
    if any(name.endswith(".onnx") for name in names):
        return "onnx"
    if "torch-export" in known and any(name.endswith(".pt2") for name in names):
        return "torch-export"
    if "transformers" in known and "config.json" in names:
        return "transformers"
    pickles = [name for name in names if Path(name).suffix in PICKLES]
    if pickles:
        raise AskedError(
            f"{pickles[0]} is a pickle, which runs code when it is read: save the weights with "
            "safetensors.torch.save_file, and say in a YAML file how the module is built."
        )
    if any(name.endswith(".safetensors") for name in names):
        raise AskedError(
            f"{path} holds weights without their module: a YAML file must say how it is built "
            "(source.format torch, entrypoint, inputs, outputs); see docs/local.md."
        )
    raise AskedError(f"{path} {'is' if path.is_file() else 'holds'} no model that is known here: {KNOWN}.")


def _task(path: Path) -> str:
    """Return what a transformer is used for, by its class: the head that its weights are of."""
    if (path / "modules.json").is_file():  # as sentence-transformers lays it out
        return "SentenceEmbedding"
    try:
        found = json.loads((path / "config.json").read_text(encoding="utf-8"))
        classes = " ".join(map(str, found.get("architectures") or ()))
    except (OSError, ValueError, AttributeError) as error:
        raise AskedError(f"{path}/config.json cannot be read: {error}.") from error
    return next((task for end, task in TASKS.items() if end in classes), "FeatureExtraction")


def _name(text: str) -> str:
    """Return `text` as a model may be called."""
    name = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:MODEL_NAME_LIMIT].rstrip("-")
    return name if re.match("[a-z]", name) else f"model-{name}".rstrip("-")
