"""Make an object hold what is wanted, by server-side apply; write only if something really differs.

Creation. Replicas and the like are set when an object is created and belong to others afterwards
(`Apply.at_creation`). Applied once and then left out, they would be taken back by the server; so right after creation
they are handed over to a second field manager, with the value they have by then. A crash in between is mended in the
next round: ours but not wanted is handed over.

Adoption. An object of that name that belongs to somebody else is never touched. What the store does not show is
looked up on the server first. If one appears in the instant between looking and creating, the server answers 200
instead of 201 and we retract.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from modelpress.api.names import FIELD_MANAGER
from modelpress.control.compare import Path, applied_fields, differences
from modelpress.control.door import CONFLICT, WRITE_REFUSED, Door, NotWrittenError, OutdatedError, refusal
from modelpress.control.echoes import Echoes
from modelpress.control.kinds import path_of
from modelpress.control.objects import Objects, key_of
from modelpress.control.ownership import is_ours, is_predecessors, name_conflict
from modelpress.control.plan import Apply, Manifest, Reference
from modelpress.control.reversions import Reversions
from modelpress.control.sender import APPLY_PATCH, ApiError

AT_CREATION_MANAGER = f"{FIELD_MANAGER}-at-creation"


class Applier:
    """Carries out `Apply`.

    Remembers, in memory only, what was refused, reverted, or read differently by the server.
    """

    def __init__(self, door: Door, objects: Objects, clock: Callable[[], float] = time.monotonic) -> None:
        self._door, self._objects, self._clock = door, objects, clock
        self._echoes, self._reversions = Echoes(), Reversions()
        self._refused: dict[Reference, tuple[bytes, float, NotWrittenError]] = {}

    async def apply(self, wish: Apply) -> Manifest | None:
        """Carry out `wish`.

        Return the object as written, or None if nothing had to be. Raises NotWrittenError, OutdatedError,
        UnavailableError.
        """
        reference = Reference.of(wish.manifest)
        if key_of(wish.manifest) is None:
            raise ValueError(f"{reference} lacks the model's label, so nobody would ever see it again")
        live = self._objects.get(reference)
        if live is None and not wish.once:
            live = await self._door.read(reference)
        if live is not None:
            _refuse_others(wish, live)
        if live is not None and (wish.once or "deletionTimestamp" in live["metadata"]):
            return None
        self._still_refused(reference, wish)
        try:
            if live is None:
                return await self._create(wish)
            return await self._update(wish, live)
        except NotWrittenError as refused:
            if refused.problem.reason == WRITE_REFUSED:
                self._refused[reference] = _digest(wish), self._clock() + refused.retry_after, refused
            raise

    def forget(self, manifest: Manifest) -> None:
        """Drop what is remembered of an object that is gone."""
        uid = manifest["metadata"]["uid"]
        self._echoes.forget(uid)
        self._reversions.forget(uid)
        self._refused.pop(Reference.of(manifest), None)

    async def _create(self, wish: Apply) -> Manifest:
        reference = Reference.of(wish.manifest)
        if wish.once:
            created = await self._door.create(merged(wish.manifest, wish.at_creation))
            return created or await self._who_was_faster(wish)
        live, is_new = await self._patch(merged(wish.manifest, wish.at_creation), create=True)
        if not is_new:
            await self._retract(live)
            raise NotWrittenError(name_conflict(reference))
        if wish.at_creation:
            live = await self._hand_over(wish, live)
        self._remember(wish.manifest, live)
        return live

    async def _who_was_faster(self, wish: Apply) -> Manifest:
        """Return the object that was there before ours could be made, if it is ours all the same."""
        reference = Reference.of(wish.manifest)
        live = await self._door.read(reference)
        if live is None:
            raise OutdatedError(f"{reference} came and went")
        _refuse_others(wish, live)
        return live

    async def _update(self, wish: Apply, live: Manifest) -> Manifest | None:
        uid, now = live["metadata"]["uid"], self._clock()
        fields = applied_fields(live, FIELD_MANAGER)
        found = differences(wish.manifest, live, fields or {})
        if fields is not None and not (found := self._echoes.unknown(uid, found)):
            return None
        if (rest := self._reversions.resting(uid, now)) is not None:
            raise NotWrittenError(*rest)
        if any(True for _ in _owned_leaves(wish.at_creation, fields or {})):
            written = await self._hand_over(wish, live)
        else:
            if (problem := self._reversions.meet(wish.manifest, live, found, now)) is not None:
                raise NotWrittenError(problem, self._reversions.rest(uid, now))
            written, _ = await self._patch(_with_uid(wish.manifest, uid))
        self._remember(wish.manifest, written)
        return written

    async def _hand_over(self, wish: Apply, live: Manifest) -> Manifest:
        """Give what was set at creation to the second manager, as it is now, and then apply without it."""
        fields = applied_fields(live, FIELD_MANAGER) or {}
        given: dict[str, Any] = {}
        for path in _owned_leaves(wish.at_creation, fields):
            _copy(path, live, given)
        if given:
            identity = {name: live[name] for name in ("apiVersion", "kind")}
            names = {name: live["metadata"][name] for name in ("name", "namespace", "uid")}
            await self._patch(merged({**identity, "metadata": names}, given), manager=AT_CREATION_MANAGER)
        written, _ = await self._patch(_with_uid(wish.manifest, live["metadata"]["uid"]))
        return written

    async def _retract(self, live: Manifest) -> None:
        """Take back all that we applied to an object that turned out to be somebody else's."""
        names = {name: live["metadata"][name] for name in ("name", "namespace", "uid")}
        await self._patch({"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": names})

    async def _patch(
        self, manifest: Manifest, *, manager: str = FIELD_MANAGER, create: bool = False
    ) -> tuple[Manifest, bool]:
        """Apply `manifest`.

        Return the object and whether it is new. A creation is tried once and forces nothing: see above.
        """
        reference = Reference.of(manifest)
        params = {"fieldManager": manager, "force": "false" if create else "true"}
        attempts = {"attempts": 1} if create else {}
        try:
            answer = await self._door.write(
                "PATCH",
                path_of(reference),
                kind=reference.kind,
                body=manifest,
                params=params,
                content_type=APPLY_PATCH,
                **attempts,
            )
        except ApiError as error:
            if create and error.status == CONFLICT:
                raise OutdatedError(f"{reference} appeared meanwhile") from error
            raise refusal(error, reference) from error
        return answer.body, answer.status == 201

    def _remember(self, wanted: Manifest, written: Manifest) -> None:
        uid = written["metadata"]["uid"]
        fields = applied_fields(written, FIELD_MANAGER) or {}
        self._echoes.learn(uid, differences(wanted, written, fields))
        self._reversions.applied(wanted, uid)
        self._refused.pop(Reference.of(wanted), None)

    def _still_refused(self, reference: Reference, wish: Apply) -> None:
        """Raise what the same wish met a moment ago, without asking the server again."""
        digest, until, refused = self._refused.get(reference, (b"", 0.0, None))
        if refused is not None and digest == _digest(wish) and (left := until - self._clock()) > 0:
            raise NotWrittenError(refused.problem, left)


