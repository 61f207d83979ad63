"""Real Triton from PyPI, in an environment of its own in the user's cache, made once for each lock file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
LOCK = _ROOT / "requirements" / "triton.txt"
WRAPPER = Path(__file__).with_name("tritonserver.sh")


@dataclass(frozen=True)
class TritonServer:
    """An environment that holds Triton."""

    environment: Path
    """The virtual environment."""

    def variables(self, programs: Path) -> dict[str, str]:
        """Return the environment in which `tritonserver` runs; its link is put into the folder `programs`."""
        programs.mkdir(parents=True, exist_ok=True)
        link = programs / "tritonserver"
        if not link.exists():
            link.symlink_to(WRAPPER)
        return {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(self.environment),
            "PYTHON_LIBRARY_FOLDER": str(python_library_folder()),
        }


def python_library_folder() -> Path:
    """Return where this interpreter's libpython lies: its own prefix, or the system's folder."""
    name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
    candidates = [sysconfig.get_config_var("LIBDIR") or "", f"{sys.base_prefix}/lib", "/usr/lib/x86_64-linux-gnu"]
    for folder in map(Path, candidates):
        if (folder / name).exists():
            return folder
    raise FileNotFoundError(f"{name} is not there: install Debian's libpython3.11")


def installed() -> TritonServer:
    """Return Triton's environment; make it if it is not in the cache (about 400 MB, a minute)."""
    key = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelpress"
    cache.mkdir(parents=True, exist_ok=True)
    environment = cache / f"triton-{key}"
    done = environment / ".complete"
    with (cache / f"triton-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(environment, ignore_errors=True)
            base = str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")
            subprocess.run([base, "-m", "venv", str(environment)], check=True)
            install = [
                str(environment / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "-q",
                "--require-hashes",
                "-r",
                str(LOCK),
            ]
            subprocess.run(install, check=True)
            done.touch()
    return TritonServer(environment)
