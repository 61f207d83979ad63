from __future__ import annotations

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from modelpress.store.manifest import ONNX, Manifest, Tensor
from modelpress.triton.config import Backend, config, wire_shape


def manifest_of(*, batched: bool, dtype: str = "float32") -> Manifest:
    tensor = Tensor(name='x "quoted"', dtype=dtype, shape=(-1, 4))
    return Manifest(artifact="a", files=(), variants={ONNX: ONNX}, batched=batched, inputs=(tensor,), outputs=(tensor,))


def parsed(manifest: Manifest, max_batch_size: int = 8) -> model_config_pb2.ModelConfig:
    limits = {"max_batch_size": max_batch_size, "queue_delay_microseconds": 5}
    text = config("m", manifest, Backend.PYTHON, versions=(3,), **limits)
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_a_batched_model_loses_its_batch_axis_and_gets_a_batcher() -> None:
    found = parsed(manifest_of(batched=True))
    assert (found.max_batch_size, list(found.input[0].dims)) == (8, [4])
    assert found.dynamic_batching.max_queue_delay_microseconds == 5
    assert list(found.version_policy.specific.versions) == [3]


@pytest.mark.parametrize(("batched", "limit"), [(False, 8), (True, 0)])
def test_what_is_not_batched_keeps_all_axes_and_has_no_batcher(batched: bool, limit: int) -> None:
    found = parsed(manifest_of(batched=batched), limit)
    assert (found.max_batch_size, list(found.input[0].dims)) == (0, [-1, 4])
    assert not found.HasField("dynamic_batching")


def test_names_that_need_quoting_survive() -> None:
    assert parsed(manifest_of(batched=True)).input[0].name == 'x "quoted"'


def test_a_type_that_triton_lacks_is_named_with_its_tensor() -> None:
    with pytest.raises(ValueError, match=r"quoted.*complex64"):
        parsed(manifest_of(batched=True, dtype="complex64"))


@pytest.mark.parametrize(
    ("shape", "batched", "travels"), [((-1,), True, (5, 1)), ((-1, 2), True, (5, 2)), ((), False, (1,))]
)
def test_a_tensor_without_axes_beside_the_batch_travels_with_one_more(
    shape: tuple[int, ...], batched: bool, travels: tuple[int, ...]
) -> None:
    array_shape = tuple(5 if axis == -1 else axis for axis in shape)
    assert wire_shape(Tensor(name="t", dtype="float32", shape=shape), array_shape, batched) == travels
