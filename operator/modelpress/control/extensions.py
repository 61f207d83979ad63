"""Which kinds of other projects does this cluster have? Asked when the operator begins to lead, and now and then.

A watch on a kind that is not there would never end its first LIST, so only what is there is watched. When a kind comes,
or goes, the process ends, and the one that the kubelet starts in its place finds the cluster as it is.
"""

from __future__ import annotations

import asyncio
import logging

from modelpress.control.kinds import EXTENSIONS, Kind
from modelpress.control.sender import ApiError, Sender, UnavailableError

logger = logging.getLogger(__name__)

LOOK_AGAIN = 120.0
"""Seconds until it is noticed that a kind has come or gone."""

ABSENT = frozenset({403, 404})
"""Answers to discovery that mean: not for us."""


class ExtensionsChangedError(Exception):
    """The cluster has other kinds than it had. The message says which."""


async def present(sender: Sender) -> tuple[Kind, ...]:
    """Return which of EXTENSIONS the cluster has.

    Raises UnavailableError, ApiError.
    """
    return tuple([kind for kind in EXTENSIONS if await _has(sender, kind)])


async def stay_the_same(sender: Sender, known: tuple[Kind, ...]) -> None:
    """Look again now and then, for ever.

    Raises ExtensionsChangedError.
    """
    while True:
        await asyncio.sleep(LOOK_AGAIN)
        try:
            found = await present(sender)
        except (UnavailableError, ApiError) as error:
            logger.warning("which kinds the cluster has is not known right now", extra={"error": str(error)})
            continue
        if found != known:
            changed = ", ".join(sorted(f"{kind.plural}.{kind.group}" for kind in set(found) ^ set(known)))
            raise ExtensionsChangedError(f"{changed} came or went; the operator starts anew to see it so")


async def _has(sender: Sender, kind: Kind) -> bool:
    try:
        answer = await sender.send("GET", f"/apis/{kind.group}/{kind.version}", kind="APIResourceList")
    except ApiError as error:
        if error.status in ABSENT:
            return False
        raise
    return any(resource.get("name") == kind.plural for resource in answer.body.get("resources") or ())
