"""`modelpress inspect`: what is in a model, and what could be done to it. Runs nobody's code, loads no weights."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto
from safetensors import SafetensorError, safe_open

from modelpress.api.reasons import Reason
from modelpress.api.source import PICKLES, SourceFormat
from modelpress.compress.errors import Judged
from modelpress.compress.formats import onnx_source
from modelpress.compress.formats.files import refuse_hollow, single
from modelpress.compress.formats.heads import MODEL
from modelpress.compress.formats.transformers_source import CONFIG
from modelpress.compress.judge.layers import FAMILIES, layers_of
from modelpress.compress.stages.quantize.checking import CODES
from modelpress.store.manifest import FILE_NAME

from .asked_error import AskedError
from .possible import Possibility, Shape, blocks_of, possibilities

TABLE = re.compile(r"emb|(^|\.)(wte|wpe|shared)$", re.IGNORECASE)
"""Names of what most likely is an embedding, not a layer that multiplies."""
RECURRENT = ("weight_ih", "weight_hh")
WHOLE = frozenset({"I8", "U8", "I4", "U4"})
"""Types of tensors that hold weights as integers."""
MATRIX = 2
ENCODER_DECODER = "It has an encoder and a decoder: source.inputs names decoder_input_ids too, in a YAML file."


@dataclass(frozen=True)
class LayerLine:
    """One layer."""

    name: str
    operator: str
    parameters: int
    size: int
    """Bytes."""


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
        known = SourceFormat.TRANSFORMERS if CONFIG in names else SourceFormat.TORCH
        return _weights(folder, tensors, known)
    pickles = [name for name in names if Path(name).suffix in PICKLES]
    if pickles:
        raise Judged(
            Reason.PICKLE_REFUSED,
            f"{pickles[0]} is a pickle, which runs code when it is read: save its weights with "
            "safetensors.torch.save_file where you trust it.",
        )
    if any(name.endswith(".pt2") for name in names):
        raise AskedError(
            f"{path} holds a program of torch.export, whose layers no header tells: modelpress compress {path} "
            "--preset INT8_DYNAMIC --dry-run loads it, and says what that takes."
        )
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
        possibilities(
            SourceFormat.ONNX,
            Counter(FAMILIES[layer.operator] for layer in layers),
            quantized=any(item.data_type in CODES and len(item.dims) > 1 for item in model.graph.initializer),
        ),
        (f"IR {model.ir_version}, operator sets: {opsets}",),
    )


def _weights(folder: Path, names: list[str], source: SourceFormat) -> Inspection:
    layers: dict[str, LayerLine] = {}
    shapes: dict[str, Shape] = {}
    quantized = False
    start = f"{MODEL}." if source is SourceFormat.TRANSFORMERS else ""  # as stages know its layers
    for file in names:
        for tensor in _tensors(folder / file):
            layer, _, last = f"{start}{tensor.name}".rpartition(".")
            layer = layer or last
            shapes[f"{start}{tensor.name}"] = tensor.shape
            quantized |= tensor.kind in WHOLE and len(tensor.shape) > 1
            before = layers.get(layer, LayerLine(layer, "", 0, 0))
            operator = before.operator or _guess(layer, last, tensor.shape)
            layers[layer] = LayerLine(
                layer, operator, before.parameters + math.prod(tensor.shape), before.size + tensor.size
            )
    kinds = Counter(line.operator for line in layers.values() if line.operator)
    notes = ["What computes with the weights is said by code, which is not run here."]
    if source is SourceFormat.TRANSFORMERS:
        notes = _notes(folder / CONFIG) or notes
    possible = possibilities(source, kinds, quantized=quantized, blocks=blocks_of(shapes))
    files = tuple((name, (folder / name).stat().st_size) for name in names)
    lines = tuple(layers[name] for name in sorted(layers, key=_naturally))
    return Inspection(folder, str(source), files, (), (), (), lines, possible, tuple(notes))


@dataclass(frozen=True)
class _Tensor:
    name: str
    kind: str
    shape: Shape
    size: int


def _tensors(path: Path) -> list[_Tensor]:
    """Return what the file's header says of each tensor. Raises Judged."""
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
    return [
        _Tensor(name, one["dtype"], tuple(one["shape"]), one["data_offsets"][1] - one["data_offsets"][0])
        for name, one in found
    ]


def _value(value: Any) -> str:
    kind = value.type.tensor_type
    axes = ", ".join(axis.dim_param or str(axis.dim_value or "?") for axis in kind.shape.dim)
    return f"{value.name}: {TensorProto.DataType.Name(kind.elem_type).lower()} [{axes}]"


def _guess(layer: str, last: str, shape: Shape) -> str:
    """Return what a weight of this name and shape most likely is part of."""
    if last.startswith(RECURRENT):
        return "recurrent"
    if len(shape) == MATRIX and TABLE.search(layer):
        return "table"
    return {2: "dense", 3: "convolution", 4: "convolution", 5: "convolution"}.get(len(shape), "")


def _naturally(name: str) -> list[tuple[int, str]]:
    """Return what sorts names with numbers by the numbers: layer 10 after layer 9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _notes(path: Path) -> list[str]:
    """Return what a transformer's config.json says of the whole."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(found, dict):
        return []
    classes = ", ".join(map(str, found.get("architectures") or [found.get("model_type", "")]))
    notes = [f"transformers: {classes}"] if classes else []
    if found.get("is_encoder_decoder"):
        notes.append(ENCODER_DECODER)
    return notes
