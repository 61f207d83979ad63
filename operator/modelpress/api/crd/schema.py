"""From a type to the structural schema that Kubernetes wants: no references, no null, no defaults, all described.

pydantic's JSON schema is the input. Kubernetes knows an older dialect: exclusive bounds are flags, a choice between
integer and string has a keyword of its own, and free-form objects say that they keep what they do not know.
"""

from __future__ import annotations

import copy
from typing import Any

from ..base import ApiType

Schema = dict[str, Any]

_ORDER = ("description", "type", "default", "required", "enum", "pattern", "format")
"""Keys that come first, for whoever reads the file."""

_COPIED = (
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "minimum",
    "maximum",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)


def structural(kind: type[ApiType]) -> Schema:
    """Return the structural schema of `kind`. Raises ValueError for a type that Kubernetes cannot express."""
    document = kind.model_json_schema(by_alias=True)
    return _convert(document, document.get("$defs", {}), kind.__name__)


def undescribed(schema: Schema, path: str = "") -> list[str]:
    """Return the paths of all fields of `schema` without a description."""
    found = []
    for name, field in schema.get("properties", {}).items():
        if not field.get("description"):
            found.append(f"{path}.{name}")
        found += undescribed(field, f"{path}.{name}")
    for below in ("items", "additionalProperties"):
        if isinstance(schema.get(below), dict):
            found += undescribed(schema[below], f"{path}[]")
    return found


def one_line(text: str) -> str:
    """Return `text` with all white space, line breaks too, as single spaces."""
    return " ".join(text.split())


def _convert(schema: Schema, definitions: dict[str, Schema], path: str) -> Schema:
    schema = _dereferenced(schema, definitions)
    result: Schema = {}
    if schema.get("description"):
        result["description"] = one_line(schema["description"])
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        return result | _convert(choices[0] | _described(schema), definitions, path)
    if choices:
        return result | _integer_or_string([_dereferenced(choice, definitions) for choice in choices], path)
    result |= {name: copy.deepcopy(schema[name]) for name in _COPIED if name in schema}
    if "const" in schema:
        result["enum"] = [schema["const"]]
    for name, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if name in schema:
            result |= {bound: schema[name], name: True}
    match schema.get("type"):
        case "object":
            result |= _object(schema, definitions, path)
        case "array":
            result |= _array(schema, definitions, path, result.get("description", ""))
        case "string" | "integer" | "number" | "boolean" as name:
            result = {"type": name} | result
        case None if not set(schema) - {"title", "description", "default"}:
            result["x-kubernetes-preserve-unknown-fields"] = True
        case other:
            raise ValueError(f"{path} has type {other}, which a structural schema cannot express: {schema}")
    return {name: result[name] for name in sorted(result, key=_position)}


def _position(name: str) -> tuple[int, str]:
    last = name in {"items", "properties", "additionalProperties"}
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER) + last, "" if last else name)


def _object(schema: Schema, definitions: dict[str, Schema], path: str) -> Schema:
    result: Schema = {"type": "object"}
    if "properties" in schema:
        if schema.get("required"):
            result["required"] = list(schema["required"])
        result["properties"] = {
            name: _convert(field, definitions, f"{path}.{name}") for name, field in schema["properties"].items()
        }
        return result
    values = schema.get("additionalProperties")
    if isinstance(values, dict) and values:
        result["additionalProperties"] = _convert(values, definitions, f"{path}[]")
    elif values:
        result["x-kubernetes-preserve-unknown-fields"] = True
    return result


def _array(schema: Schema, definitions: dict[str, Schema], path: str, description: str) -> Schema:
    items = _convert(schema["items"], definitions, f"{path}[]")
    result: Schema = {"type": "array", "items": items}
    if description and items.get("type") == "object" and items.get("description"):
        result["description"] = f"{description} Each: {items['description']}"
    return result


def _integer_or_string(choices: list[Schema], path: str) -> Schema:
    by_type = {choice.get("type"): choice for choice in choices}
    if set(by_type) != {"integer", "string"}:
        raise ValueError(f"{path} is a choice of {sorted(map(str, by_type))}: only integer or string can be expressed")
    result: Schema = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
    for name, kind in (("minimum", "integer"), ("maximum", "integer"), ("pattern", "string"), ("maxLength", "string")):
        if name in by_type[kind]:
            result[name] = by_type[kind][name]
    return result


def _dereferenced(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return `schema` with its reference, if it is one, replaced by what it points to; its own words win."""
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = definitions[name] | {key: value for key, value in schema.items() if key != "$ref"}
    return schema


def _described(schema: Schema) -> Schema:
    return {"description": schema["description"]} if schema.get("description") else {}
