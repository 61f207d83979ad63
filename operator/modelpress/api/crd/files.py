"""All generated files: path from the root of the checkout → text."""

from __future__ import annotations

from functools import cache

import yaml

from . import conditions_page, reference
from .definitions import DEFINITIONS, Definition, manifest

_NOTE = "# Generated from operator/modelpress/api by `make generate`. Changes belong there.\n"


def generated() -> dict[str, str]:
    """Return every generated file."""
    definitions = {f"crds/{item.plural}.yaml": _text(item) for item in DEFINITIONS}
    return definitions | {"docs/api.md": reference.page(), "docs/conditions.md": conditions_page.page()}


@cache
def _text(definition: Definition) -> str:
    return _NOTE + yaml.safe_dump(manifest(definition), sort_keys=False, width=120, allow_unicode=True)
