"""Memory that serving a model takes: a process of its own loads it and answers one request.

python -m modelpress.compress.judge.memory <model.onnx> <request.npz> <threads>     prints the bytes
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
from numpy.typing import NDArray

from modelpress.store.report import Memory

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What makes Linux begin the count of the greatest memory anew (proc(5))."""
SECONDS = 120.0
"""After this long without an answer memory is not told."""


def measure(original: Path, result: Path, feeds: dict[str, NDArray[Any]], threads: int) -> Memory | None:
    """Return what both take, None if a process does not answer: what else was measured holds without it."""
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder) / "request.npz"
        numpy.savez(request, **feeds)  # type: ignore[arg-type]  # names are the model's own
        found = [_ask(path, request, threads) for path in (original, result)]
    before, after = found
    return None if before is None or after is None else Memory(original=before, compressed=after)


def _ask(path: Path, request: Path, threads: int) -> int | None:
    command = [sys.executable, "-m", __name__, str(path), str(request), str(threads)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
        return int(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        return None


def taken(path: Path, feeds: dict[str, NDArray[Any]], threads: int) -> int:
    """Return by how many bytes this process's greatest memory grew while it loaded `path` and answered `feeds`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    before = _begin()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    session.run(None, feeds)
    return max(_peak() - before, 0)


def _begin() -> int:
    """Forget what imports took at their greatest, where the system can, and return what is taken now."""
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text(RESET_PEAK)
    return _peak()


def _peak() -> int:
    if STATUS.is_file():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    with numpy.load(sys.argv[2]) as opened:
        arrays = {name: opened[name] for name in opened.files}
    sys.stdout.write(str(taken(Path(sys.argv[1]), arrays, int(sys.argv[3]))))
