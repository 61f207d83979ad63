"""The chart's copies of the resource definitions."""

from __future__ import annotations

import pytest
from charts.generate_crds import differences, template


def test_the_chart_holds_the_definitions_that_the_types_say() -> None:
    assert differences() == [], "run `make generate`"


def test_what_looks_like_a_template_in_a_description_is_none() -> None:
    definition = "kind: CustomResourceDefinition\nmetadata:\n  name: things.example.io\nspec:\n  note: 'a {{ b }}'\n"
    assert """note: 'a {{ "{{" }} b }}'""" in template(definition)


def test_a_definition_with_other_metadata_is_not_copied_wrongly() -> None:
    with pytest.raises(ValueError, match="metadata"):
        template("kind: CustomResourceDefinition\nmetadata:\n  labels: {}\n  name: things.example.io\nspec: {}\n")
