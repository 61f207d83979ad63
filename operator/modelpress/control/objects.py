"""Our store of objects: what the watches have shown, and nothing else.

Newer wins: an object is replaced only by one with a higher resourceVersion (integers, compared as such since
Kubernetes 1.35 documents what was always so). A LIST replaces: whatever it does not name is gone, and leaves the
LIST's version as a floor below which no late event can bring anything back. Deletions leave a tombstone for the same
reason. Manifests are never changed in place, so a snapshot may share them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from modelpress.api.names import MODEL_LABEL
from modelpress.control.kinds import MODEL, WATCHED, Kind, kind_of
from modelpress.control.plan import Manifest, Reference

TOMBSTONES = 10_000
"""Deletions remembered.

A late event older than that many deletions would have to outlive all of them in kopf's queues.
"""


class Key(NamedTuple):
    """One CompressedModel: the unit of work."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def version_of(manifest: Manifest) -> int:
    """Return the resourceVersion of `manifest` as a number."""
    return int(manifest["metadata"]["resourceVersion"])


def key_of(manifest: Manifest) -> Key | None:
    """Return the model that `manifest` belongs to, by its label; a CompressedModel belongs to itself.

    None: to nobody.
    """
    metadata = manifest["metadata"]
    if manifest["kind"] == MODEL.kind and manifest["apiVersion"] == MODEL.api_version:
        return Key(metadata["namespace"], metadata["name"])
    name = (metadata.get("labels") or {}).get(MODEL_LABEL)
    return Key(metadata.get("namespace", ""), name) if name else None


