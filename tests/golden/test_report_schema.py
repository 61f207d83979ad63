"""docs/report.schema.json says what report.json holds: `UPDATE_GOLDEN=1 pytest tests/golden` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from tests.support.golden import assert_golden
from tests.support.reports import full_report

from modelpress.store.report import Report

FILE = Path(__file__).parents[2] / "docs" / "report.schema.json"


def test_the_schema_in_the_docs_is_that_of_the_type() -> None:
    schema = Report.model_json_schema(by_alias=True)
    assert_golden(FILE, json.dumps(schema, indent=1, ensure_ascii=False) + "\n")


def test_a_report_keeps_to_the_schema() -> None:
    jsonschema.validate(full_report().to_wire(), json.loads(FILE.read_text(encoding="utf-8")))
