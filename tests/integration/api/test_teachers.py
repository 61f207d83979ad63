"""Teachers of their own on a real API server: accepted where they are meant, refused with a sentence where not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.integration.api.specs import SPEC, model
from tests.support.apiserver import ApiServer

LARGE: dict[str, Any] = {"uri": "s3://models/large/", "format": "transformers", "task": "CausalLM"}
MODULE: dict[str, Any] = SPEC["source"]
STAGES = [{"distill": {"epochs": 1, "teacher": {"name": "large"}}}]


def refusal(server: ApiServer, spec: dict[str, Any] | None = None, **compression: Any) -> str:
    """Apply a model that learns from a teacher; return the message of the refusal, or nothing."""
    changed = SPEC["compression"] | {"teachers": {"large": LARGE}, "stages": STAGES} | compression
    changed = {name: part for name, part in changed.items() if part is not None}
    manifest = model("taught", {**SPEC, **(spec or {}), "compression": changed})
    done = server.kubectl("apply", "-f", "-", "--dry-run=server", stdin=json.dumps(manifest))
    return done.stderr if done.returncode else ""


def test_teachers_of_both_formats_in_stages_and_rungs_are_accepted(server: ApiServer) -> None:
    assert refusal(server) == ""
    assert refusal(server, teachers={"large": MODULE | {"secretName": "another"}}) == ""
    assert refusal(server, {"source": LARGE | {"uri": "s3://models/small/"}}) == ""
    rungs = [{"stages": [{"distill": {"epochs": 1, "teacher": {"name": name}}}]} for name in ("large", "tall-1")]
    assert refusal(server, stages=None, ladder=rungs, teachers={"large": LARGE, "tall-1": MODULE}) == ""


@pytest.mark.parametrize(
    ("compression", "words"),
    [
        ({"teachers": None}, "distill.teacher.name must be one of the names in compression.teachers"),
        ({"teachers": {"other": LARGE}}, "distill.teacher.name must be one of the names in compression.teachers"),
        ({"teachers": {"large": LARGE, "../up": LARGE}}, "names in compression.teachers are small letters"),
        ({"teachers": {"large": {"uri": "s3://m/x.onnx", "format": "onnx"}}}, "format torch or transformers"),
        ({"teachers": {"large": LARGE | {"assets": ["a"]}}}, "and no assets"),
        ({"teachers": {"large": MODULE | {"trustCode": False}}}, "set source.trustCode to true"),
        ({"teachers": {f"t{number}": LARGE for number in range(5)} | {"large": LARGE}}, "must have at most 4 items"),
        ({"stages": None, "auto": {"objective": "Size"}}, "leave teachers out"),
        (
            {"stages": [{"distill": {"epochs": 1, "teacher": {"name": "large", "weights": "w.safetensors"}}}]},
            "teacher.name stands alone",
        ),
        ({"stages": [{"distill": {"epochs": 1, "teacher": {}}}]}, "a teacher has learned something"),
        ({"stages": None, "ladder": [{"stages": STAGES}], "teachers": None}, "must be one of the names"),
    ],
)
def test_what_cannot_be_meant_is_refused(server: ApiServer, compression: dict[str, Any], words: str) -> None:
    assert words in refusal(server, **compression)
