"""The Python environment: a heavy one in the cache, keyed by the lock, and a light one in the clone that points at it.

The heavy one (about 6 GB, torch included) is built once per lock and machine; `.venv` takes a second, and makes the
clone's own `operator/` importable.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
import venv
from pathlib import Path

from localcluster.cache import build_once
from localcluster.paths import CLONE, content_key
from localcluster.progress import StepFailed, step
from localcluster.shell import run

VENV = CLONE / ".venv"
_LOCK = CLONE / "requirements" / "dev.txt"
_KEY = VENV / "made-for"
_BOOTSTRAP = "import venv,sys; venv.create(sys.argv[1], with_pip=True)"


def ensure() -> None:
    """Have `.venv` with all that development and tests need."""
    if sys.version_info < (3, 11):  # noqa: UP036 (this is what tells it)
        raise StepFailed(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: set PYTHON=…")
    heavy = _heavy()
    if _KEY.exists() and _KEY.read_text() == str(heavy):
        return
    with step("Python environment .venv"):
        shutil.rmtree(VENV, ignore_errors=True)
        venv.create(VENV, with_pip=False, symlinks=True)
        shared = heavy / "lib" / _lib() / "site-packages"
        (VENV / "lib" / _lib() / "site-packages" / "modelpress-clone.pth").write_text(
            f"{CLONE / 'operator'}\nimport site; site.addsitedir({str(shared)!r})\n"
        )
        for script in sorted((heavy / "bin").iterdir()):
            _adopt(script)
        command = VENV / "bin" / "modelpress"
        command.write_text(
            f"#!{VENV}/bin/python\nimport sys\nfrom modelpress.cli.main import main\n\nsys.exit(main())\n"
        )
        command.chmod(0o755)
        _KEY.write_text(str(heavy))


def envoy() -> Path:
    """Return the Envoy that serving pods have too, out of the environment."""
    ensure()
    return _heavy() / "lib" / _lib() / "site-packages" / "envoy" / "_bin" / "envoy"


def _heavy() -> Path:
    def build(folder: Path, log: Path) -> None:
        run([sys.executable, "-c", _BOOTSTRAP, folder], log)
        uv = next(line.split(" ")[0] for line in _LOCK.read_text().splitlines() if line.startswith("uv=="))
        run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", uv], log)
        run(
            [folder / "bin" / "uv", "pip", "install", "--python", folder / "bin" / "python", "--require-hashes",
             "--compile-bytecode", "--requirements", _LOCK],
            log,
        )  # fmt: skip

    key = content_key(_LOCK, sys.version, sysconfig.get_platform(), str(Path(sys.executable).resolve()))
    return build_once("venv", key, "Python environment (torch and all; 6 GB)", build)


def _lib() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _adopt(script: Path) -> None:
    """Copy a command of the shared environment so that it runs with the clone's Python; link what is no script."""
    target = VENV / "bin" / script.name
    if target.exists() or script.name.lower().startswith(("python", "activate", "pip")):
        return
    content = script.read_bytes()
    first, _, rest = content.partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        target.write_bytes(f"#!{VENV}/bin/python\n".encode() + rest)
        target.chmod(0o755)
    else:
        target.symlink_to(script)
