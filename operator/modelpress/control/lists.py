"""Two small grafts onto kopf's watching, for what never reaches a handler: what a LIST no longer holds, signs of life.

After a 410 kopf lists anew and reports what survived, but nobody is told what vanished meanwhile. Here each complete
LIST is handed to our store, which replaces what it held. And the health probe has to know that a watch lives although
nothing happens: each line of a watch is a sign, and so is its orderly end, which the server brings about every
`watch_timeout` seconds. (Bookmarks alone do not do: the API server sends none for a kind that never had an event.)

kopf has no public hook for either. Its `continuous_watch` calls `fetching.fetch_objs` and, one floor below,
`api.stream`, as module attributes and with the keywords used below; that was read in 1.45 and is tested against a real
API server. Another minor version is refused until somebody has looked. kopf itself is passed in, so that only
handlers.py imports it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from modelpress.control.plan import Manifest

TESTED = ("1.45.",)

OnList = Callable[[str, str, str | None, list[Manifest], int], None]
"""Takes group, plural, namespace (None: cluster-wide), all objects, and the LIST's version."""

OnSign = Callable[[str, str | None], None]
"""Takes plural and namespace."""


class UntestedKopfError(RuntimeError):
    """This kopf may watch differently inside.

    The message says what to do.
    """


def check_version(version: str) -> None:
    """Refuse a kopf that these grafts were not tested with.

    Raises UntestedKopfError.
    """
    if not version.startswith(TESTED):
        raise UntestedKopfError(
            f"kopf {version} is installed, but modelpress takes LISTs from inside kopf's watching and was tested with "
            f"{', '.join(f'{tested}x' for tested in TESTED)} alone: install one of those, "
            f"or test control/lists.py with {version} and add it there."
        )


@contextmanager
def grafted(watching: Any, version: str, on_list: OnList, on_sign: OnSign) -> Iterator[None]:
    """Have kopf's module `watching` report LISTs and signs of life inside this context.

    Raises UntestedKopfError.
    """
    check_version(version)
    fetch_objs, stream = watching.fetching.fetch_objs, watching.api.stream
    watching.fetching.fetch_objs = _reporting_lists(fetch_objs, on_list, on_sign)
    watching.api.stream = _reporting_signs(stream, on_sign)
    try:
        yield
    finally:
        watching.fetching.fetch_objs, watching.api.stream = fetch_objs, stream


def _reporting_lists(fetch_objs: Any, on_list: OnList, on_sign: OnSign) -> Any:
    async def fetch(*, resource: Any, namespace: str | None, **rest: Any) -> AsyncIterator[tuple[Collection[Any], str]]:
        """As kopf's own; a LIST that breaks off in the middle is not reported."""
        manifests: list[Manifest] = []
        version = None
        async for chunk, version in fetch_objs(resource=resource, namespace=namespace, **rest):
            manifests.extend(chunk)
            on_sign(resource.plural, namespace)
            yield chunk, version
        if version is not None:
            on_list(resource.group, resource.plural, namespace, manifests, int(version))

    return fetch


def _reporting_signs(stream: Any, on_sign: OnSign) -> Any:
    async def watch(url: str, **rest: Any) -> AsyncIterator[Any]:
        """As kopf's own; a stream that breaks or hangs ends in an exception, and gives no sign."""
        plural, namespace = watched_at(url)
        async for line in stream(url, **rest):
            on_sign(plural, namespace)
            yield line
        on_sign(plural, namespace)

    return watch


def watched_at(url: str) -> tuple[str, str | None]:
    """Return the plural and the namespace (None: cluster-wide) that a watch at `url` is about."""
    parts = urlsplit(url).path.strip("/").split("/")
    namespaced = len(parts) > 2 and parts[-3] == "namespaces"
    return parts[-1], parts[-2] if namespaced else None
