"""Kopf, and all we ask of it: to log in, to watch, and to hand each event to our store.

`on.event` handlers only, nothing stored on anybody's object: no finalizers, no annotations, no Events of kopf's own.
Errors are our queue's business, since a handler here does no more than put an object away and a key into the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import kopf
from kopf._cogs.clients import watching

from modelpress.api.names import MODEL_LABEL
from modelpress.control import lists
from modelpress.control.health import Health
from modelpress.control.kinds import WATCHED, Kind, kind_by_plural
from modelpress.control.objects import Key, Objects
from modelpress.control.plan import Manifest
from modelpress.control.sender import load_configuration
from modelpress.control.settings import Settings

OnChange = Callable[[Collection[Key]], None]
"""Takes the keys that something has changed for."""


class NullProgressStorage(kopf.ProgressStorage):
    """Stores nothing: there are no handlers whose progress would matter."""

    def fetch(self, **_: Any) -> None:
        """Return that nothing is known."""

    def store(self, **_: Any) -> None:
        """Do nothing."""

    def purge(self, **_: Any) -> None:
        """Do nothing."""

    def touch(self, **_: Any) -> None:
        """Do nothing."""

    def clear(self, *, essence: Any) -> Any:
        """Return `essence` as it is, uncopied."""
        return essence


class NullDiffBaseStorage(kopf.DiffBaseStorage):
    """Stores nothing and compares nothing: plans are made from states, not from changes."""

    def build(self, **_: Any) -> Any:
        """Return an empty essence, which costs nothing to compare."""
        return {}

    def fetch(self, **_: Any) -> None:
        """Return that nothing is known."""

    def store(self, **_: Any) -> None:
        """Do nothing."""


def make_registry(
    objects: Objects, on_change: OnChange, kubeconfig: str, kinds: Collection[Kind] = WATCHED
) -> kopf.OperatorRegistry:
    """Return the handlers: one for each kind, and the login."""
    registry = kopf.OperatorRegistry()

    async def on_event(event: Any, **_: Any) -> None:
        """Put the object away, and have a round made on its model."""
        manifest: Manifest = event["object"]
        on_change(objects.drop(manifest) if event["type"] == "DELETED" else objects.put(manifest))

    for kind in kinds:
        kopf.on.event(kind.group, kind.version, kind.plural, id=f"see-{kind.plural}", registry=registry)(on_event)

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return await connection(kubeconfig)

    return registry


async def connection(kubeconfig: str) -> kopf.ConnectionInfo:
    """Return how to reach the API server, loaded as the sender does.

    kopf asks again when the server says 401.
    """
    loaded = await load_configuration(kubeconfig)
    header = await loaded.get_api_key_with_prefix("BearerToken", alias="authorization") or ""
    scheme, _, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=loaded.host,
        ca_path=loaded.ssl_ca_cert,
        insecure=not loaded.verify_ssl,
        username=loaded.username or None,
        password=loaded.password or None,
        scheme=scheme or None,
        token=token or None,
        certificate_path=loaded.cert_file,
        private_key_path=loaded.key_file,
    )


def make_settings(settings: Settings, kinds: Collection[Kind] = WATCHED) -> kopf.OperatorSettings:
    """Return kopf's settings.

    Watches end after a while by the server's hand; one that hangs is replaced a little later.
    """
    theirs = kopf.OperatorSettings()
    theirs.persistence.progress_storage = NullProgressStorage()
    theirs.persistence.diffbase_storage = NullDiffBaseStorage()
    theirs.posting.enabled = False
    theirs.scanning.disabled = True
    theirs.peering.standalone = True
    theirs.queueing.idle_timeout = 1.0
    theirs.process.ultimate_exiting_timeout = None
    theirs.networking.request_timeout = 60.0
    theirs.networking.connect_timeout = settings.request_timeout
    theirs.watching.server_timeout = int(settings.watch_timeout)
    theirs.watching.inactivity_timeout = settings.watch_timeout + 10.0
    theirs.watching.client_timeout = settings.watch_timeout + 15.0
    theirs.watching.connect_timeout = settings.request_timeout
    for kind in kinds:
        if kind.selected:
            theirs.watching.label_selectors[kind.group, kind.version, kind.plural] = MODEL_LABEL
    return theirs


@contextmanager
def watched_closely(objects: Objects, health: Health, on_change: OnChange) -> Iterator[None]:
    """Have each LIST replace the store, and each sign of life noted, inside this context.

    Raises UntestedKopfError.
    """

    def on_list(group: str, plural: str, scope: str | None, manifests: list[Manifest], at: int) -> None:
        kind = kind_by_plural(group, plural)
        if kind is not None:
            on_change(objects.replace(kind, scope, manifests, at))

    with lists.grafted(watching, version("kopf"), on_list, health.sign):
        yield
