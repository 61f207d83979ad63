"""Moments of what goes into a product."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.onnx_models import save_linear

from modelpress.api.source import TensorSpec
from modelpress.compress.signature import Signature
from modelpress.compress.stages.quantize.activations import collect


def test_what_goes_into_a_product_may_be_the_graph_s_own_input(tmp_path: Path) -> None:
    path = save_linear(tmp_path, np.ones((4, 2)))
    rows = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    signature = Signature((TensorSpec(name="image", shape=("batch", 4)),), (TensorSpec(name="logits"),))
    (moments,) = collect(path, {"image": 4}, {"image": rows}, signature).values()
    told = moments.kept * rows.T @ rows / 20
    np.testing.assert_allclose(moments.second - np.diag(np.diag(moments.second)), told - np.diag(np.diag(told)), 1e-4)
    assert np.trace(moments.second) == pytest.approx(np.square(rows).sum() / 20)
    np.testing.assert_allclose(moments.magnitude, np.abs(rows).mean(0), rtol=1e-5)
