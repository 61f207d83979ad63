"""docs/api.md: every field of every kind, from the same schemas as the CRDs."""

from __future__ import annotations

from collections.abc import Iterator

from ..base import GROUP, VERSION
from .definitions import DEFINITIONS, Definition, root_schema
from .schema import Schema

_HEAD = f"""<!-- Generated from operator/modelpress/api by `make generate`. Changes belong there. -->

# API reference

Group `{GROUP}`, version `{VERSION}`. `kubectl explain cmodel.spec.compression` shows the same texts.

A field without "required" may be left out; what that means stands behind "Default". Defaults are applied when the spec
is read and never written into it. Fractions are plain numbers between 0 and 1, percentages say so in their name,
durations are written as in `250ms`, `90s` or `1h30m`, quantities as in `500m` or `20Gi`.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *(line for definition in DEFINITIONS for line in _kind(definition))])


def _kind(definition: Definition) -> Iterator[str]:
    schema = root_schema(definition)
    yield f"## {definition.kind}\n"
    yield f"{schema['description']} Short name `{definition.short_name}`."
    if definition.immutable:
        yield "Written by the operator alone; its spec cannot be changed."
    yield ""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"- {_sentence(rule['message'])}\n"
    for part in ("spec", "status"):
        yield from _table(f"{definition.kind}.{part}", schema["properties"][part], {})


def _table(path: str, schema: Schema, printed: dict[str, Schema]) -> Iterator[str]:
    """Yield the table of one object, then those of the objects in it.

    `printed`: such objects by path; one that is the same as any of them, with others in it, is not printed again.
    """
    yield f"### {path}\n"
    yield f"{schema.get('description', '')}\n"
    same = next((other for other, content in printed.items() if content == schema), None)
    if same is not None and any(_inner(field).get("properties") for field in schema["properties"].values()):
        yield f"As `{same}`.\n"
        return
    printed[path] = schema
    rules = [rule["message"] for rule in schema.get("x-kubernetes-validations", ())]
    if rules:
        yield "Refused otherwise:\n"
        yield from (f"- {_sentence(rule)}" for rule in rules)
        yield ""
    yield "| field | type | description |"
    yield "| --- | --- | --- |"
    fields = schema["properties"].items()
    required = set(schema.get("required", ()))
    for name, field in fields:
        mark = " **Required.**" if name in required else ""
        yield f"| `{name}` | {_type(field)} | {_cell(field.get('description', ''))}{mark} |"
    yield ""
    for name, field in fields:
        suffix = "[]" if field.get("type") == "array" else ""
        if _inner(field).get("properties"):
            yield from _table(f"{path}.{name}{suffix}", _inner(field), printed)


def _inner(field: Schema) -> Schema:
    """Return the schema of a field, or that of its items."""
    inner: Schema = field["items"] if field.get("type") == "array" else field
    return inner


def _type(field: Schema) -> str:
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}"
    if "enum" in field:
        return "<br>".join(f"`{value}`" for value in field["enum"])
    if field.get("x-kubernetes-preserve-unknown-fields"):
        return "anything" if field.get("type") != "object" else "object, free-form"
    return str(field["type"]) + _range(field)


def _range(field: Schema) -> str:
    """Return the bounds of a number: `, 0 < x < 1`."""
    low = high = ""
    if "minimum" in field:
        low = f"{_number(field['minimum'])} {'<' if field.get('exclusiveMinimum') else '≤'} "
    if "maximum" in field:
        high = f" {'<' if field.get('exclusiveMaximum') else '≤'} {_number(field['maximum'])}"
    return f", {low}x{high}" if low or high else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
