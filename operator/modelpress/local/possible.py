"""What could be done to a model, as far as its format and the shapes of its weights tell."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from modelpress.api.source import SourceFormat
from modelpress.api.stages.quantize import FP8_REFUSED, QuantizePreset
from modelpress.compress.formats import FORMATS
from modelpress.compress.models import Medium
from modelpress.compress.stages import STAGES

Shape = tuple[int, ...]
Weight = tuple[str, Shape]
"""Its name within a block, and its shape."""

DENSE_AND_SUCH = ("dense", "convolution", "table", "recurrent")
ALREADY = "its weights are quantized already: take the original"
NOTHING = "no layer has weights that it knows"
CALIBRATED = frozenset({"INT8"})
"""Presets that find ranges of activations ahead of time, and so need data."""
NEEDS: Mapping[str, str] = MappingProxyType(
    {
        "distill": "; needs training data",
        "finetune": "; needs training data and an objective",
    }
)
NO_BLOCKS = "no list among its weights has blocks that are alike"
NAMED = 2
"""Most lists of blocks that are named."""
NUMBERED = re.compile(r"(?:^|\.)(\d+)\.")


@dataclass(frozen=True)
class Possibility:
    """One stage or preset."""

    name: str
    applies: bool
    why: str


def possibilities(
    source: SourceFormat, kinds: Counter[str], *, quantized: bool = False, blocks: Mapping[str, int] | None = None
) -> tuple[Possibility, ...]:
    """Return each stage and each preset, and whether it applies.

    `kinds` counts layers by family; `blocks`: how many are alike in each list of blocks, None where nothing tells.
    """
    medium = FORMATS[source][0]
    total = sum(kinds.values())
    refused = ALREADY if quantized else "" if total else NOTHING
    found = []
    for kind, table in STAGES.items():
        able = medium in table or (medium is Medium.MODULE and Medium.GRAPH in table)
        why = "" if able else "works on a torch module: take the model in format torch"
        if able and kind == "quantize":
            able, why = not refused, refused or "comes last"
        elif able and kind == "cut" and blocks is not None:
            able, why = bool(blocks), f"before quantize; blocks: {_listed(blocks)}" if blocks else NO_BLOCKS
        elif able and Medium.MODULE in table and medium is Medium.MODULE:
            why = f"before quantize{NEEDS.get(kind, '')}"
        found.append(Possibility(kind, able, why))
    counted = ", ".join(f"{kinds[kind]} {kind}" for kind in DENSE_AND_SUCH if kinds[kind])
    for preset in QuantizePreset:
        why = f"on {counted} layers"
        if preset in CALIBRATED:
            why += "; needs calibration data"
        elif preset == QuantizePreset.INT8_DYNAMIC and kinds["convolution"] and not kinds["dense"]:
            why += "; convolutions would still compute in float"
        if preset is QuantizePreset.FP8_DYNAMIC:
            found.append(Possibility(f"quantize {preset}", False, ALREADY if quantized else FP8_REFUSED))
        else:
            found.append(Possibility(f"quantize {preset}", not refused, refused or why))
    return tuple(found)


def blocks_of(shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Return the outermost lists of which several members have weights alike, by name, with how many are alike."""
    members: dict[str, dict[str, set[Weight]]] = defaultdict(lambda: defaultdict(set))
    for name, shape in shapes.items():
        for number in NUMBERED.finditer(name):
            if number.start(1):
                members[name[: number.start(1) - 1]][number[1]].add((name[number.end(1) :], shape))
    alike = {name: sum(_alike(found.values())) for name, found in members.items()}
    several = [name for name, count in alike.items() if count > 1]
    return {name: alike[name] for name in several if not _within(name, several)}


def _alike(members: Collection[set[Weight]]) -> list[bool]:
    """Return for each member whether others have more than half of its weights: a first block often has one more."""
    counts = Counter(weight for weights in members for weight in weights)
    return [sum(counts[weight] > 1 for weight in weights) > len(weights) / 2 for weights in members]


def _within(name: str, others: Collection[str]) -> bool:
    return any(name.startswith(f"{other}.") for other in others)


def _listed(blocks: Mapping[str, int]) -> str:
    named = [f"{name} ({count} alike)" for name, count in blocks.items()]
    more = [f"{len(named) - NAMED} more"] if len(named) > NAMED else []
    return ", ".join([*named[:NAMED], *more])
