"""`modelpress inspect`: what is in a model, and what could be done to it. Runs nobody's code, loads no weights."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto
from safetensors import SafetensorError, safe_open

from modelpress.api.reasons import Reason
from modelpress.api.source import SourceFormat
from modelpress.api.stages.quantize import FP8_REFUSED, QuantizePreset
from modelpress.compress.errors import Judged
from modelpress.compress.formats import FORMATS, onnx_source
from modelpress.compress.formats.files import refuse_hollow, single
from modelpress.compress.formats.weights import PICKLES
from modelpress.compress.judge.layers import FAMILIES, layers_of
from modelpress.compress.models import Medium
from modelpress.compress.stages import STAGES
from modelpress.compress.stages.quantize.stage import CODES
from modelpress.store.manifest import FILE_NAME

from .asking import AskedError

DENSE_AND_SUCH = ("dense", "convolution", "table", "recurrent")
ALREADY = "its weights are quantized already: take the original"
CALIBRATED = frozenset({"INT8"})
"""Presets that find ranges of activations ahead of time, and so need data."""


@dataclass(frozen=True)
class LayerLine:
    """One layer."""

    name: str
    operator: str
    parameters: int
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Possibility:
    """One stage or preset."""

    name: str
    applies: bool
    why: str


@dataclass(frozen=True)
class Inspection:
    """What is in a model."""

    path: Path
    format: str
    files: tuple[tuple[str, int], ...]
    """Name and bytes of each file of the model."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[tuple[str, int], ...]
    """Operators of the graph and how often each is in it, the most frequent first; empty where there is no graph."""
    layers: tuple[LayerLine, ...]
    possibilities: tuple[Possibility, ...]
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Elements of all weights."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files)

    def to_wire(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "path": str(self.path),
            "format": self.format,
            "bytes": self.size,
            "parameters": self.parameters,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "operators": dict(self.operators),
            "layers": [vars(layer) for layer in self.layers],
            "possibilities": [vars(one) for one in self.possibilities],
            "notes": list(self.notes),
        }


def inspect(path: Path) -> Inspection:
    """Return what is in the model at `path`: a file, a folder, or an artifact. Raises AskedError, Judged."""
    if not path.exists():
        raise AskedError(f"{path} is not there.")
    if (path / FILE_NAME).is_file():
        path = path / "onnx"
    names = sorted(item.name for item in path.iterdir()) if path.is_dir() else [path.name]
    if any(name.endswith(".onnx") for name in names):
        file = single(path, onnx_source.FILE)
        refuse_hollow(file)
        return _graph(file)
    tensors = [name for name in names if name.endswith(".safetensors")]
    if tensors:
        folder = path if path.is_dir() else path.parent
        for name in tensors:
            refuse_hollow(folder / name)
        known = "transformers" if "config.json" in names else str(SourceFormat.TORCH)
        return _weights(folder, tensors, known)
    pickles = [name for name in names if Path(name).suffix in PICKLES]
    if pickles:
        raise Judged(
            Reason.PICKLE_REFUSED,
            f"{pickles[0]} is a pickle, which runs code when it is read: save its weights with "
            "safetensors.torch.save_file where you trust it.",
        )
    if any(name.endswith(".pt2") for name in names):
        raise AskedError(f"{path} holds a program of torch.export, whose layers no header tells: compress --dry-run.")
    raise AskedError(f"{path} holds no model that is known here: .onnx or .safetensors files.")


def _graph(path: Path) -> Inspection:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's exceptions depend on its implementation
        text = " ".join(str(error).split())[:200]
        raise Judged(Reason.SOURCE_INVALID, f"{path.name} is no valid ONNX model: {text}.") from error
    weights = {tensor.name for tensor in model.graph.initializer}
    external = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    missing = sorted(name for name in external if not (path.parent / name).is_file())
    if missing:
        raise Judged(Reason.SOURCE_INVALID, f"{path.name} keeps weights in {missing[0]}, which is not beside it.")
    layers = layers_of(path, values=False)
    opsets = ", ".join(f"{item.domain or 'onnx'} {item.version}" for item in model.opset_import)
    return Inspection(
        path,
        str(SourceFormat.ONNX),
        tuple((name, (path.parent / name).stat().st_size) for name in (path.name, *sorted(external))),
        tuple(_value(value) for value in model.graph.input if value.name not in weights),
        tuple(_value(value) for value in model.graph.output),
        tuple(Counter(node.op_type for node in model.graph.node).most_common()),
        tuple(LayerLine(layer.name, layer.operator, layer.count, layer.size) for layer in layers),
        _possibilities(
            SourceFormat.ONNX,
            Counter(FAMILIES[layer.operator] for layer in layers),
            quantized=any(item.data_type in CODES and len(item.dims) > 1 for item in model.graph.initializer),
        ),
        (f"IR {model.ir_version}, operator sets: {opsets}",),
    )


