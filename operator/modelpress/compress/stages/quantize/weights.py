"""Weights in groups: what is rounded, and how. Activations stay in float.

Matrices that take the same activation share its moments. A weight that several nodes share is rounded once. Tables take
no activation: with an algorithm that looks for the best ranges, theirs are those of least error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelpress.api.reasons import Reason
from modelpress.api.stages import Quantize, QuantizeAlgorithm

from ...errors import Judged
from ...external import Spool
from ...models import GraphModel
from ...quantize_settings import needs_calibration
from ...signature import Arrays
from ..context import Context
from ..naming import select
from .activations import Moments, collect
from .awq import awq
from .candidates import Candidate
from .gptq import gptq
from .rounding import Rounded, Scheme, fit, nearest, round_rows
from .scheme import matrix_scheme, table_scheme, weights
from .writing import Stored

LITTLE = 0.5
"""Share of moments that calibration data tells, below which it is said how little that is."""
ROW_BITS = 8
"""Bits of an embedding that has a scale per row."""


@dataclass
class Work:
    """Weights of one graph, and what calibration data says about them."""

    model: GraphModel
    """Prepared: shapes inferred, nodes named."""
    proto: Any
    settings: Quantize
    context: Context
    spool: Spool
    """Where what was rounded lies until it is written."""
    data: Arrays | None
    """What weights are fitted to."""
    moments: dict[str, Moments] = field(default_factory=dict)
    tensors: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.tensors = {item.name: item for item in self.proto.graph.initializer}

    @property
    def algorithm(self) -> QuantizeAlgorithm:
        """How matrices are rounded."""
        return self.settings.algorithm or QuantizeAlgorithm.RTN

    def store(self, candidates: list[Candidate]) -> dict[str, Stored]:
        """Return what is to be written, by node, in the bits that the settings name. Raises Judged."""
        schemes = self._schemes(candidates)
        if self.algorithm is not QuantizeAlgorithm.RTN or self.settings.mixed is not None:
            self._gather(candidates)
        return self.round(candidates, schemes)

    def _schemes(self, candidates: list[Candidate]) -> dict[str, Scheme]:
        settings, given = self.settings, weights(self.settings)
        bits = settings.embeddings.bits if settings.embeddings is not None else given.bits
        known = {item.name: item for item in candidates}
        found = {
            item.name: table_scheme(bits, item.shape[1], settings)
            if item.embedding
            else matrix_scheme(given, item.shape[1], settings)
            for item in candidates
        }
        for override in settings.overrides or ():
            for name in select(override.targets, found, "node", nested=True, field="overrides.targets"):
                width = known[name].shape[1]
                table = known[name].embedding and override.weights.bits == ROW_BITS
                found[name] = (
                    table_scheme(ROW_BITS, width, settings)
                    if table
                    else matrix_scheme(override.weights, width, settings)
                )
        return found

    def _gather(self, candidates: list[Candidate]) -> None:
        if self.data is None:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"quantize with {needs_calibration(self.settings)} needs "
                "compression.data.calibration or compression.data.train.",
            )
        widths = {item.activation: item.shape[1] for item in candidates if not item.embedding}
        self.moments = collect(self.model.path, widths, self.data, self.model.signature)
        self.context.report(0.3, f"activations of {len(widths)} tensors gathered")
        told = {item.name: self.moments[item.activation] for item in candidates if not item.embedding}
        little = {name: one for name, one in told.items() if one.kept < LITTLE and one.units < len(one.second)}
        if little and self.algorithm is not QuantizeAlgorithm.RTN:
            name, least = min(little.items(), key=lambda item: item[1].kept)
            self.context.warnings.append(
                f"Calibration data tells little of what {len(little)} of {len(told)} matrices take, so "
                f"{self.algorithm} rounds them nearly to nearest: least of {name}, whose {len(least.second)} inputs "
                f"{least.units} samples show, which count {100 * least.kept:.0f} %. Give it more samples than inputs."
            )

    def round(self, candidates: Iterable[Candidate], schemes: Mapping[str, Scheme]) -> dict[str, Stored]:
        """Round every candidate; those that share an activation together."""
        found: dict[str, Stored] = {}
        known: dict[tuple[str, bool, bool, Scheme], Rounded] = {}
        takers: dict[str, list[Candidate]] = {}
        for item in candidates:
            takers.setdefault(item.activation, []).append(item)
        counts: dict[str, int] = {}
        for item in [one for group in takers.values() for one in group]:
            counts[item.weight] = counts.get(item.weight, 0) + 1
        for activation, group in takers.items():
            alone = [item for item in group if not item.embedding and counts[item.weight] == 1]
            if self.algorithm is QuantizeAlgorithm.AWQ and alone:
                matrices = [item.rows(self.tensors) for item in alone]
                moments = self.moments[activation]
                rounded, factors = awq(
                    matrices, [schemes[item.name] for item in alone], moments.second, moments.magnitude
                )
                found |= {
                    item.name: Stored(item, self._kept(one), factors) for item, one in zip(alone, rounded, strict=True)
                }
            for item in group:
                if item.name not in found:
                    key = (item.weight, item.embedding, item.transposed, schemes[item.name])
                    known[key] = known.get(key) or self._one(item, schemes[item.name])
                    found[item.name] = Stored(item, known[key])
            done = len(found) / max(sum(counts.values()), 1)
            self.context.report(0.3 + 0.3 * done, f"{len(found)} of {sum(counts.values())} weights rounded")
        return found

    def nearest(self, item: Candidate, scheme: Scheme) -> Rounded:
        """Return the weight of a candidate rounded to nearest."""
        return self._kept(nearest(item.rows(self.tensors), scheme))

    def _one(self, item: Candidate, scheme: Scheme) -> Rounded:
        if self.algorithm is QuantizeAlgorithm.GPTQ and not item.embedding:
            return self._kept(gptq(item.rows(self.tensors), scheme, self.moments[item.activation].second))
        if item.embedding and scheme.bits < ROW_BITS and self.algorithm is not QuantizeAlgorithm.RTN:
            rows = item.rows(self.tensors)
            return self._kept(round_rows(rows, fit(rows, scheme, search=True)))
        return self.nearest(item, scheme)

    def _kept(self, rounded: Rounded) -> Rounded:
        return replace(rounded, codes=self.spool.keep(rounded.codes))
