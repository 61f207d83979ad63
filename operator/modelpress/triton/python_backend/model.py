"""Runs model.onnx with onnxruntime inside Triton's Python backend. Copied for each version; only Triton imports it.

Requests that Triton's batcher joined are run as one batch and taken apart again. If the batch raises, each request is
run by itself, so that a bad input fails alone, as a Triton error with onnxruntime's own words. The Python backend
counts such an answer as a success; it is counted as a failure too, in Triton's own figure, with a reason of its own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import triton_python_backend_utils as triton  # type: ignore[import-not-found]

THREADS = "intra_op_thread_count"
FAILURES, FAILURES_HELP = "nv_inference_request_failure", "Number of failed inference requests, all batch sizes"
"""Triton's figure and what it says there of itself: a family of the same name and text is the same family."""
REASON = "MODEL"
"""Reason of failures that Triton counts as successes."""
VERSIONS = "versions"
"""Folder beside the repository: nothing that lies beside the model can be imported, and nothing comes to lie here."""


class TritonPythonModel:
    """One instance of the model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session. `args` is Triton's: the model's configuration, folder and version."""
        config = json.loads(args["model_config"])
        labels = {"model": args["model_name"], "version": args["model_version"], "reason": REASON}
        self._family = triton.MetricFamily(name=FAILURES, description=FAILURES_HELP, kind=triton.MetricFamily.COUNTER)
        self._failures = self._family.Metric(labels=labels)
        self._batched = config["max_batch_size"] > 0
        self._inputs = [entry["name"] for entry in config["input"]]
        self._outputs = [entry["name"] for entry in config["output"]]
        options = onnxruntime.SessionOptions()
        threads = config.get("parameters", {}).get(THREADS, {}).get("string_value")
        options.intra_op_num_threads = int(threads) if threads else processors()
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        storage = Path(args["model_repository"]).parents[1]
        path = storage / VERSIONS / args["model_name"] / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._scalars = [node.name for node in self._session.get_inputs() if not node.shape]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer `requests`, in their order."""
        inputs = [self._read(request) for request in requests]
        if self._batched and len(requests) > 1 and len({_form(arrays) for arrays in inputs}) == 1:
            try:
                return self._together(requests, inputs)
            except Exception as error:  # whose input it was is found by running each alone
                triton.Logger.log_warn(f"a batch of {len(requests)} requests failed and is run one by one: {error}")
        return [self._alone(request, arrays) for request, arrays in zip(requests, inputs, strict=True)]

    def finalize(self) -> None:
        """Close the session."""
        del self._session

    def _together(self, requests: Sequence[Any], inputs: list[dict[str, Any]]) -> list[Any]:
        joined = {name: numpy.concatenate([arrays[name] for arrays in inputs]) for name in self._inputs}
        sizes = [len(next(iter(arrays.values()))) for arrays in inputs]
        outputs = self._run(joined, sum(sizes))
        borders = numpy.cumsum(sizes)[:-1]
        parts = {name: numpy.split(array, borders) for name, array in outputs.items()}
        return [
            self._response(request, {name: part[position] for name, part in parts.items()})
            for position, request in enumerate(requests)
        ]

    def _alone(self, request: Any, arrays: dict[str, Any]) -> Any:
        try:
            size = len(next(iter(arrays.values()))) if self._batched else None
            return self._response(request, self._run(arrays, size))
        except Exception as error:  # whatever onnxruntime raises is the answer to this request
            self._failures.increment(1)
            return triton.InferenceResponse(error=triton.TritonError(f"the model refused the input: {error}"))

    def _run(self, arrays: dict[str, Any], size: int | None) -> dict[str, Any]:
        outputs = dict(zip(self._outputs, self._session.run(self._outputs, arrays), strict=True))
        for name, array in outputs.items():
            if size is not None and (array.ndim == 0 or len(array) != size):
                raise ValueError(f"output {name!r} has shape {list(array.shape)} for a batch of {size}")
        return outputs

    def _read(self, request: Any) -> dict[str, Any]:
        tensors = {tensor.name(): tensor for tensor in request.inputs()}
        arrays = {name: _decoded(tensors[name].as_numpy()) for name in self._inputs}
        return arrays | {name: arrays[name].reshape(()) for name in self._scalars}

    def _response(self, request: Any, arrays: dict[str, Any]) -> Any:
        wanted = set(request.requested_output_names()) or set(self._outputs)
        return triton.InferenceResponse(
            [triton.Tensor(name, _encoded(array)) for name, array in arrays.items() if name in wanted]
        )


def processors() -> int:
    """Return how many processors this container may use: those there are, or the cgroup's quota, rounded up."""
    there = len(os.sched_getaffinity(0))
    for quota_file, period_file in (
        ("/sys/fs/cgroup/cpu.max", None),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ):
        if Path(quota_file).exists():
            text = Path(quota_file).read_text() + " " + (Path(period_file).read_text() if period_file else "")
            quota, period = text.split()[:2]
            return there if quota in ("max", "-1") else max(1, min(there, math.ceil(int(quota) / int(period))))
    return there


def _form(arrays: dict[str, Any]) -> tuple[Any, ...]:
    """Two requests can be joined if all but the lengths of their first axes is the same."""
    return tuple((name, array.shape[1:], array.dtype) for name, array in sorted(arrays.items()))


def _decoded(array: Any) -> Any:
    """Triton gives strings as bytes, onnxruntime takes text."""
    if array.dtype != numpy.object_:
        return array
    flat = [item.decode() if isinstance(item, bytes) else item for item in array.ravel()]
    return numpy.array(flat, dtype=numpy.object_).reshape(array.shape)


def _encoded(array: Any) -> Any:
    if array.dtype.kind not in "OU":
        return numpy.ascontiguousarray(array)  # a scalar gets one axis: Triton has no tensor without
    return numpy.char.encode(numpy.atleast_1d(array).astype(numpy.str_), "utf-8").astype(numpy.object_)
