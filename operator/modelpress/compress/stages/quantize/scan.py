"""How much the outputs depend on each weight: its loss in 4 bits, before anything is decided.

The measure is that of mixed precision (`sensitivity.Trial`): one forward pass of some calibration data for each weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from modelpress.api.stages import Quantize, QuantizePreset, QuantizeWeights
from modelpress.store.search import Sensitivity

from ... import graph
from ...models import GraphModel
from ..context import Context
from .candidates import find
from .mixing import FEWEST, some
from .preparing import prepare
from .rounding import nearest
from .scheme import matrix_scheme, table_scheme
from .sensitivity import Trial

SETTINGS = Quantize(preset=QuantizePreset.W4A16)


def scan(model: GraphModel, context: Context, enough: Callable[[], bool]) -> tuple[Sensitivity, ...]:
    """Return the sensitivity of each weight that can be stored in groups, the most sensitive first.

    Nothing without calibration data, or if time is up (`enough`) before all are measured: half a picture misleads.
    Raises Judged if the graph cannot be prepared, or answers no floats.
    """
    data = context.calibration()
    if data is None:
        return ()
    prepared = replace(model, path=context.scratch / "prepared" / "model.onnx")
    prepare(model.path, prepared.path, context.scratch)
    proto = graph.load(prepared.path)
    candidates = list({item.weight: item for item in find(proto)}.values())
    if not candidates:
        return ()
    tensors = {item.name: item for item in proto.graph.initializer}
    trial = Trial(prepared.path, [item.weight for item in candidates], some(data, context.seed), model.signature)
    found = []
    for number, item in enumerate(candidates):
        if enough():
            context.notes.append(
                f"Sensitivities were left out: time was up after {number} of {len(candidates)} weights."
            )
            return ()
        context.report(number / len(candidates), f"sensitivity of {item.name}")
        if item.embedding:
            scheme = table_scheme(FEWEST, item.shape[1], SETTINGS)
        else:
            scheme = matrix_scheme(QuantizeWeights(bits=FEWEST), item.shape[1], SETTINGS)
        rows = nearest(item.rows(tensors), scheme).widened()
        loss = trial.loss({item.weight: item.as_stored(rows)})
        found.append(Sensitivity(name=item.name, parameters=item.elements, loss=loss))
    return tuple(sorted(found, key=lambda one: -one.loss))
