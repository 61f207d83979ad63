"""What `kubectl get` says of the first metric."""

from __future__ import annotations

import pytest

from modelpress.api.figures import Figures, MetricFigure
from modelpress.control.status import accuracy_text


@pytest.mark.parametrize(
    ("original", "compressed", "words"),
    [
        (0.99, 0.986, "0.986 (-0.004)"),
        (0.98, 0.98, "0.980 (+0.000)"),
        (0.00251, 0.00308, "0.0031 (+0.0006)"),
        (0.00251, 0.00251, "0.0025 (+0.0000)"),
        (2e-5, 1e-5, "1.0e-05 (-1.0e-05)"),
        (2e-5, 0.0, "0.000 (-2.0e-05)"),
        (0.02, 0.0, "0.000 (-0.020)"),
        (0.996, 1.0, "1.000 (+0.004)"),
    ],
)
def test_a_change_of_a_small_error_is_not_rounded_away(original: float, compressed: float, words: str) -> None:
    metric = MetricFigure(
        name="error", original=original, compressed=compressed, higher_is_better=False, samples=500, standard_error=0.0
    )
    assert accuracy_text(Figures(original_bytes=2, compressed_bytes=1, metrics=(metric,))) == words
