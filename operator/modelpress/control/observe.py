"""What one round sees: a frozen snapshot from the store alone, never older than our own last write on that key."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from modelpress.api.servingpod import PodAnswer
from modelpress.control.objects import Key, Objects
from modelpress.control.plan import Manifest, Observed, Problem, Reference
from modelpress.rollout.counting import Counted
from modelpress.rollout.queries import Answered

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

PATIENCE = 3.0
"""Seconds to wait for a watch to show our own write before the server is asked."""


class Reader(Protocol):
    """Reads one object from the server."""

    async def read(self, reference: Reference) -> Manifest | None:
        """Return the object, or None if it does not exist."""


class Observer:
    """Takes snapshots, and waits where one would be older than what we did."""

    def __init__(
        self,
        objects: Objects,
        reader: Reader,
        progress: Mapping[str, Mapping[str, Any]],
        counts: Mapping[str, Counted],
        answers: Mapping[Key, Mapping[str, Answered]],
        holdings: Mapping[str, PodAnswer] = MappingProxyType({}),
    ) -> None:
        """All are read at each snapshot: what compression pods last said, by `namespace/job`; what serving pods did,
        and what they hold, by `namespace/pod`; what Prometheus said of each model, by the names of its queries."""
        self._objects, self._reader = objects, reader
        self._progress, self._counts, self._answers = progress, counts, answers
        self._holdings = holdings
        self._expected: defaultdict[Key, dict[Reference, int]] = defaultdict(dict)

    def expect(self, key: Key, reference: Reference, version: int) -> None:
        """Let the next snapshot of `key` wait until the store has seen `reference` at `version`."""
        self._expected[key][reference] = max(version, self._expected[key].get(reference, 0))

    async def settle(self, key: Key) -> None:
        """Wait until the store has seen all our writes on `key`; ask the server about what the watches do not
        show."""
        expected = self._expected.get(key, {})
        for reference, version in list(expected.items()):
            if not await self._objects.wait_seen(reference, version, PATIENCE):
                await self._ask(reference, version)
            del expected[reference]
        self._expected.pop(key, None)

    async def _ask(self, reference: Reference, version: int) -> None:
        """Take the server's word for an object that the watch has not shown at `version`."""
        logger.info("asking the server about an object that the watch has not shown", extra={"object": str(reference)})
        manifest = await self._reader.read(reference)
        if manifest is None:
            self._objects.discard(reference, version)
        else:
            self._objects.put(manifest)

    def observe(self, key: Key, problems: Mapping[Reference, Problem]) -> Observed | None:
        """Return the snapshot of `key`; None if the model does not exist."""
        model, children = self._objects.family(key)
        if model is None:
            return None
        return Observed(
            model=model,
            children=children,
            progress=_of(self._progress, key, children, "Job"),
            problems=dict(problems),
            counts=_of(self._counts, key, children, "Pod"),
            holdings=_of(self._holdings, key, children, "Pod"),
            answers=dict(self._answers.get(key, {})),
            extensions=self._objects.extensions,
        )


def _of(known: Mapping[str, Value], key: Key, children: Iterable[Manifest], kind: str) -> dict[str, Value]:
    """Return what is known, by `namespace/name`, of the children of `kind`, by name."""
    there = (str(child["metadata"]["name"]) for child in children if child["kind"] == kind)
    return {name: known[place] for name in there if (place := f"{key.namespace}/{name}") in known}
