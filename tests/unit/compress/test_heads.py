"""Heads of attention: whole ones go, whoever wrote the attention, and leaving out is what removing does."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import samples_of
from tests.unit.compress.transformers import HEADS, WIDTH, Encoder, Fused, seeded
from torch import nn

from modelpress.api.defaults import with_defaults
from modelpress.api.stages import Prune
from modelpress.compress.export import export
from modelpress.compress.models import tensors
from modelpress.compress.signature import example
from modelpress.compress.stages import heads, prune
from modelpress.compress.stages.channels import fixed_layers
from modelpress.compress.stages.cutting import Cutter
from modelpress.compress.stages.multihead import FewerHeads


def half(**more: Any) -> Prune:
    return Prune.model_validate({"structure": "Channel", "amount": {"channels": 0.5}, **more})


@pytest.mark.parametrize("make", [Encoder, Fused, functools.partial(Fused, False)])
def test_leaving_out_is_what_removing_does(make: Any, make_context: MakeContext) -> None:
    """For heads and for channels between linear layers both are exact, so LossChange ranks by what will happen."""
    for position in range(3):
        found = seeded(make)
        inputs = example(found.signature, 3, 0)
        cutter = Cutter(found, with_defaults(half()), tensors(inputs))
        fixed = fixed_layers(cutter, set())
        item = cutter.candidates(found.module, fixed)[-1 - position]
        importance = torch.ones(item.width).index_fill(0, torch.tensor([1]), 0.0)
        with item.without(1):
            expected = found.run(inputs)["scores"]
        assert np.abs(expected - found.run(inputs)["scores"]).max() > 1e-4
        item.remove(item.width - 1, importance)
        np.testing.assert_allclose(found.run(inputs)["scores"], expected, atol=1e-5)


@pytest.mark.parametrize("make", [Encoder, Fused, functools.partial(Fused, False)])
def test_whole_heads_go_and_come_out_alike_in_onnx(make: Any, make_context: MakeContext, tmp_path: Path) -> None:
    found = seeded(make)
    data = {"tokens": np.random.default_rng(0).normal(size=(8, 6, 3)).astype(np.float32)}
    context = make_context({"train": samples_of(data, {"scores": np.zeros((8, 5), np.float32)})}, "MSE")
    prune.run(found, half(), context)
    attentions = heads.find(found.module)
    assert len(attentions) in (2, 4)
    for item in attentions:
        assert item.width == HEADS // 2
        assert found.module.get_parameter(f"{item.out}.weight").shape[1] == WIDTH // 2
    prune.run(found, half(importance="Taylor"), context)
    assert {item.width for item in heads.find(found.module)} == {1}
    if make is Fused:  # the one with an attention of ours
        export(found, tmp_path / "model.onnx", tmp_path, data, 0)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("own_widths", [True, False])
def test_an_attention_with_all_its_heads_answers_as_torchs_own(batch_first: bool, own_widths: bool) -> None:
    torch.manual_seed(0)
    widths = {"kdim": 5, "vdim": 7} if own_widths else {}
    theirs = nn.MultiheadAttention(16, 4, batch_first=batch_first, **widths).eval()
    ours = FewerHeads.of(theirs)
    shapes = [(2, 6, 16), (2, 3, 5 if own_widths else 16), (2, 3, 7 if own_widths else 16)]
    inputs = [torch.randn(shape) if batch_first else torch.randn(shape).transpose(0, 1) for shape in shapes]
    for options in (
        {},
        {"attn_mask": torch.rand(6, 3) > 0.7},
        {"attn_mask": torch.randn(8, 6, 3), "average_attn_weights": False},
        {"key_padding_mask": torch.tensor([[False, False, True], [False, True, True]]), "need_weights": False},
    ):
        expected, got = theirs(*inputs, **options), ours(*inputs, **options)
        torch.testing.assert_close(got[0], expected[0])
        torch.testing.assert_close(got[1], expected[1])
    kept = FewerHeads.of(theirs)
    kept.keep([0, 2])
    assert kept(*inputs, attn_mask=torch.randn(8, 6, 3))[0].shape == ours(*inputs)[0].shape
