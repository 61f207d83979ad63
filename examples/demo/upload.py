"""`make upload FROM=folder`: put a model of yours, and its data, where the demo's cluster fetches them.

Below the folder lies `source/`, and `data/` if there is any; `models/` and `data/` are the buckets they go to.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import stores
from rich.console import Console


def main() -> int:
    """Upload; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--name", default="", help="what it is called in the store; as the folder is, if not given")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    folder: Path = arguments.folder.resolve()
    if not any(path.is_file() for path in (folder / "source").rglob("*")):
        console.print(f"[red]{folder} has no folder source/ with the model's files: put them there.[/red]")
        return 1
    name = arguments.name or folder.name
    try:
        store = stores.find(arguments.kubeconfig)
    except stores.StoreNotFoundError as problem:
        console.print(f"[red]{problem}[/red]")
        return 1
    store.upload(folder, name)
    console.print(f"source.uri: {store.models}/{name}/ with secretName: models-read")
    for file in sorted(path for path in (folder / "data").rglob("*") if path.is_file()):
        console.print(f"data at     {store.data}/{name}/{file.relative_to(folder / 'data')}")
    console.print("next: kubectl apply --namespace demo -f <your model.yaml>")
    return 0


if __name__ == "__main__":
    sys.exit(main())
