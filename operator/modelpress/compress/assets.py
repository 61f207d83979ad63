"""Files of the source that are carried into the artifact: tokenizers, labels."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

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