class Objects:
    """The store.

    Written by event handlers and LISTs, read by everybody else; one event loop, no locks.
    """

    def __init__(self, scopes: Sequence[str | None] = (None,), kinds: Iterable[Kind] = WATCHED) -> None:
        """Remember which LISTs to expect: each of `kinds` in each of `scopes` (a namespace, or None for the whole
        cluster)."""
        self._objects: dict[Reference, Manifest] = {}
        self._by_key: defaultdict[Key, set[Reference]] = defaultdict(set)
        self._tombstones: OrderedDict[Reference, int] = OrderedDict()
        self._floors: dict[tuple[Kind, str | None], int] = {}
        self.on_gone: Callable[[Manifest], None] = lambda _: None
        self._scopes = tuple(scopes)
        self._awaited = {(kind, scope) for kind in kinds for scope in scopes}
        self.extensions: frozenset[str] = frozenset()
        self._waiting: defaultdict[Reference, set[asyncio.Event]] = defaultdict(set)

    def extend(self, kinds: Iterable[Kind]) -> None:
        """Remember that the cluster has these kinds of other projects too, and expect their LISTs."""
        found = tuple(kinds)
        self.extensions = frozenset(kind.kind for kind in found)
        self._awaited |= {(kind, scope) for kind in found for scope in self._scopes}

    def put(self, manifest: Manifest) -> set[Key]:
        """Take in one object as seen, unless something newer is known.

        Return the keys that it changes something for.
        """
        reference, version = Reference.of(manifest), version_of(manifest)
        if version <= self._known_version(reference):
            return set()
        return self._store(reference, manifest)

    def drop(self, manifest: Manifest) -> set[Key]:
        """Take in that this object is gone (its resourceVersion is that of the deletion).

        Return the keys it concerns.
        """
        reference, version = Reference.of(manifest), version_of(manifest)
        if version < self._known_version(reference):
            return set()
        return self.discard(reference, version)

    def discard(self, reference: Reference, version: int) -> set[Key]:
        """Forget an object that did not exist any more at `version`."""
        self._tombstones[reference] = version
        self._tombstones.move_to_end(reference)
        while len(self._tombstones) > TOMBSTONES:
            self._tombstones.popitem(last=False)
        return self._remove(reference)

    def replace(self, kind: Kind, scope: str | None, manifests: Iterable[Manifest], version: int) -> set[Key]:
        """Take in a whole LIST of `kind` in `scope`, made at `version`.

        Return the keys that it changes something for.
        """
        touched: set[Key] = set()
        listed = set()
        for manifest in manifests:
            reference = Reference.of(manifest)
            listed.add(reference)
            stored = self._objects.get(reference)
            if (
                version_of(manifest) > (version_of(stored) if stored else -1)
                and self._tombstones.get(reference, 0) <= version
            ):
                touched |= self._store(reference, manifest)
        for reference in self._within(kind, scope):
            if reference not in listed and version_of(self._objects[reference]) <= version:
                touched |= self._remove(reference)
        self._floors[kind, scope] = max(version, self._floors.get((kind, scope), 0))
        self._awaited.discard((kind, scope))
        return touched

    def missing_lists(self) -> list[str]:
        """Return which first LISTs have not come yet, for people; empty when every kind is complete."""
        return sorted(f"{kind.plural} in {scope}" if scope else kind.plural for kind, scope in self._awaited)

    def get(self, reference: Reference) -> Manifest | None:
        """Return the object, or None."""
        return self._objects.get(reference)

    def family(self, key: Key) -> tuple[Manifest | None, tuple[Manifest, ...]]:
        """Return the model of `key`, if there, and every other object that carries its label."""
        model = self._objects.get(Reference(MODEL.api_version, MODEL.kind, *key))
        references = sorted(self._by_key.get(key, ()))
        return model, tuple(self._objects[reference] for reference in references if reference.kind != MODEL.kind)

    def models(self) -> list[Key]:
        """Return the keys of all models that exist."""
        return [Key(reference.namespace, reference.name) for reference in self._objects if reference.kind == MODEL.kind]

    def of_kind(self, kind: str) -> list[Manifest]:
        """Return all objects of `kind`."""
        return [manifest for reference, manifest in self._objects.items() if reference.kind == kind]

    def has_seen(self, reference: Reference, version: int) -> bool:
        """Say whether the watch has shown this object at `version` or later, or its end after that."""
        return self._known_version(reference) >= version

    async def wait_seen(self, reference: Reference, version: int, seconds: float) -> bool:
        """Wait up to `seconds` for `has_seen`."""
        changed = asyncio.Event()
        self._waiting[reference].add(changed)
        try:
            async with asyncio.timeout(seconds):
                while not self.has_seen(reference, version):
                    changed.clear()
                    await changed.wait()
            return True
        except TimeoutError:
            return False
        finally:
            self._waiting[reference].discard(changed)
            if not self._waiting[reference]:
                del self._waiting[reference]

    def _known_version(self, reference: Reference) -> int:
        """Return the highest version at which something is known of the object, be it that it is gone."""
        manifest = self._objects.get(reference)
        if manifest is not None:
            return version_of(manifest)
        kind = kind_of(reference)
        floor = max(self._floors.get((kind, reference.namespace), 0), self._floors.get((kind, None), 0))
        return max(floor, self._tombstones.get(reference, 0))

    def _within(self, kind: Kind, scope: str | None) -> list[Reference]:
        return [
            reference
            for reference in self._objects
            if (reference.api_version, reference.kind) == (kind.api_version, kind.kind)
            and scope in (None, reference.namespace)
        ]

    def _store(self, reference: Reference, manifest: Manifest) -> set[Key]:
        touched = self._unindex(reference)
        self._tombstones.pop(reference, None)
        self._objects[reference] = manifest
        if (key := key_of(manifest)) is not None:
            self._by_key[key].add(reference)
            touched.add(key)
        self._notify(reference)
        return touched

    def _remove(self, reference: Reference) -> set[Key]:
        touched = self._unindex(reference)
        if (gone := self._objects.pop(reference, None)) is not None:
            self.on_gone(gone)
        self._notify(reference)
        return touched

    def _unindex(self, reference: Reference) -> set[Key]:
        old = self._objects.get(reference)
        key = key_of(old) if old is not None else None
        if key is None:
            return set()
        self._by_key[key].discard(reference)
        if not self._by_key[key]:
            del self._by_key[key]
        return {key}

    def _notify(self, reference: Reference) -> None:
        for changed in self._waiting.get(reference, ()):
            changed.set()