def _refuse_others(wish: Apply, live: Manifest) -> None:
    """Return if `live` is ours. Raises NotWrittenError if it is another's, OutdatedError if it is being collected."""
    if is_ours(wish.manifest, live):
        return
    reference = Reference.of(wish.manifest)
    if is_predecessors(wish.manifest, live):
        raise OutdatedError(f"{reference} belongs to an earlier owner of that name and is being collected")
    raise NotWrittenError(name_conflict(reference))


def merged(manifest: Manifest, extra: Manifest) -> dict[str, Any]:
    """Return `manifest` with the maps in `extra` merged in; `extra` wins."""
    result = dict(manifest)
    for name, value in extra.items():
        below = result.get(name)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        result[name] = merged(below, value) if both and isinstance(below, Mapping) else value
    return result


def _with_uid(manifest: Manifest, uid: str) -> dict[str, Any]:
    """Return `manifest` so that it applies to this very object, not to a later one of the same name."""
    return merged(manifest, {"metadata": {"uid": uid}})


def _owned_leaves(at_creation: Manifest, fields: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """Yield the places in `at_creation` that our own field set still holds."""
    for name, value in at_creation.items():
        part = f"f:{name}"
        if part not in fields:
            continue
        if isinstance(value, Mapping) and value:
            yield from _owned_leaves(value, fields[part], (*path, part))
        else:
            yield (*path, part)


def _copy(path: Path, source: Mapping[str, Any], target: dict[str, Any]) -> None:
    """Copy the value at `path` from `source` to `target`, if it is there."""
    *parents, last = (part.removeprefix("f:") for part in path)
    for name in parents:
        source, target = source.get(name) or {}, target.setdefault(name, {})
    if last in source:
        target[last] = source[last]


def _digest(wish: Apply) -> bytes:
    return orjson.dumps(wish.manifest, option=orjson.OPT_SORT_KEYS)
