"""Nodes named after the module that they came from, so that a recipe can speak of them: `encoder.layer.0.query.MatMul`.

torch's exporter says in metadata which modules a node lies in; its own names only count.
"""

from __future__ import annotations

import ast
from typing import Any

SCOPES = "pkg.torch.onnx.name_scopes"
"""Metadata of a node: a Python list of the paths of the modules around it, outermost first, and its own name."""


def name_after_modules(proto: Any, wrapper: str = "") -> None:
    """Name nodes `<path of the module>.<operator>` in place, a second one of that name with `_2` behind, and so on.

    `wrapper` is the path of the module that is exported below another one; it is left out of the names. A node without
    metadata keeps its name.
    """
    counts: dict[str, int] = {}
    for node in proto.graph.node:
        scopes = next((item.value for item in node.metadata_props if item.key == SCOPES), None)
        if scopes is None:
            continue
        path = next((path for path in reversed(_paths(scopes)[:-1]) if path), "")
        inner = path.removeprefix(wrapper).removeprefix(".") if f"{path}.".startswith(f"{wrapper}.") else path
        name = f"{inner}.{node.op_type}" if inner else str(node.op_type)
        counts[name] = counts.get(name, 0) + 1
        node.name = name if counts[name] == 1 else f"{name}_{counts[name]}"


def _paths(text: str) -> list[str]:
    """Return the list that stands in the metadata; an exporter that writes another form names nothing."""
    try:
        found = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return []
    return [str(item) for item in found] if isinstance(found, list) else []
