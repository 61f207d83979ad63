"""What all rows share: results, bytes that count, sessions, interleaved times, the machine."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from modelpress.compress import graph
from modelpress.compress.judge.environment import describe_environment

BLOCKS = 40
"""Interleaved blocks of every latency; 30 are demanded."""
WARM_UP = 3


@dataclass
class Contestant:
    """What one tool made of the job, in figures."""

    name: str
    figures: dict[str, float | str]
    ours: bool = False


@dataclass
class Row:
    """One row of the table, measured in one run."""

    name: str
    title: str
    reach: str
    """What is to be reached, in words."""
    beyond: str
    contestants: list[Contestant]
    reached: bool
    """Whether the bounds of our figures reach it."""
    surpassed: bool
    """Whether they reach what is beyond."""
    remarks: list[str] = field(default_factory=list)
    """What a reader must know, in sentences."""
    machine: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    smoke: bool = False
    """Whether this was the smallest size, whose figures say nothing."""


@dataclass(frozen=True)
class Job:
    """What a row is measured with."""

    work: Path
    """Folder for what may be lost, and for what a run that was killed need not repeat."""
    smoke: bool = False
    """The smallest size: whether the harness works, not what comes out."""
    competitors: Path | None = None
    """Python of the competitors' environment; None: only what our own environment holds takes part."""
    only: tuple[str, ...] = ()
    """Of a row with many examples, those that are measured; none named: all."""

    @property
    def blocks(self) -> int:
        """Blocks of each latency."""
        return 3 if self.smoke else BLOCKS


def bytes_of(path: Path) -> int:
    """Return the bytes of every file that Triton must load for the ONNX file at `path`."""
    return sum(file.stat().st_size for file in graph.files_of(path))


def baseline_bytes(original: Path, source: Path) -> int:
    """Return the smaller of the source's weights and the stripped export."""
    return min(bytes_of(original), sum(file.stat().st_size for file in source.glob("*.safetensors")))


def digest(path: Path) -> str:
    """Return the digest that a checkpoint is frozen by."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def session(path: Path) -> Any:
    """Return a session of one thread; every contestant has the same options."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def interleave(calls: Mapping[str, Callable[[], object]], blocks: int, in_turn: int = 1) -> dict[str, NDArray[Any]]:
    """Return the seconds of each call, [blocks, 2]: in every block all in order, then all in reverse (ABBA).

    The order begins one further in each block, so that nobody always comes first. With several calls `in_turn` it is
    the median of those: the first finds the caches full of another's weights, the others as a busy server finds them.
    """
    names = list(calls)
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    found = {name: np.empty((blocks, 2)) for name in names}
    for block in range(blocks):
        turn = block % len(names)
        order = names[turn:] + names[:turn]
        for round_, sequence in enumerate((order, order[::-1])):
            for name in sequence:
                found[name][block, round_] = np.median([_timed(calls[name]) for _ in range(in_turn)])
    return found


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def milliseconds(seconds: NDArray[Any]) -> float:
    """Return the median in ms."""
    return float(np.median(seconds)) * 1000


def machine() -> dict[str, str]:
    """Return what was measured on: the processor with all of its flags, versions, how busy it was."""
    info = dict(describe_environment(1))
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    flags = next((line.partition(":")[2].strip() for line in lines if line.startswith("flags")), "")
    return info | {"flags": flags, "load": " ".join(f"{value:.1f}" for value in os.getloadavg())}
