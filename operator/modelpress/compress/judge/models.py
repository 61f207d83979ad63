"""ONNX files that somebody else wrote: what they refer to, what they take and give, and a session that runs them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy
import onnx
import onnxruntime
from numpy.typing import NDArray

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.store.manifest import MODEL_FILE, ManifestFile, Tensor, describe

from ..datasets.fitting import BATCH
from ..errors import Judged

Array = NDArray[Any]

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Domains of operators that the server's runtime has built in."""
DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "tensor(float)": "float32",
        "tensor(double)": "float64",
        "tensor(float16)": "float16",
        "tensor(bool)": "bool",
        **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    }
)
"""numpy's name of onnxruntime's element types."""
OUT_OF_BOUNDS = re.compile(r"idx=(?P<id>-?\d+) must be within the inclusive range \[-\d+,(?P<last>\d+)\]")
"""How onnxruntime says that a Gather was asked for a row that is not there."""


@dataclass(frozen=True)
class Model:
    """One ONNX model, ready to run."""

    label: str
    """`the original` or `the result`, for sentences."""
    session: Any
    """onnxruntime's session."""
    inputs: tuple[Tensor, ...]
    """What it takes."""
    outputs: tuple[Tensor, ...]
    """What it gives."""
    files: tuple[ManifestFile, ...]
    """All files that a server must load, relative to the folder above the model's."""
    dynamic: Mapping[str, str]
    """Names of dynamic axes, by `<input>/<axis>`."""
    batched: bool
    """Whether the first axis of every input and output is called `batch`. That it is dynamic says nothing: a graph's
    nodes are no samples."""
    threads: int
    """With how many it runs."""

    @property
    def size(self) -> int:
        """Bytes that a server must load."""
        return sum(file.size for file in self.files)

    def input_specs(self) -> tuple[TensorSpec, ...]:
        """Return the inputs as datasets are read for them."""
        return tuple(self._spec(tensor) for tensor in self.inputs)

    def output_specs(self) -> tuple[TensorSpec, ...]:
        """Return the outputs' names."""
        return tuple(TensorSpec.model_construct(name=tensor.name, dtype=tensor.dtype) for tensor in self.outputs)

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Return the outputs for `feeds`, by name. Raises Judged with EvaluationFailed."""
        try:
            answers = self.session.run(None, {name: numpy.asarray(array) for name, array in feeds.items()})
        except Exception as error:  # onnxruntime's exceptions share no base class
            beyond = OUT_OF_BOUNDS.search(str(error))
            if beyond is not None:
                raise Judged(
                    Reason.DATASET_DOES_NOT_FIT,
                    f"the test data holds the id {beyond['id']}, but the table that {self.label} looks it up in has "
                    f"the ids 0 to {beyond['last']}: correct the data",
                ) from error
            raise Judged(
                Reason.EVALUATION_FAILED, f"{self.label} fails on the test data: {_one_line(error)}"
            ) from error
        return dict(zip((tensor.name for tensor in self.outputs), answers, strict=True))

    def _spec(self, tensor: Tensor) -> TensorSpec:
        axes: list[int | str] = [
            length if length >= 0 else self.dynamic[f"{tensor.name}/{axis}"] for axis, length in enumerate(tensor.shape)
        ]
        if self.batched:
            axes[0] = BATCH
        return TensorSpec.model_construct(name=tensor.name, dtype=tensor.dtype, shape=tuple(axes))


def open_model(root: Path, folder: str, label: str, threads: int, *, optimized: bool = True) -> Model:
    """Return the model in `root`/`folder`, run on the processor with `threads` threads.

    Raises Judged with ExportFailed if it is missing, refers to files outside of its folder, or does not load.
    """
    names = check_file(root / folder, label)
    files = describe(root, tuple(f"{folder}/{name}" for name in names))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # else an idle session steals from the other
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    path = str(root / folder / MODEL_FILE)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise Judged(Reason.EXPORT_FAILED, f"{label} does not load in onnxruntime: {_one_line(error)}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return Model(
        label=label,
        session=session,
        inputs=tuple(_tensor(value, label) for value in inputs),
        outputs=tuple(_tensor(value, label) for value in outputs),
        files=files,
        dynamic={
            f"{value.name}/{axis}": _axis_name(length, value.name, axis)
            for value in inputs
            for axis, length in enumerate(value.shape)
        },
        batched=all(value.shape[:1] == [BATCH] for value in (*inputs, *outputs)),
        threads=threads,
    )


def check_file(folder: Path, label: str) -> tuple[str, ...]:
    """Return the names of the files that model.onnx in `folder` consists of. Raises Judged with ExportFailed."""
    path = folder / MODEL_FILE
    if folder.is_symlink() or path.is_symlink() or not path.is_file():
        raise Judged(Reason.EXPORT_FAILED, f"{label} is missing: compression left no {folder.name}/{MODEL_FILE}")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's exceptions depend on its implementation
        raise Judged(Reason.EXPORT_FAILED, f"{label} is no ONNX file: {_one_line(error)}") from error
    own = {(function.domain, function.name) for function in model.functions}
    names = {MODEL_FILE: None}
    for graph_nodes, tensors in _parts(model):
        for node in graph_nodes:
            if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
                raise Judged(
                    Reason.EXPORT_FAILED,
                    f"{label} needs the operator {node.domain}.{node.op_type}, which no server has",
                )
        for tensor in tensors:
            location = next((entry.value for entry in tensor.external_data if entry.key == "location"), None)
            if location is not None:
                _check_external(folder, location, label)
                names[location] = None
    return tuple(names)


def check_same(original: Model, result: Model) -> None:
    """Raise Judged with ExportFailed unless both take and give tensors of the same names and types."""
    for what, before, after in (("takes", original.inputs, result.inputs), ("gives", original.outputs, result.outputs)):
        wanted, found = ({tensor.name: tensor.dtype for tensor in tensors} for tensors in (before, after))
        if wanted != found:
            raise Judged(Reason.EXPORT_FAILED, f"the result {what} {_listed(found)}, the original {_listed(wanted)}")


def _check_external(folder: Path, location: str, label: str) -> None:
    path = folder / location
    inside = location not in {"", ".", ".."} and "/" not in location and "\\" not in location
    if not inside or path.is_symlink() or not path.is_file():
        raise Judged(Reason.EXPORT_FAILED, f"{label} refers to {location!r}, which is no file beside {MODEL_FILE}")


def _parts(model: Any) -> Iterator[tuple[Sequence[Any], list[Any]]]:
    """Yield nodes and tensors of every graph and function of `model`, subgraphs included."""
    pending = [(model.graph.node, [*model.graph.initializer, *_sparse(model.graph)])]
    pending += [(function.node, []) for function in model.functions]
    while pending:
        nodes, tensors = pending.pop()
        for node in nodes:
            for attribute in node.attribute:
                tensors += [attribute.t, *attribute.tensors]
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    tensors += [sparse.values, sparse.indices]
                pending += [
                    (graph.node, [*graph.initializer, *_sparse(graph)]) for graph in (attribute.g, *attribute.graphs)
                ]
        yield nodes, tensors


def _sparse(graph: Any) -> list[Any]:
    return [tensor for sparse in graph.sparse_initializer for tensor in (sparse.values, sparse.indices)]


def _tensor(value: Any, label: str) -> Tensor:
    if value.type not in DTYPES:
        raise Judged(Reason.EXPORT_FAILED, f"{label}: {value.name!r} is {value.type}, which is no tensor of numbers")
    shape = tuple(length if isinstance(length, int) else -1 for length in value.shape)
    return Tensor(name=value.name, dtype=DTYPES[value.type], shape=shape)


def _axis_name(length: Any, tensor: str, axis: int) -> str:
    """Return a name for a dynamic axis; nameless ones each get their own, and none is called as the batch is."""
    return f"{length}" if isinstance(length, str) and length and length != BATCH else f"{tensor}.{axis}"


def _listed(tensors: dict[str, str]) -> str:
    return ", ".join(f"{name} ({dtype})" for name, dtype in tensors.items()) or "nothing"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def numpy_dtype(tensor: Tensor) -> numpy.dtype[Any]:
    """Return the element type of `tensor`."""
    return numpy.dtype(tensor.dtype)
