"""All generated files: path from the root of the checkout → text."""

from __future__ import annotations

import yaml

from .definitions import DEFINITIONS, manifest

_NOTE = "# Generated from operator/modelpress/api by `make generate`. Changes belong there.\n"


def generated() -> dict[str, str]:
    """Return every generated file."""
    return {f"crds/{item.plural}.yaml": _yaml(manifest(item)) for item in DEFINITIONS}


def _yaml(document: object) -> str:
    return _NOTE + yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)
