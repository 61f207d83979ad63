"""What a place in a store holds, as one digest.

Two schemes:

- `sha256:` over content. One file: its sha256, as `sha256sum` prints it. A folder: the sha256 of what
  `sha256sum` prints for all its files, sorted by path, byte by byte: lines of `<hex>  <path>\\n`. To compute it:
  `find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum`.
- `listing-sha256:` over the store's own checksums, for which no byte of content is read: the sha256 of lines
  `<checksum>  <size>  <path>\\n`, sorted likewise; the path of a single file is empty.

The store's checksum is an S3 ETag, a GCS MD5 or an Azure ETag. It stands for content only within one store: the same
bytes, uploaded again in other parts or encrypted anew, may get another one. That costs a compression that was not
needed, and never passes other bytes for the same. An HTTP server's ETag promises nothing of the kind and is not used.
Whoever fetches what a listing digest names compares the listing before and after (`transfer.download`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from modelpress.api.reasons import Reason

from .errors import StoreError, attempt
from .locations import Place

CONTENT, LISTING = "sha256:", "listing-sha256:"
CHUNK = 8 * 1024 * 1024
"""Bytes that are read at once."""
MOST_FILES = 100_000

_CHECKSUM_KEYS = {"s3": "ETag", "gs": "md5Hash", "gcs": "md5Hash", "abfs": "etag", "az": "etag"}


@dataclass(frozen=True)
class Entry:
    """One file of a place."""

    path: str
    """Relative to the place, with slashes; empty if the place is this one file."""
    size: int
    """Bytes."""
    checksum: str | None
    """The store's own, if it stands for content."""


@dataclass(frozen=True)
class Listing:
    """All files of a place, sorted by path."""

    entries: tuple[Entry, ...]

    @property
    def single(self) -> bool:
        """Whether the place is one file."""
        return len(self.entries) == 1 and not self.entries[0].path

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)

    @property
    def digest(self) -> str | None:
        """Listing digest, or None if the store has no checksum for every file."""
        if not all(entry.checksum for entry in self.entries):
            return None
        lines = (f"{entry.checksum}  {entry.size}  {entry.path}\n" for entry in self.entries)
        return LISTING + _hash_of(lines)


def list_place(place: Place, missing: Reason = Reason.SOURCE_NOT_FOUND) -> Listing:
    """Ask the store what is at `place`. Raises StoreError; with `missing` if nothing is there."""
    found = attempt(lambda: _find(place), place.uri, missing)
    entries = []
    for relative, info in found.items():
        if relative:
            check_path(relative, place.uri)
        checksum = info.get(_CHECKSUM_KEYS.get(place.protocol, ""))
        entries.append(Entry(relative, int(info.get("size") or 0), str(checksum).strip('"') if checksum else None))
    if not entries:
        raise StoreError(missing, f"nothing is at {place.uri}: check the URI")
    if len(entries) > MOST_FILES:
        raise StoreError(
            Reason.SOURCE_INVALID,
            f"{place.uri} holds {len(entries)} files, more than {MOST_FILES}: name a folder below",
        )
    return Listing(tuple(sorted(entries, key=lambda entry: entry.path.encode())))


def content_digest(files: Mapping[str, str]) -> str:
    """Return the content digest of `files`: sha256 in hexadecimal by relative path (of a single file: empty)."""
    if set(files) == {""}:
        return CONTENT + files[""]
    lines = (f"{files[path]}  {path}\n" for path in sorted(files, key=str.encode))
    return CONTENT + _hash_of(lines)


def hash_file(path: Path) -> str:
    """Return the sha256 of the file at `path`, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_chunks(place: Place, entry: Entry, missing: Reason = Reason.SOURCE_NOT_FOUND) -> Iterator[bytes]:
    """Yield the content of `entry`, chunk by chunk; a chunk that fails is asked for again. Raises StoreError."""
    path, uri = place.at(entry.path), place.uri
    state: dict[str, Any] = {"file": None}

    def read(position: int) -> bytes:
        file = state["file"]
        if file is None:
            file = state["file"] = place.filesystem.open(path, "rb", **_open_options(place))
            if position:
                file.seek(position)
        try:
            return bytes(file.read(CHUNK))
        except BaseException:
            state["file"] = None
            raise

    position = 0
    while position < entry.size or (position == 0 and entry.size == 0):
        chunk = attempt(lambda start=position: read(start), f"{uri}/{entry.path}".rstrip("/"), missing)  # type: ignore[misc]
        if not chunk:
            break
        position += len(chunk)
        yield chunk
    if position != entry.size and place.protocol not in {"http", "https"}:
        raise StoreError(
            Reason.STORE_UNAVAILABLE, f"{uri}: {entry.path or 'the file'} ended after {position} of {entry.size} bytes"
        )


def hash_place(place: Place, listing: Listing, missing: Reason = Reason.SOURCE_NOT_FOUND) -> str:
    """Read all content of `place` and return its content digest. Holds one chunk in memory. Raises StoreError."""
    files = {}
    for entry in listing.entries:
        content = hashlib.sha256()
        for chunk in read_chunks(place, entry, missing):
            content.update(chunk)
        files[entry.path] = content.hexdigest()
    return content_digest(files)


def check_path(relative: str, uri: str) -> None:
    """Raise StoreError if `relative` would lead out of the folder it is put into."""
    pure = PurePosixPath(relative)
    refused = pure.is_absolute() or ".." in pure.parts or "\\" in relative or "\0" in relative or str(pure) != relative
    if refused or "\n" in relative or len(relative.encode()) > 1024:
        raise StoreError(
            Reason.SOURCE_INVALID, f"{uri} holds a file with an unusable path, {relative[:100]!r}: rename it"
        )


def _find(place: Place) -> dict[str, dict[str, Any]]:
    """Return fsspec's description of every file at `place`, by relative path."""
    filesystem, path = place.filesystem, place.path
    filesystem.invalidate_cache()
    if not place.uri.endswith("/"):
        info = filesystem.info(path)
        if info["type"] == "file":
            return {"": info}
    prefix = path + "/"
    files = filesystem.find(path, detail=True)
    return {
        str(name)[len(prefix) :]: info
        for name, info in files.items()
        if str(name).startswith(prefix) and info["type"] == "file" and not str(name).endswith("/")
    }


def _open_options(place: Place) -> dict[str, Any]:
    """Return options of `open` under which one read is one request, and nothing is kept."""
    return {"cache_type": "none"} if place.protocol in PLAIN_READERS else {}


PLAIN_READERS = frozenset({"s3", "gs", "gcs", "abfs", "az"})


def _hash_of(lines: Iterable[str]) -> str:
    """Return the sha256 of `lines`, in hexadecimal."""
    whole = hashlib.sha256()
    for line in lines:
        whole.update(line.encode())
    return whole.hexdigest()
