"""config.pbtxt: what Triton must know of one model, from the inputs and outputs in its manifest. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2

from modelpress.store.manifest import Manifest, Tensor

DTYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "string": "TYPE_STRING",
}
"""Triton's types by numpy's names. bfloat16 is left out: neither numpy nor Triton's Python backend has it."""

THREADS = "intra_op_thread_count"
"""Parameter of Triton's onnxruntime backend; the model of the Python backend reads the same one."""


class Backend(StrEnum):
    """Which backend runs ONNX in Triton's image. A fact of the image, declared once."""

    PYTHON = "python"
    """Triton's Python backend, with onnxruntime installed beside it."""
    ONNXRUNTIME = "onnxruntime"
    """Triton's own onnxruntime backend, as in NVIDIA's image."""


def config(
    name: str,
    manifest: Manifest,
    backend: Backend,
    *,
    versions: Iterable[int],
    max_batch_size: int,
    queue_delay_microseconds: int,
    threads: int | None = None,
) -> str:
    """Return the text of config.pbtxt, by which `versions` are loaded, and no others.

    Requests that name no version are answered by the highest. `max_batch_size` counts samples and is ignored by a model
    without a batch axis. `queue_delay_microseconds` is how long a request waits for others; `threads` is how many one
    execution may use, None being as many as the machine has.
    Raises ValueError if a tensor has a type that Triton lacks.
    """
    batch = max_batch_size if manifest.batched else 0
    message = model_config_pb2.ModelConfig(
        name=name,
        backend=backend.value,
        max_batch_size=batch,
        input=[model_config_pb2.ModelInput(**_tensor(tensor, batch)) for tensor in manifest.inputs],
        output=[model_config_pb2.ModelOutput(**_tensor(tensor, batch)) for tensor in manifest.outputs],
        instance_group=[{"count": 1, "kind": _kind(backend)}],
        version_policy={"specific": {"versions": sorted(versions)}},
    )
    if threads:
        message.parameters[THREADS].string_value = str(threads)
    if batch:
        message.dynamic_batching.max_queue_delay_microseconds = queue_delay_microseconds
    return str(text_format.MessageToString(message))


def wire_shape(tensor: Tensor, shape: tuple[int, ...], batched: bool) -> tuple[int, ...]:
    """Return the shape in which an array of `shape` travels: Triton has no tensor without axes beside the batch."""
    return shape if len(tensor.shape) > int(batched) else (*shape, 1)


def _kind(backend: Backend) -> int:
    """The Python backend's model runs on the processor; the other takes what accelerator there is."""
    group = model_config_pb2.ModelInstanceGroup
    return int(group.KIND_CPU if backend is Backend.PYTHON else group.KIND_AUTO)


def _tensor(tensor: Tensor, batch: int) -> dict[str, Any]:
    if tensor.dtype not in DTYPES:
        raise ValueError(f"{tensor.name!r} is of type {tensor.dtype}, which cannot be served; cast it inside the model")
    axes = tensor.shape[1:] if batch else tensor.shape
    fields: dict[str, Any] = {"name": tensor.name, "data_type": model_config_pb2.DataType.Value(DTYPES[tensor.dtype])}
    if axes:
        return fields | {"dims": axes}
    # without a batch Triton has no reshape to a scalar; the backends do it
    return fields | {"dims": [1]} | ({"reshape": {"shape": []}} if batch else {})
