"""Does the cluster hold what we want, and do we own exactly that? Pure.

The API server records in `metadata.managedFields` which fields an applier set, and how: `f:name` for a field, `k:{…}`
for the list element with these keys, `v:…` for an element of a set. We walk that record beside the manifest that is
wanted. It tells us how a list merges without knowing any schema, and it shows both kinds of difference: a wanted
field that is missing or has another value, and a field we own and no longer want. Only when there is neither may a
write be skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from kubernetes.utils.quantity import parse_quantity

from modelpress.control.plan import Manifest

Path = tuple[str, ...]
"""A place in an object, in managedFields' own notation: ("f:spec", "f:ports", 'k:{"port":80}')."""

_IDENTITY = frozenset({("f:apiVersion",), ("f:kind",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace")})
_QUANTITIES = frozenset({"f:limits", "f:requests"})
_QUANTITY_FIELDS = frozenset({"f:sizeLimit", "f:storage", "f:divisor"})
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where cluster and wish differ.

    `kind`: Value (another value), Unowned (not recorded as ours), Leftover (ours, unwanted).
    """

    path: Path
    kind: str
    wanted: Any = None
    live: Any = None

    def __str__(self) -> str:
        return dotted(self.path)


def dotted(path: Path) -> str:
    """Return `path` the way people write it: `spec.ports[port=80].name`."""
    text = ""
    for part in path:
        mark, _, rest = part.partition(":")
        if mark == "f":
            text += f".{rest}" if text else rest
        elif mark == "k":
            text += "[" + ",".join(f"{name}={value}" for name, value in orjson.loads(rest).items()) + "]"
        else:
            text += f"[{rest}]"
    return text


def applied_fields(live: Manifest, manager: str) -> Mapping[str, Any] | None:
    """Return the field set that `manager` applied to `live`, or None if it never applied anything."""
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            fields: Mapping[str, Any] = entry.get("fieldsV1") or {}
            return fields
    return None


def differences(wanted: Manifest, live: Manifest, fields: Mapping[str, Any]) -> list[Difference]:
    """Return where `live` and our recorded `fields` differ from `wanted`.

    Empty: the write may be skipped.
    """
    return [found for found in _walk(wanted, live, fields, ()) if found.path not in _IDENTITY]


def _walk(wanted: Any, live: Any, fields: Mapping[str, Any], path: Path) -> Iterator[Difference]:
    inner = {name: below for name, below in fields.items() if name != "."}
    if not inner:
        yield from _compare_leaf(wanted, live, path)
    elif isinstance(wanted, Mapping):
        yield from _walk_map(wanted, live if isinstance(live, Mapping) else {}, inner, path)
    elif isinstance(wanted, list | tuple):
        yield from _walk_list(list(wanted), live if isinstance(live, list | tuple) else [], inner, path)
    else:
        yield Difference(path, "Value", wanted, live)


def _walk_map(
    wanted: Mapping[str, Any], live: Mapping[str, Any], fields: Mapping[str, Any], path: Path
) -> Iterator[Difference]:
    for name, value in wanted.items():
        part = f"f:{name}"
        here = (*path, part)
        if value is None:
            continue
        if part in fields:
            yield from _walk(value, live.get(name, _MISSING), fields[part], here)
        else:
            yield from _unowned(value, live.get(name), here)
    for part in fields:
        if part[:2] != "f:" or wanted.get(part[2:]) is None:
            yield Difference((*path, part), "Leftover", None, live.get(part[2:]))


def _unowned(wanted: Any, live: Any, path: Path) -> Iterator[Difference]:
    """Yield each field below `path`: none of them is recorded as ours."""
    if isinstance(wanted, Mapping) and wanted:
        below = live if isinstance(live, Mapping) else {}
        for name, value in wanted.items():
            yield from _unowned(value, below.get(name), (*path, f"f:{name}"))
    else:
        yield Difference(path, "Unowned", wanted, live)


def _walk_list(wanted: list[Any], live: Any, fields: Mapping[str, Any], path: Path) -> Iterator[Difference]:
    unmatched = list(range(len(wanted)))
    for part, below in fields.items():
        index = next((i for i in unmatched if _is_element(part, wanted[i], i)), None)
        if index is None:
            yield Difference((*path, part), "Leftover")
            continue
        unmatched.remove(index)
        counterpart = next((item for i, item in enumerate(live) if _is_element(part, item, i)), _MISSING)
        yield from _walk(wanted[index], counterpart, below, (*path, part))
    for index in unmatched:
        yield Difference((*path, f"i:{index}"), "Unowned", wanted[index])


def _is_element(part: str, item: Any, index: int) -> bool:
    """Say whether managedFields' `part` names this element.

    Keys that `item` leaves out hold their default (`protocol: TCP`).
    """
    mark, _, rest = part.partition(":")
    if mark == "i":
        return index == int(rest)
    value = orjson.loads(rest)
    if mark == "v":
        return bool(item == value)
    if not isinstance(item, Mapping):
        return False
    named = {name: expected for name, expected in value.items() if item.get(name) is not None}
    return bool(named) and all(item[name] == expected for name, expected in named.items())


def _compare_leaf(wanted: Any, live: Any, path: Path) -> Iterator[Difference]:
    if not means_same(wanted, live, path):
        yield Difference(path, "Value", wanted, None if live is _MISSING else live)


def means_same(wanted: Any, live: Any, path: Path) -> bool:
    """Say whether two values at `path` mean the same: quantities by amount, an empty value like one left out."""
    if live is _MISSING or live is None:
        return not wanted
    if wanted is None:
        return not live
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and _same_maps(wanted, live, path)
    if isinstance(wanted, list | tuple):
        return (
            isinstance(live, list | tuple)
            and len(wanted) == len(live)
            and all(means_same(ours, theirs, path) for ours, theirs in zip(wanted, live, strict=True))
        )
    if wanted == live and isinstance(wanted, bool) == isinstance(live, bool):
        return True
    return _is_quantity(path) and _amount(wanted) is not None and _amount(wanted) == _amount(live)


def _same_maps(wanted: Mapping[str, Any], live: Mapping[str, Any], path: Path) -> bool:
    """Compare an atomic map: it has one owner, so a key that only the server shows counts as a difference too."""
    return all(
        means_same(wanted.get(name), live.get(name, _MISSING), (*path, f"f:{name}"))
        for name in wanted.keys() | live.keys()
    )


def _is_quantity(path: Path) -> bool:
    return path[-1] in _QUANTITY_FIELDS or (len(path) > 1 and path[-2] in _QUANTITIES)


def _amount(value: Any) -> Any:
    try:
        return parse_quantity(value)  # type: ignore[no-untyped-call]
    except ValueError:
        return None
