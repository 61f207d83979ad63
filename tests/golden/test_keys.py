"""The corpus of keys: what was hashed once keeps its hash for ever, or everything is made again on the next upgrade.

The corpus only grows. `python -m tests.golden.test_keys` adds the keys of new specs in tests/golden/keys; an entry that
has keys is never rewritten.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelpress.api import keys
from modelpress.api.spec import CompressedModelSpec

FOLDER = Path(__file__).parent / "keys"
SOURCE = "sha256:" + "a" * 64
DATASETS = {
    role: f"sha256:{letter * 64}"
    for role, letter in zip(("train", "validation", "calibration", "test", "teacher.large"), "bcdef", strict=True)
}


def artifact_keys(spec: CompressedModelSpec) -> str | list[str]:
    """Return the key of the artifact of the spec, or of a ladder that of each rung."""
    alone = [spec.model_copy(update={"compression": recipe}) for recipe in spec.compression.rungs()]
    found = [keys.artifact_key(one, SOURCE, DATASETS) for one in alone]
    return found[0] if spec.compression.ladder is None else found


KEYS: dict[str, Callable[[CompressedModelSpec], str | list[str]]] = {
    "artifact": artifact_keys,
    "revision": lambda spec: keys.revision_key("digits-0123456789", spec, runtime_image="triton:1"),
    "evaluation": lambda spec: keys.evaluation_key(spec, DATASETS),
    "gates": lambda spec: keys.gates_key(spec, DATASETS),
    "resolution": keys.resolution_key,
}
FILES = sorted(FOLDER.glob("*.yaml"))


def computed(document: dict[str, Any]) -> dict[str, str | list[str]]:
    """Return all keys of the spec in `document`."""
    spec = CompressedModelSpec.model_validate(document["spec"])
    return {name: compute(spec) for name, compute in KEYS.items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_spec_of_the_corpus_keeps_its_keys(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert computed(document) == document["keys"]


def test_specs_of_the_corpus_that_say_the_same_have_the_same_keys_and_others_do_not() -> None:
    documents = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
    for name, document in documents.items():
        twin = document.get("same-as")
        if twin:
            assert document["keys"] == documents[twin]["keys"], name
    several = [document for document in documents.values() if "same-as" not in document]
    distinct = [found for document in several if isinstance(found := document["keys"]["artifact"], str)]
    assert len(set(distinct)) == len(distinct) >= 5


def test_a_rung_has_the_key_of_the_same_recipe_written_as_stages() -> None:
    ladder, alone = (yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) for name in ("onnx-ladder", "onnx-groups"))
    assert ladder["spec"]["compression"]["ladder"][1]["stages"] == alone["spec"]["compression"]["stages"]
    assert ladder["keys"]["artifact"][1] == alone["keys"]["artifact"]
    assert len(set(ladder["keys"]["artifact"])) == 3


if __name__ == "__main__":
    for file in FILES:
        content = yaml.safe_load(file.read_text())
        if "keys" not in content:
            file.write_text(file.read_text() + yaml.safe_dump({"keys": computed(content)}, sort_keys=False))
