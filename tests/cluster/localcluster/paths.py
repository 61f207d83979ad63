"""Where everything lies: the clone, its state, what clones share, and the short folder for sockets.

- `STATE` (`.cluster/` in the clone): what this cluster holds; gone with `make cluster-delete`.
- `RUN` (`/run/modelpress-<hash of the clone's path>`): sockets, pids and mounts; gone with `make cluster-down`. It is
  short because a Unix socket's path may have 107 bytes only, and under `/run` because nothing in it outlives a boot.
- `CACHE` (the user's cache folder): binaries, base images, virtual environments, keyed by content and shared by clones.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

CLONE = Path(__file__).resolve().parents[3]
HERE = CLONE / "tests" / "cluster"
STATE = CLONE / ".cluster"
LOGS = STATE / "logs"
KUBECONFIG = STATE / "kubeconfig"
AUDIT_LOG = STATE / "audit.log"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelpress"
RUN_PARENT = Path("/run")
RUN_PREFIX = "modelpress-"


def content_key(*parts: str | bytes | Path) -> str:
    """Return 12 hex digits that change with any of the parts; a path stands for its content, a folder for its tree."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            files = sorted(p for p in part.rglob("*") if _counts(p)) if part.is_dir() else [part]
            for file in files:
                digest.update(f"\0{file.relative_to(part) if part.is_dir() else file.name}\0".encode())
                digest.update(file.read_bytes())
        else:
            digest.update(b"\0" + (part.encode() if isinstance(part, str) else part))
    return digest.hexdigest()[:12]


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"


def run_folder(clone: Path) -> Path:
    """Return the folder of sockets, pids and mounts of the cluster that belongs to `clone`."""
    return RUN_PARENT / f"{RUN_PREFIX}{content_key(str(clone))[:8]}"


RUN = run_folder(CLONE)
