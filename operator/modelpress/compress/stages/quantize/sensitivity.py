"""How much the outputs change when the weights of some nodes are others, measured on calibration data.

One session does it all: the weights in question are inputs with a default, so that trying another weight builds nothing
anew and costs one forward pass of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from modelpress.api.reasons import Reason

from ... import graph
from ...errors import Judged
from ...signature import Array, Arrays, Signature
from .calibration import Pieces
from .rounding import Floats


class Trial:
    """A graph, calibration data, and the answers of the untouched graph."""

    def __init__(self, path: Path, weights: Iterable[str], data: Arrays, signature: Signature) -> None:
        """Raises Judged with RecipeInvalid for a model whose outputs are no floats."""
        proto = onnx.load(path, load_external_data=False)
        dims = {item.name: list(item.dims) for item in proto.graph.initializer}
        known = {item.name for item in proto.graph.input}
        for name in dict.fromkeys(weights):
            if name not in known:
                proto.graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims[name]))
        changeable = path.with_name("changeable.onnx")
        onnx.save(proto, changeable)
        self.session = graph.open_session(changeable, graph.BASIC)
        changeable.unlink()
        self.pieces = Pieces(data, signature)
        self.passes = 0
        self.answers = self._answers({})
        if not any(value.size for value in self.answers[0].values()):
            raise Judged(
                Reason.RECIPE_INVALID, "mixed measures by how much outputs of type float change: there is none."
            )

    def loss(self, changed: Mapping[str, Floats]) -> float:
        """Return ‖y' - y‖² / ‖y‖², the mean over the outputs, with other weights by name of the initializer."""
        errors: dict[str, float] = {}
        norms: dict[str, float] = {}
        for before, after in zip(self.answers, self._answers(changed), strict=True):
            for name, wanted in before.items():
                difference = after[name].astype(np.float64) - wanted.astype(np.float64)
                errors[name] = errors.get(name, 0.0) + float((difference**2).sum())
                norms[name] = norms.get(name, 0.0) + float((wanted.astype(np.float64) ** 2).sum())
        return float(np.mean([errors[name] / max(norms[name], 1e-30) for name in errors]))

    def _answers(self, changed: Mapping[str, Floats]) -> list[dict[str, Array]]:
        self.passes += 1
        self.pieces.set_range(0, len(self.pieces))
        found = []
        while (inputs := self.pieces.get_next()) is not None:
            outputs = graph.run(self.session, {**inputs, **changed})
            found.append({name: value for name, value in outputs.items() if value.dtype.kind == "f"})
        return found
