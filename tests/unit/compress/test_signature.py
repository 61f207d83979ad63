"""Examples: what is made up can be asked of any model."""

from __future__ import annotations

import numpy as np

from modelpress.api.source import TensorSpec
from modelpress.compress.signature import Signature, example


def test_masks_that_are_made_up_are_those_of_texts_with_padding_behind_them() -> None:
    """Of a text whose first token is masked nothing is defined where tokens see those before them alone."""
    names = ("input_ids", "attention_mask", "decoder_attention_mask")
    signature = Signature(
        tuple(TensorSpec(name=name, shape=("batch", "tokens"), dtype="int64") for name in names),
        (TensorSpec(name="logits"),),
    )
    made = example(signature, 50, 0, free=9)
    for name in names[1:]:
        assert made[name].shape == (50, 9)
        assert made[name][:, 0].all()
        assert (np.diff(made[name]) <= 0).all()
        assert 0 < (made[name] == 0).mean() < 1
