"""Files of the source that are carried into the artifact: tokenizers, labels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelpress.api.reasons import Reason

from .errors import Judged


def carry(patterns: Sequence[str], folder: Path, target: Path) -> list[str]:
    """Copy what matches the glob patterns, keeping folders; return the relative names.

    Raises Judged for a pattern that matches nothing or leaves the source. Links that lead out of it are not followed.
    """
    root = folder.resolve()
    names: list[str] = []
    for pattern in patterns:
        if pattern.startswith("/") or ".." in Path(pattern).parts:
            raise Judged(
                Reason.INVALID_SPEC, f"source.assets: {pattern} leaves the source: use patterns below its folder."
            )
        found = sorted(item for item in root.glob(pattern) if item.is_file())
        if not found:
            raise Judged(Reason.SOURCE_INVALID, f"source.assets: nothing in the source matches {pattern}.")
        for item in found:
            if not item.resolve().is_relative_to(root):
                raise Judged(
                    Reason.SOURCE_INVALID, f"source.assets: {item.name} is a link that leads out of the source."
                )
            name = item.relative_to(root)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(item, target / name)
            names.append(str(name))
    return names


def amend(path: Path, changes: Mapping[str, Any]) -> None:
    """Have the JSON file at `path` say what is true of the result; a key's parts are divided by dots."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *parts, last = key.split(".")
        place = document
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = value
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
