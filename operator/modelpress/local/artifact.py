"""An artifact that was made before, here or in a cluster: its manifest and its small files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from modelpress.api.reasons import Reason
from modelpress.api.tasks import Location
from modelpress.compress import page
from modelpress.compress.facts import CompressionFacts
from modelpress.store.errors import StoreError
from modelpress.store.locations import Place, open_place
from modelpress.store.manifest import COMPRESSION_FILE, FILE_NAME, LARGEST, Manifest, digest_of, parse
from modelpress.store.report import Report
from modelpress.store.transfer import get_bytes

from .asked_error import AskedError
from .places import SCHEME
from .steps import surroundings


@dataclass(frozen=True)
class Artifact:
    """One artifact in a folder or a store."""

    place: Place
    manifest: Manifest
    digest: str
    """Of the manifest."""

    @property
    def uri(self) -> str:
        """Its folder's URL."""
        return self.place.uri

    @property
    def name(self) -> str:
        """The name of its model: without the hash at the end of the artifact's own."""
        return self.manifest.artifact.rpartition("-")[0] or self.manifest.artifact

    def report(self) -> Report:
        """Return the judge's report. Raises AskedError if it is none, or StoreError."""
        content = get_bytes(self.place, self.manifest.report, LARGEST, Reason.ARTIFACT_CHANGED)
        return read_report(content, f"{self.uri}/{self.manifest.report}")

    def facts(self, scratch: Path) -> CompressionFacts | None:
        """Return what the stages did, None where nothing says so; `scratch` is a folder to read it through."""
        if not any(file.path == COMPRESSION_FILE for file in self.manifest.files):
            return None
        copy = scratch / COMPRESSION_FILE
        copy.write_bytes(get_bytes(self.place, COMPRESSION_FILE, LARGEST, Reason.ARTIFACT_CHANGED))
        return page.facts_at(copy)


def open_artifact(where: str) -> Artifact:
    """Return the artifact in the folder or at the URL `where`. Raises AskedError if none is there, or StoreError."""
    uri = where if SCHEME.match(where) else f"file://{Path(where).expanduser().resolve()}"
    os.environ.update(surroundings())
    place = open_place(Location(uri=uri))
    try:
        content = get_bytes(place, FILE_NAME, LARGEST, Reason.SOURCE_NOT_FOUND)
        digest = digest_of(content)
        return Artifact(place, parse(content, digest, uri), digest)
    except StoreError as error:
        if error.reason is not Reason.SOURCE_NOT_FOUND:
            raise
        raise AskedError(f"{where} holds no artifact ({FILE_NAME}): name the folder that compress wrote.") from error


def read_report(content: bytes, where: str) -> Report:
    """Return the report in `content`. Raises AskedError."""
    try:
        return Report.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        said = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise AskedError(f"{where} is no report that this modelpress reads ({said}).") from error
