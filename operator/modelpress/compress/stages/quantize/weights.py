"""Weights in groups: what is rounded, how, and in how many bits. Activations stay in float.

Matrices that take the same activation share its moments. A weight that several nodes share is rounded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelpress.api.reasons import Reason
from modelpress.api.stages import Quantize, QuantizeAlgorithm, QuantizeWeights

from ...errors import Judged
from ...facts import LayerFacts
from ...models import GraphModel
from ...quantize_settings import needs_calibration
from ..context import Context
from ..naming import select
from . import mixed
from .activations import Moments, collect
from .awq import awq, output_error
from .candidates import Candidate
from .gptq import gptq
from .mixed import FLOAT, Choice, Option
from .rounding import Rounded, Scheme, nearest
from .scheme import matrix_scheme, table_scheme, weights
from .sensitivity import Trial
from .writing import Stored

ALL_BITS = 8
"""Bits that `mixed` raises a node to before it leaves it in float."""


@dataclass
class Work:
    """Weights of one graph, and what calibration data says about them."""

    model: GraphModel
    """Prepared: shapes inferred, nodes named."""
    proto: Any
    settings: Quantize
    context: Context
    moments: dict[str, Moments] = field(default_factory=dict)
    tensors: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.tensors = {item.name: item for item in self.proto.graph.initializer}

    @property
    def algorithm(self) -> QuantizeAlgorithm:
        """How matrices are rounded."""
        return self.settings.algorithm or QuantizeAlgorithm.RTN

    def store(self, candidates: list[Candidate]) -> dict[str, Stored]:
        """Return what is to be written, by node. Raises Judged."""
        schemes = self._schemes(candidates)
        if self.algorithm is not QuantizeAlgorithm.RTN or self.settings.mixed is not None:
            self._gather(candidates)
        stored = self._round(candidates, schemes)
        if self.settings.mixed is not None:
            return self._mix(candidates, stored)
        self._tell(candidates, stored, {})
        return stored

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
                table = known[name].embedding and override.weights.bits == ALL_BITS
                found[name] = (
                    table_scheme(ALL_BITS, width, settings)
                    if table
                    else matrix_scheme(override.weights, width, settings)
                )
        return found

    def _gather(self, candidates: list[Candidate]) -> None:
        data = self.context.calibration()
        if data is None:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"quantize with {needs_calibration(self.settings)} needs "
                "compression.data.calibration or compression.data.train.",
            )
        widths = {item.activation: item.shape[1] for item in candidates if not item.embedding}
        self.moments = collect(self.model.path, widths, data, self.model.signature)
        self.context.report(0.3, f"activations of {len(widths)} tensors gathered")

    def _round(self, candidates: Iterable[Candidate], schemes: Mapping[str, Scheme]) -> dict[str, Stored]:
        """Round every candidate; those that share an activation together."""
        found: dict[str, Stored] = {}
        known: dict[tuple[str, Scheme], Rounded] = {}
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
                found |= {item.name: Stored(item, one, factors) for item, one in zip(alone, rounded, strict=True)}
            for item in group:
                if item.name not in found:
                    key = (item.weight, schemes[item.name])
                    known[key] = known.get(key) or self._one(item, schemes[item.name])
                    found[item.name] = Stored(item, known[key])
            done = len(found) / max(sum(counts.values()), 1)
            self.context.report(0.3 + 0.3 * done, f"{len(found)} of {sum(counts.values())} weights rounded")
        return found

    def _one(self, item: Candidate, scheme: Scheme) -> Rounded:
        rows = item.rows(self.tensors)
        if self.algorithm is QuantizeAlgorithm.GPTQ and not item.embedding:
            return gptq(rows, scheme, self.moments[item.activation].second)
        return nearest(rows, scheme)

    def _mix(self, candidates: list[Candidate], fewest: dict[str, Stored]) -> dict[str, Stored]:
        """Measure each node at its fewest bits, choose, and round again what gets more."""
        data, settings = self.context.calibration(), self.settings.mixed
        assert data is not None
        assert settings is not None
        fixed = {item.name for item in candidates if item.embedding and self.settings.embeddings is not None}
        for override in self.settings.overrides or ():
            fixed |= select(override.targets, fewest, "node", nested=True, field="overrides.targets")
        free = [item for item in candidates if item.name not in fixed]
        trial = Trial(self.model.path, [item.weight for item in candidates], data, self.model.signature)
        more = self._round(free, {item.name: self._raised(item) for item in free})
        losses: dict[str, float] = {}
        options: dict[str, list[Option]] = {}
        for number, item in enumerate(free):
            losses[item.name] = trial.loss(self._changed([fewest[item.name]]))
            options[item.name] = self._options(item, fewest[item.name], more[item.name], losses[item.name])
            self.context.report(0.6 + 0.3 * number / len(free), f"sensitivity of {item.name}")
        passes = trial.passes

        def items(choice: Choice) -> dict[str, Stored]:
            table = {node: more if option.bits == ALL_BITS else fewest for node, option in choice.items()}
            kept = {node: table[node][node] for node, option in choice.items() if option.bits != FLOAT}
            return {name: fewest[name] for name in fixed} | kept

        def measure(choice: Choice) -> float:
            return trial.loss(self._changed(items(choice).values()))

        elements = sum(item.elements for item in candidates)
        spent = sum(fewest[name].bytes * 8 for name in fixed)
        if settings.effective_bits is not None:
            room = (settings.effective_bits * elements - spent) / max(sum(item.elements for item in free), 1)
            chosen = mixed.within_bits(options, sum(item.elements for item in free), room)
            if chosen is None:
                least = (spent + sum(choices[0].cost for choices in options.values())) / elements
                raise Judged(
                    Reason.RECIPE_INVALID,
                    f"mixed.effectiveBits is {settings.effective_bits:g}, but 4 bits and their scales take {least:.2f} "
                    "on average: allow more, or set a greater mixed.groupSize.",
                )
        else:
            chosen = mixed.within_loss(options, settings.max_loss or 0.0, measure)
        result = items(chosen)
        if not result:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"mixed.maxLoss of {settings.max_loss:g} leaves every weight in float: 8 bits lose more. Allow more.",
            )
        bits = sum(item.bytes * 8 for item in result.values()) + 32 * sum(
            item.elements for item in candidates if item.name not in result
        )
        self.context.notes.append(
            f"Sensitivity of {len(free)} nodes took {passes} passes of the calibration data. Mixed precision takes "
            f"{bits / elements:.2f} bits a weight at a loss of {measure(chosen):.5f} on it."
        )
        self._tell(candidates, result, losses)
        return result

    def _raised(self, item: Candidate) -> Scheme:
        if item.embedding:
            return table_scheme(ALL_BITS, item.shape[1], self.settings)
        return matrix_scheme(QuantizeWeights(bits=ALL_BITS), item.shape[1], self.settings)

    def _changed(self, items: Iterable[Stored]) -> dict[str, Any]:
        return {item.candidate.weight: item.candidate.as_stored(item.effective()) for item in items}

    def _options(self, item: Candidate, fewest: Stored, more: Stored, loss: float) -> list[Option]:
        """Return the ways to store a node. The loss falls as the squared error of what the node itself computes."""
        rows = item.rows(self.tensors)
        errors = []
        for stored in (fewest, more):
            difference = rows - stored.effective()
            second = self.moments[item.activation].second if not item.embedding else None
            errors.append(float((difference**2).sum()) if second is None else output_error(difference, second))
        ratio = errors[1] / errors[0] if errors[0] > 0 else 0.0
        return [
            Option(4, fewest.bytes * 8, loss),
            Option(ALL_BITS, more.bytes * 8, loss * ratio),
            Option(FLOAT, item.elements * FLOAT, 0.0),
        ]

    def _tell(self, candidates: list[Candidate], stored: Mapping[str, Stored], losses: Mapping[str, float]) -> None:
        for item in candidates:
            kept = stored.get(item.name)
            self.context.layers.append(
                LayerFacts(
                    name=item.name,
                    operator=item.operator,
                    parameters=item.elements,
                    bits=round(kept.bytes * 8 / item.elements, 3) if kept else float(FLOAT),
                    loss=losses.get(item.name),
                )
            )
