"""The key of Triton's restricted APIs: made once in the life of a pod, readable by the pod's own user alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

KEY_BYTES = 32


def ensure(path: Path) -> str:
    """Return the key in `path`; make one if there is none.

    An agent that restarts beside a running Triton must find the key that Triton was started with. The file appears with
    its content or not at all.
    """
    if not path.exists():
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        beside.touch(mode=0o600, exist_ok=False)
        beside.write_text(secrets.token_urlsafe(KEY_BYTES), encoding="ascii")
        beside.rename(path)
    return path.read_text(encoding="ascii").strip()
