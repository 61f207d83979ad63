"""Artifacts in a store: read by the agent and by later evaluations, written by publish."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from modelpress.api.base import Digest
from modelpress.api.reasons import Reason
from modelpress.api.tasks import Location

from .digests import CONTENT, Entry
from .errors import StoreError
from .locations import Place, open_place
from .manifest import ASSETS, FILE_NAME, LARGEST, ONNX, ORIGINAL, Manifest, ManifestFile, digest_of, encode, parse
from .transfer import fetch_files, get_bytes, put_bytes, upload

REFERENCE, REPORT = "reference", "report"
SERVING = (ONNX, REFERENCE, ASSETS)
"""Parts that a server needs."""


def fetch(location: Location, manifest_digest: Digest, into: Path, wanted: Collection[str] = SERVING) -> Manifest:
    """Bring parts of the artifact at `location` into the folder `into` and return its manifest.

    Files keep their paths in the artifact. `wanted` names variants (`onnx`), or `original`, `reference`, `report`,
    `assets`. Every file is checked against the manifest, and the manifest against `manifest_digest`, whatever the store
    says. Raises StoreError: ArtifactChanged (missing or other content), or whatever the store answers.
    """
    place = open_place(location)
    content = get_bytes(place, FILE_NAME, LARGEST, Reason.ARTIFACT_CHANGED)
    manifest = parse(content, manifest_digest, location.uri)
    files = [file for part in wanted for file in _part(manifest, part, location.uri)]
    targets = {Entry(file.path, file.size, None): into / file.path for file in files}
    try:
        digests = fetch_files(place, targets, Reason.ARTIFACT_CHANGED)
    except StoreError as error:
        raise _as_change(error, place, files) from error
    for file in files:
        if CONTENT + digests[file.path] != file.digest:
            (into / file.path).unlink()
            raise StoreError(
                Reason.ARTIFACT_CHANGED,
                f"{file.path} at {location.uri} is not what was accepted: restore it, or set retryToken",
            )
    return manifest


def publish(files: dict[str, Path], manifest: Manifest, location: Location) -> Digest:
    """Put `files` (by path in the artifact) and then the manifest at `location`; return the manifest's digest."""
    place = open_place(location)
    upload(files, place)
    content = encode(manifest)
    put_bytes(content, FILE_NAME, place)
    return digest_of(content)


def _part(manifest: Manifest, part: str, uri: str) -> tuple[ManifestFile, ...]:
    """Return the files of one wanted part."""
    single = {REFERENCE: manifest.reference, REPORT: manifest.report}
    if part in single:
        files = tuple(file for file in manifest.files if file.path == single[part])
    elif part == ASSETS:
        return tuple(file for file in manifest.files if file.path in manifest.assets)
    else:
        folder = manifest.original if part == ORIGINAL else manifest.variants.get(part)
        files = manifest.below(folder) if folder else ()
    if not files:
        raise StoreError(
            Reason.ARTIFACT_CHANGED, f"the artifact at {uri} has no {part}: compress again with retryToken"
        )
    return files


def _as_change(error: StoreError, place: Place, files: list[ManifestFile]) -> StoreError:
    """Tell a file that got shorter or longer, a change, from a store that stopped in the middle."""
    if error.reason is not Reason.STORE_UNAVAILABLE:
        return error
    for file in files:
        try:
            size = int(place.filesystem.info(place.at(file.path))["size"])
        except Exception:  # the store is away: the first error stands
            return error
        if size != file.size:
            return StoreError(
                Reason.ARTIFACT_CHANGED,
                f"{file.path} at {place.uri} has {size} bytes, not {file.size}: compress again with retryToken",
            )
    return error
