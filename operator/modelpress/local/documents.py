"""The YAML file of a command: a whole CompressedModel, or its `spec` alone."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from modelpress.api.base import API_VERSION

from .asked_error import AskedError


def read(path: Path) -> dict[str, Any]:
    """Return the one document that is meant. Raises AskedError."""
    if not path.is_file():
        raise AskedError(f"{path} is {'a folder: name the file in it' if path.is_dir() else 'not there'}.")
    try:
        text = path.read_text(encoding="utf-8")
        found = [item for item in yaml.load_all(text, _Loader) if item is not None]  # a SafeLoader
    except UnicodeDecodeError as error:
        raise AskedError(f"{path} is not in UTF-8 (byte {error.start}): save it so.") from error
    except OSError as error:
        raise AskedError(f"{path} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise AskedError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    models = [item for item in found if isinstance(item, dict) and item.get("kind") == "CompressedModel"]
    if len(models) > 1:
        names = ", ".join(map(given_name, models))
        raise AskedError(f"{path} holds several models ({names}): put the one to compress into a file of its own.")
    chosen = models or found
    if len(chosen) != 1 or not isinstance(chosen[0], dict):
        raise AskedError(f"{path} holds no CompressedModel and no spec: docs/local.md shows both.")
    document = chosen[0]
    if "kind" in document and document["kind"] != "CompressedModel":
        raise AskedError(f"{path} holds a {document['kind']}, not a CompressedModel.")
    if document.get("apiVersion", API_VERSION) != API_VERSION:
        raise AskedError(f"{path} has apiVersion {document['apiVersion']}; this modelpress knows {API_VERSION}.")
    return document


def given_name(document: dict[str, Any]) -> str:
    """Return the name in a document's metadata, nothing if there is none."""
    metadata = document.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""


class _Loader(yaml.SafeLoader):
    """Refuses a mapping in which a key stands twice: one of the two would be lost without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping. Raises yaml.YAMLError."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1 and key != "<<"), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice} stands twice in a mapping", node.start_mark)
        return super().construct_mapping(node, deep)
