"""reference.npz: test inputs and the answers that the judge got from the model; every serving pod must reproduce them.

The samples are asked one at a time: where activations are quantized dynamically, an answer depends on what else is in
its batch.

Members: `input:<name>` and `output:<name>` (first axis: the samples, for a model with a batch axis; else one request),
`relative_tolerance` and `absolute_tolerance` (scalars). Nothing in it is pickled, and nothing pickled is read.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

FILE_NAME = "reference.npz"
INPUT, OUTPUT = "input:", "output:"
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = "relative_tolerance", "absolute_tolerance"

Array = NDArray[Any]


@dataclass(frozen=True)
class Reference:
    """Inputs, the answers to them, and how far off an answer may be: absolute + relative * |expected value|."""

    inputs: dict[str, Array]
    """By the model's input names."""
    outputs: dict[str, Array]
    """By the model's output names."""
    relative_tolerance: float = 1e-2
    """Part of each expected value. One per cent: quantized kernels differ between processors."""
    absolute_tolerance: float = 1e-2
    """In the output's own unit; the judge sets it from the range of the outputs."""


def write(reference: Reference, path: Path) -> None:
    """Write `reference` to `path`."""
    members: dict[str, Any] = {INPUT + name: array for name, array in reference.inputs.items()}
    members |= {OUTPUT + name: array for name, array in reference.outputs.items()}
    members[RELATIVE_TOLERANCE] = numpy.float64(reference.relative_tolerance)
    members[ABSOLUTE_TOLERANCE] = numpy.float64(reference.absolute_tolerance)
    with path.open("wb") as file:
        numpy.savez(file, **members)


def read(path: Path) -> Reference:
    """Return what `path` holds. Raises ValueError if it is no such file."""
    try:
        with numpy.load(path, allow_pickle=False) as file:
            members = {name: file[name] for name in file.files}
        return Reference(
            inputs={name.removeprefix(INPUT): array for name, array in members.items() if name.startswith(INPUT)},
            outputs={name.removeprefix(OUTPUT): array for name, array in members.items() if name.startswith(OUTPUT)},
            relative_tolerance=float(members[RELATIVE_TOLERANCE]),
            absolute_tolerance=float(members[ABSOLUTE_TOLERANCE]),
        )
    except (OSError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name} holds no reference answers: {error}") from error


def differences(reference: Reference, answers: dict[str, Array]) -> str | None:
    """Say in one clause where `answers` (by output name) are off by more than the tolerances; None if nowhere."""
    for name, expected in reference.outputs.items():
        given = answers.get(name)
        if given is None:
            return f"output {name!r} is missing"
        if given.shape != expected.shape:
            return f"output {name!r} has shape {list(given.shape)}, expected {list(expected.shape)}"
        if not numpy.issubdtype(expected.dtype, numpy.number):
            wrong = given != expected
        else:
            wrong = ~numpy.isclose(
                given, expected, rtol=reference.relative_tolerance, atol=reference.absolute_tolerance, equal_nan=True
            )
        if wrong.any():
            position = tuple(int(index) for index in numpy.argwhere(wrong)[0])
            return (
                f"output {name!r} differs in {int(wrong.sum())} of {wrong.size} values, first at {list(position)}: "
                f"{given[position]}, expected {expected[position]}"
            )
    return None
