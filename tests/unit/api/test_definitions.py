"""The generated CRDs and pages: complete, within limits, and as the types say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import yaml
from pydantic import Field, ValidationError

from modelpress.api.base import ApiType
from modelpress.api.compression import Compression
from modelpress.api.crd.__main__ import main
from modelpress.api.crd.conditions_page import STATES
from modelpress.api.crd.definitions import DEFINITIONS, Definition, manifest, root_schema
from modelpress.api.crd.files import generated
from modelpress.api.crd.schema import structural, undescribed
from modelpress.api.defaults import with_defaults
from modelpress.api.evaluation import Evaluation, of_the_source
from modelpress.api.reason_texts import COURSE, JUDGEMENTS, OPERATOR, SURROUNDINGS, TEXTS
from modelpress.api.reasons import ENVIRONMENT, Reason

EACH = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)


def fields(schema: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return all fields below `schema`, with their paths."""
    found = []
    for name, field in schema.get("properties", {}).items():
        found += [(f"{path}.{name}", field), *fields(field, f"{path}.{name}")]
    for below in ("items", "additionalProperties"):
        if isinstance(schema.get(below), dict):
            found += fields(schema[below], f"{path}[]")
    return found


def required(schema: dict[str, Any], path: str = "") -> set[str]:
    """Return the paths of all required fields below `schema`."""
    found = {f"{path}.{name}" for name in schema.get("required", ())}
    for name, field in schema.get("properties", {}).items():
        found |= required(field, f"{path}.{name}")
    for below in ("items", "additionalProperties"):
        if isinstance(schema.get(below), dict):
            found |= required(schema[below], f"{path}[]")
    return found


@EACH
def test_every_field_is_described(definition: Definition) -> None:
    schema = root_schema(definition)
    del schema["properties"]["metadata"]
    assert undescribed(schema) == []
    assert schema["description"]


def test_every_field_that_may_be_left_out_says_what_that_means() -> None:
    """A part whose fields say it themselves, and a union that says which field is set, need not."""
    schema = root_schema(DEFINITIONS[0])["properties"]["spec"]
    needed = required(schema)
    silent = [
        path
        for path, field in fields(schema)
        if path not in needed
        and "efault" not in field["description"]
        and not field.get("properties")
        and not re.search(r"\.(amount|target|stages\[\])\.[a-zA-Z]+$", path)
        and not re.search(r"\.(requests|limits)$", path)
    ]
    assert silent == []


@EACH
def test_no_default_is_written_into_a_spec(definition: Definition) -> None:
    spec = root_schema(definition)["properties"]["spec"]
    assert not [path for path, field in fields(spec) if "default" in field]


@EACH
def test_kubectl_apply_can_keep_the_definition_in_its_annotation(definition: Definition) -> None:
    document = yaml.safe_load(generated()[f"crds/{definition.plural}.yaml"])
    assert len(json.dumps(document).encode()) < 200_000, "annotations may have 262,144 bytes together"


def test_names_columns_and_scale_are_as_kubectl_users_know_them() -> None:
    spec = manifest(DEFINITIONS[0])["spec"]
    assert spec["names"]["shortNames"] == ["cmodel"]
    assert "all" in spec["names"]["categories"]
    assert spec["versions"][0]["subresources"]["scale"]["specReplicasPath"] == ".spec.serving.replicas"


class _Choice(ApiType):
    """Something that Kubernetes cannot express."""

    field: Annotated[list[str] | int, Field(description="A list or a number.")]


def test_what_kubernetes_cannot_express_is_refused_when_the_definitions_are_made() -> None:
    with pytest.raises(ValueError, match=r"_Choice\.field is a choice of"):
        structural(_Choice)


def test_check_tells_a_stale_file_and_write_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(tmp_path)]
    assert main(["--write", *root]) == 0
    assert main(["--check", *root]) == 0
    (tmp_path / "docs/api.md").write_text("by hand")
    assert main(["--check", *root]) == 1
    assert "docs/api.md" in capsys.readouterr().err


def test_the_committed_files_are_as_generated() -> None:
    root = Path(__file__).resolve().parents[3]
    stale = [name for name, text in generated().items() if (root / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run `make generate`"


def test_every_reason_has_one_text() -> None:
    groups = (COURSE, JUDGEMENTS, SURROUNDINGS, OPERATOR)
    assert set(TEXTS) == set(Reason)
    assert sum(map(len, groups)) == len(Reason)
    assert set(SURROUNDINGS) >= ENVIRONMENT
    assert all(text.meaning.endswith(".") and text.remedy.endswith(".") for text in TEXTS.values())


def test_every_state_has_a_cell_for_each_condition() -> None:
    assert {len(cells) for _, _, cells in STATES} == {7}
    assert all(reason in set(Reason) for _, reason, _ in STATES if " " not in reason)


def test_the_ladder_of_the_documentation_is_one(repository: Path) -> None:
    block = (repository / "docs" / "gates.md").read_text().split("<!-- a ladder -->\n```yaml\n")[1].split("```")[0]
    compression = Compression.model_validate(yaml.safe_load(block)["compression"])
    assert [len(recipe.stages) for recipe in compression.rungs()] == [1, 1, 1]


def test_the_search_of_the_documentation_is_one(repository: Path) -> None:
    block = (repository / "docs" / "auto.md").read_text().split("<!-- a search -->\n```yaml\n")[1].split("```")[0]
    compression = Compression.model_validate(yaml.safe_load(block)["compression"])
    assert compression.auto is not None and compression.auto.objective == "Size"


def test_the_metric_of_the_documentation_is_one(repository: Path) -> None:
    text = (repository / "docs" / "gates.md").read_text()
    block = text.split("<!-- a metric of your own -->\n```yaml\n")[1].split("```")[0]
    evaluation = Evaluation.model_validate(yaml.safe_load(block)["evaluation"])
    (metric,) = of_the_source(evaluation.metrics)
    scope: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], scope)
    truth = {"logits": np.array([1, 1]), "price": np.array([4.0, 4.0])}
    scores = scope[metric.name]({"logits": np.eye(2)}, truth, **(metric.args or {}))
    assert scores.tolist() == [3.5, 0.0]


AUTO = {"objective": "Size"}


@pytest.mark.parametrize("given", [{}, {"stages": [], "ladder": [{"stages": []}]}, {"stages": [], "auto": AUTO}])
def test_a_recipe_is_written_in_one_way_alone(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one of stages, ladder, auto"):
        Compression.model_validate(given)


def test_a_search_is_one_recipe_that_has_yet_to_be_found() -> None:
    (recipe,) = Compression.model_validate({"auto": AUTO, "seed": 3}).rungs()
    assert (recipe.recipe, recipe.seed) == ((), 3)
    assert recipe.auto is not None and with_defaults(recipe.auto).max_trials == 12


@pytest.mark.parametrize(("time", "timeout"), [("1h", None), ("10m", "600s"), (None, "5m")])
def test_a_search_that_its_pod_has_no_time_for_is_refused(time: str | None, timeout: str | None) -> None:
    with pytest.raises(ValidationError, match=r"auto\.maxTime must be shorter"):
        Compression.model_validate({"auto": {**AUTO, "maxTime": time}, "job": {"timeout": timeout}})


def test_a_ladder_is_not_taken_for_a_recipe() -> None:
    ladder = Compression.model_validate({"ladder": [{"stages": []}]})
    with pytest.raises(ValueError, match="choose one of its rungs"):
        ladder.recipe  # noqa: B018
    assert ladder.rungs()[0].recipe == ()
