"""What is asked for on the command line, as the spec that a cluster would get.

A YAML file is a whole CompressedModel or its `spec` alone; a folder or an .onnx file with a preset needs none. Paths
stand where a cluster wants URLs: relative ones start at the YAML file's folder, or at the one the command is called in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelpress.api.data import Dataset, DatasetFormat
from modelpress.api.names import MODEL_NAME_LIMIT
from modelpress.api.roles import LEARNING_ROLES, all_datasets
from modelpress.api.spec import CompressedModelSpec
from modelpress.api.stages.quantize import QuantizePreset

from . import documents
from .asked_error import AskedError
from .checking import check
from .fields import instead
from .metrics import asked_metric
from .places import located, located_uri
from .recognizing import source_format, task_of

SHOWN = 3
"""Mistakes in a file that are told at once."""
WORDS = {
    "tuple_type": "Input should be a list",
    "model_type": "Input should be a mapping",
    "dict_type": "Input should be a mapping",
}
"""What is said of a mistake in place of the parser's own words, by its kind."""


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
        return all_datasets(self.spec)


def from_file(path: Path, data: Mapping[str, str], moved: Mapping[str, str]) -> Asked:
    """Return what the YAML file at `path` asks for. Raises AskedError.

    `data`: places of datasets by role, which take the place of those in the file. `moved`: for the beginning of a URI
    in the file, what it is on this machine.
    """
    document = documents.read(path)
    spec = document.get("spec", document)
    if not isinstance(spec, dict):
        raise AskedError(f"{path}: spec is not a mapping.")
    spec = located(spec, path.parent, moved)
    called = path.stem if path.stem != "model" else path.resolve().parent.name
    name = _name(documents.given_name(document) or called)
    return _fitting(Asked(name, _parsed(_with_data(spec, data), f"{path}: ")))


def from_model(
    path: Path, recipe: Mapping[str, Any], data: Mapping[str, str], metrics: tuple[str, ...], task: str | None = None
) -> Asked:
    """Return `recipe`, `with_preset` or `searched`, for the model in the folder or file `path`. Raises AskedError.

    `task`: what a transformer is used for; without it, what its config.json says.
    """
    spec: dict[str, Any] = {
        "source": {"uri": located_uri(str(path)), "format": source_format(path)},
        "compression": dict(recipe),
    }
    if spec["source"]["format"] == "transformers":
        spec["source"]["task"] = task or task_of(path)
    elif task:
        raise AskedError(f"--task is for transformers; {path} is of format {spec['source']['format']}.")
    if recipe == with_preset(QuantizePreset.INT8) and not {"calibration", "train"} & data.keys():
        raise AskedError(
            "--preset INT8 finds ranges of activations on data: name some with --calibration, or take INT8_DYNAMIC."
        )
    if metrics:
        spec["evaluation"] = {"metrics": [measured(text) for text in metrics]}
    name = path.stem if path.is_file() else path.resolve().name
    return _fitting(Asked(_name(name), _parsed(_with_data(spec, data), "")))


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


def _with_data(spec: dict[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    """Return `spec` with the datasets at other places; how columns are read stays as it was."""
    learning = {role: place for role, place in data.items() if role in LEARNING_ROLES}
    if learning:
        compression = dict(spec.get("compression") or {})
        given = dict(compression.get("data") or {})
        compression["data"] = given | {role: _elsewhere(given.get(role), place) for role, place in learning.items()}
        spec = spec | {"compression": compression}
    if "test" in data:
        evaluation = dict(spec.get("evaluation") or {})
        evaluation["test"] = _elsewhere(evaluation.get("test"), data["test"])
        spec = spec | {"evaluation": evaluation}
    return spec


def _elsewhere(given: Any, place: str) -> Any:
    """Return a dataset at another place: the digest was that of the file before, and so was the format, if the ending
    of the new one tells it."""
    if given is not None and not isinstance(given, dict):
        return given  # the parser says what is wrong with it
    told = Path(place).suffix.lower().removeprefix(".") in set(DatasetFormat)
    kept = {key: value for key, value in (given or {}).items() if key != "digest" and not (told and key == "format")}
    return kept | {"uri": located_uri(place)}


def _parsed(spec: dict[str, Any], where: str) -> CompressedModelSpec:
    try:
        return CompressedModelSpec.model_validate(spec)
    except ValidationError as error:
        raise AskedError(f"{where}the spec is not valid: {mistakes(error)}.") from error


def mistakes(error: ValidationError) -> str:
    """Return which fields are wrong, and how, for the end of a sentence."""
    found = [f"{'.'.join(map(str, item['loc']))}: {_mistake(item)}" for item in error.errors()]
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{'; '.join(found[:SHOWN])}{more}"


def _mistake(item: Mapping[str, Any]) -> str:
    """Return what is wrong with one field, in words."""
    if item["type"] == "extra_forbidden":
        return f"there is no such field; {instead(CompressedModelSpec, item['loc'])}"
    if item["type"] == "string_type" and isinstance(item["input"], bool):
        return "YAML takes on, off, yes and no for true and false: put the word in quotes"
    return str(WORDS.get(item["type"], item["msg"]))


def _fitting(asked: Asked) -> Asked:
    """Return `asked` if its parts fit each other. Raises AskedError."""
    check(asked.spec, asked.datasets())
    return asked


def _name(text: str) -> str:
    """Return `text` as a model may be called."""
    name = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:MODEL_NAME_LIMIT].rstrip("-")
    return name if re.match("[a-z]", name) else f"model-{name}".rstrip("-")
