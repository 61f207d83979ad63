"""What figures were measured on: latency, and the last digits of answers, depend on it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("numpy", "onnx", "onnxruntime", "torchmetrics")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
"""Processor features that quantized kernels are chosen by."""


def describe_environment(threads: int) -> dict[str, str]:
    """Return processor, threads and versions, by name."""
    info = _processor()
    flags = set(info.get("flags", info.get("Features", "")).split())
    return {
        "processor": info.get("model name", platform.machine()),
        "instructions": " ".join(name for name in INSTRUCTIONS if name in flags),
        "processors": str(os.cpu_count() or 1),
        "threads": str(threads),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def _processor() -> dict[str, str]:
    """Return the first processor's lines of /proc/cpuinfo; nothing where there is no such file."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n", maxsplit=1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
