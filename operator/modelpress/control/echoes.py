"""How the API server reads our wishes: differences that are still there right after our own write are its way of
writing things down.

It fills defaults into atomic structures and rewrites some values (durations, times). Such a difference must neither
cause a write in every round nor be guessed at from a list of special cases, which would hide real ones. So the door
remembers what the answer to its own write still differed in, and takes exactly that for the same from then on. After
a restart the first round of each object writes once more, which changes nothing. In memory only.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from modelpress.control.compare import Difference


class Echoes:
    """What the server answered to our own writes, by the object's UID."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[bytes]] = {}

    def learn(self, uid: str, differences: Iterable[Difference]) -> None:
        """Remember `differences` between a manifest just applied and the server's answer to that."""
        fingerprints = frozenset(_fingerprint(difference) for difference in differences)
        if fingerprints:
            self._known[uid] = fingerprints
        else:
            self._known.pop(uid, None)

    def unknown(self, uid: str, differences: Iterable[Difference]) -> list[Difference]:
        """Return those of `differences` that are no echo of our own write."""
        known = self._known.get(uid, frozenset())
        return [difference for difference in differences if _fingerprint(difference) not in known]

    def forget(self, uid: str) -> None:
        """Drop what is known of an object that is gone."""
        self._known.pop(uid, None)


def _fingerprint(difference: Difference) -> bytes:
    parts = [difference.path, difference.kind, difference.wanted, difference.live]
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