def _weights(folder: Path, names: list[str], known: str) -> Inspection:
    layers: dict[str, LayerLine] = {}
    kinds: Counter[str] = Counter()
    for name in names:
        for tensor, shape, size in _tensors(folder / name):
            layer = tensor.rpartition(".")[0] or tensor
            elements = _product(shape)
            before = layers.get(layer, LayerLine(layer, "", 0, 0))
            operator = before.operator or _guess(shape)
            layers[layer] = LayerLine(layer, operator, before.parameters + elements, before.size + size)
    kinds.update(line.operator for line in layers.values() if line.operator)
    notes = ["What computes with the weights is said by code, which is not run here."]
    configuration = folder / "config.json"
    if configuration.is_file():
        architectures = _architectures(configuration)
        notes = [f"transformers: {architectures}"] if architectures else notes
    source = next((one for one in SourceFormat if str(one) == known), None)
    possible = _possibilities(source, kinds) if source else ()
    if source is None:
        notes.append(f"This modelpress does not know format {known}.")
    files = tuple((name, (folder / name).stat().st_size) for name in names)
    return Inspection(folder, known, files, (), (), (), tuple(layers.values()), possible, tuple(notes))


def _tensors(path: Path) -> list[tuple[str, tuple[int, ...], int]]:
    """Return name, shape and bytes of each tensor, by the file's header alone. Raises Judged."""
    try:
        with safe_open(path, framework="np") as opened:
            names = list(opened.keys())
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (SafetensorError, OSError, ValueError) as error:
        text = " ".join(str(error).split())
        raise Judged(
            Reason.SOURCE_INVALID, f"{path.name} cannot be read ({text}): bring it again, it may be truncated."
        ) from error
    found = [(name, header[name]) for name in names]
    return [(name, tuple(one["shape"]), one["data_offsets"][1] - one["data_offsets"][0]) for name, one in found]


def _possibilities(source: SourceFormat, kinds: Counter[str], *, quantized: bool = False) -> tuple[Possibility, ...]:
    """Return each stage and each preset, and whether it applies; `kinds` counts layers by family."""
    medium = FORMATS[source][0]
    found = []
    for kind, table in STAGES.items():
        able = medium in table or (medium is Medium.MODULE and Medium.GRAPH in table)
        why = "" if able else "works on a torch module: take the model in format torch"
        if able and kind == "quantize":
            able, why = not quantized, ALREADY if quantized else "comes last"
        elif able and Medium.MODULE in table and medium is Medium.MODULE:
            why = "before quantize"
        found.append(Possibility(kind, able, why))
    total = sum(kinds.values())
    counted = ", ".join(f"{kinds[kind]} {kind}" for kind in DENSE_AND_SUCH if kinds[kind])
    for preset in QuantizePreset:
        why = f"on {counted} layers" if total else "no layer has weights that it knows"
        if preset in CALIBRATED and total:
            why += "; needs calibration data"
        elif preset == QuantizePreset.INT8_DYNAMIC and kinds["convolution"] and not kinds["dense"]:
            why += "; convolutions would still compute in float"
        able = bool(total) and not quantized
        if preset is QuantizePreset.FP8_DYNAMIC:
            able, why = False, FP8_REFUSED
        found.append(Possibility(f"quantize {preset}", able, ALREADY if quantized else why))
    return tuple(found)


def _value(value: Any) -> str:
    kind = value.type.tensor_type
    axes = ", ".join(axis.dim_param or str(axis.dim_value or "?") for axis in kind.shape.dim)
    return f"{value.name}: {TensorProto.DataType.Name(kind.elem_type).lower()} [{axes}]"


def _guess(shape: tuple[int, ...]) -> str:
    """Return what a weight of this shape most likely is part of."""
    return {2: "dense", 3: "convolution", 4: "convolution", 5: "convolution"}.get(len(shape), "")


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _architectures(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return ", ".join(map(str, found.get("architectures") or [found.get("model_type", "")])) if found else ""
