"""Events on the CompressedModel, for people who run `kubectl describe`.

Best effort: an Event that fails fails nothing else. A note stands as long as each round repeats it, and is posted
when it starts to stand. Its name is made of what it says, so a restarted operator meets its own Event and leaves it
alone; a note that comes back after it was gone raises that Event's count.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from modelpress.api.names import FIELD_MANAGER
from modelpress.control.door import Door
from modelpress.control.metrics import Metrics
from modelpress.control.objects import Key
from modelpress.control.plan import EventNote, Manifest
from modelpress.control.sender import MERGE_PATCH, ApiError, UnavailableError

logger = logging.getLogger(__name__)

MESSAGE_LIMIT = 1000
"""Characters of a message; the API allows 1024."""


class EventPoster:
    """Posts notes that have begun to stand.

    Remembers, by key, which stand and how often each was posted.
    """

    def __init__(self, door: Door, reporter: str, metrics: Metrics) -> None:
        self._door, self._reporter, self._metrics = door, reporter, metrics
        self._standing: dict[Key, frozenset[EventNote]] = {}
        self._counts: dict[str, int] = {}

    async def post(self, key: Key, model: Manifest, notes: Iterable[EventNote]) -> None:
        """Post those of `notes` that did not stand in the round before."""
        wanted = tuple(dict.fromkeys(notes))
        before = self._standing.get(key, frozenset())
        for note in wanted:
            if note not in before:
                self._metrics.events.labels(note.type, note.reason).inc()
                await self._post(model, note)
        self._standing[key] = frozenset(wanted)

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a model that is gone."""
        self._standing.pop(key, None)

    async def _post(self, model: Manifest, note: EventNote) -> None:
        event = event_of(model, note, datetime.now(UTC), self._reporter)
        name = event["metadata"]["name"]
        path = f"/api/v1/namespaces/{event['metadata']['namespace']}/events"
        try:
            if name not in self._counts and await self._is_new(path, event):
                return
            count = self._counts[name] = self._counts.get(name, 1) + 1
            body = {"count": count, "lastTimestamp": event["lastTimestamp"]}
            await self._door.write("PATCH", f"{path}/{name}", kind="Event", body=body, content_type=MERGE_PATCH)
        except (ApiError, UnavailableError) as error:
            logger.warning("an Event was not posted", extra={"reason": note.reason, "error": str(error)})
            self._counts.pop(name, None)

    async def _is_new(self, path: str, event: dict[str, Any]) -> bool:
        """Create the Event.

        Return True also if it exists from before this process: it says all there is to say.
        """
        try:
            await self._door.write("POST", path, kind="Event", body=event)
        except ApiError as error:
            if error.status != 409:
                raise
        self._counts[event["metadata"]["name"]] = 1
        return True


def event_of(model: Manifest, note: EventNote, now: datetime, reporter: str) -> dict[str, Any]:
    """Return the Event that says `note` about `model`.

    Its name depends on both alone.
    """
    metadata = model["metadata"]
    text = "\0".join([metadata["uid"], note.type, note.reason, note.message])
    name = f"{metadata['name']}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    identity = {name: model[name] for name in ("apiVersion", "kind")}
    involved = {name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion")}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "involvedObject": identity | involved,
        "type": note.type,
        "reason": note.reason,
        "message": note.message[:MESSAGE_LIMIT],
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": reporter[:128],
    }
