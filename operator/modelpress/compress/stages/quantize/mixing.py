"""Mixed precision on a graph: measure what each weight costs at 4 bits, choose, and keep what was chosen.

A weight is measured with one forward pass of some of the calibration data. Its loss at 8 bits is not measured: it
falls as the squared error of what the node itself computes does, and that is known from the second moments of its
activations. Whatever the algorithm, 8 bits are rounded to nearest: there is next to nothing to gain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modelpress.api.reasons import Reason
from modelpress.api.stages import Quantize, QuantizeAlgorithm, QuantizeMixed, QuantizeWeights

from ...errors import Judged
from ...signature import Arrays
from ..naming import select
from . import mixed
from .awq import output_error
from .candidates import Candidate
from .mixed import FLOAT, Choice, Option
from .rounding import Floats, Scheme
from .scheme import matrix_scheme, table_scheme
from .sensitivity import Trial
from .weights import Work
from .writing import Stored

SAMPLES = 128
"""Samples of the calibration data that losses are measured on: their order is known after few."""
ENOUGH = 64
"""Samples of which a quarter may be held out; of fewer, all are looked at twice."""
FEWEST: Literal[4] = 4
MORE: Literal[8] = 8
"""Bits that a weight may get before it is left in float."""


@dataclass
class Mixing:
    """Candidates of one graph, rounded to their fewest bits and to more."""

    work: Work
    settings: QuantizeMixed
    candidates: list[Candidate]
    fewest: Mapping[str, Stored]
    data: Arrays
    losses: dict[str, float] = field(default_factory=dict)
    """Of the outputs, with only this weight in its fewest bits."""

    def __post_init__(self) -> None:
        given = self.work.settings
        fixed = {item.name for item in self.candidates if item.embedding and given.embeddings is not None}
        for override in given.overrides or ():
            fixed |= select(override.targets, self.fewest, "node", nested=True, field="overrides.targets")
        self.fixed = {name: self.fewest[name] for name in fixed}
        self.free = [item for item in self.candidates if item.name not in fixed]
        self.more = {item.name: Stored(item, self.work.nearest(item, self._raised(item))) for item in self.free}
        model = self.work.model
        data = some(self.data, self.work.context.seed)
        self.samples = len(next(iter(data.values())))
        self.trial = Trial(model.path, [item.weight for item in self.candidates], data, model.signature)

    def choose(self) -> dict[str, Stored]:
        """Return what is to be written, by node. Raises Judged with RecipeInvalid for a budget that nothing keeps."""
        options: dict[str, list[Option]] = {}
        for number, item in enumerate(self.free):
            if item.weight not in options:
                self.losses[item.weight] = self.trial.loss(_changed([self.fewest[item.name]]))
                options[item.weight] = self._options(item)
            self.work.context.report(0.6 + 0.3 * number / len(self.free), f"sensitivity of {item.name}")
        passes = self.trial.passes
        chosen = self._within_bits(options) if self.settings.effective_bits is not None else self._within_loss(options)
        kept = self._kept(chosen)
        self.work.context.notes.append(
            f"Sensitivity of {len(options)} weights took {passes} passes of {self.samples} samples. Mixed precision "
            f"takes {self._bits(kept):.2f} bits a weight, and loses {self._measure(chosen):.5f} on that data."
        )
        return kept

    def _within_bits(self, options: Mapping[str, list[Option]]) -> Choice:
        most = self.settings.effective_bits or 0.0
        everything = _elements(self.candidates)
        spent = sum(item.bytes * 8 for item in _unique(self.fixed.values()))
        room = most * everything - spent
        chosen = mixed.within_bits(options, room)
        if chosen is None:
            least = (spent + sum(choices[0].cost for choices in options.values())) / everything
            raise Judged(
                Reason.RECIPE_INVALID,
                f"mixed.effectiveBits is {most:g}, but {FEWEST} bits and their scales take {least:.2f} on average: "
                "allow more, or set a greater mixed.groupSize.",
            )
        if not self._kept(chosen):
            raise Judged(
                Reason.RECIPE_INVALID, f"mixed.effectiveBits of {most:g} leaves every weight in float: allow fewer."
            )
        return chosen

    def _within_loss(self, options: Mapping[str, list[Option]]) -> Choice:
        most = self.settings.max_loss or 0.0
        chosen = mixed.within_loss(options, most, self._measure)
        if not self._kept(chosen):
            raise Judged(
                Reason.RECIPE_INVALID,
                f"mixed.maxLoss of {most:g} leaves every weight in float, since {MORE} bits lose more: allow more.",
            )
        return chosen

    def _kept(self, choice: Choice) -> dict[str, Stored]:
        tables = {FEWEST: self.fewest, MORE: self.more}
        bits = {item.name: choice[item.weight].bits for item in self.free}
        return self.fixed | {name: tables[count][name] for name, count in bits.items() if count != FLOAT}

    def _measure(self, choice: Choice) -> float:
        return self.trial.loss(_changed(self._kept(choice).values()))

    def _bits(self, kept: Mapping[str, Stored]) -> float:
        left = _elements(item for item in self.candidates if item.name not in kept)
        stored = sum(item.bytes * 8 for item in _unique(kept.values()))
        return (stored + FLOAT * left) / _elements(self.candidates)

    def _raised(self, item: Candidate) -> Scheme:
        if item.embedding:
            return table_scheme(MORE, item.shape[1], self.work.settings)
        return matrix_scheme(QuantizeWeights(bits=MORE), item.shape[1], self.work.settings)

    def _options(self, item: Candidate) -> list[Option]:
        rows = item.rows(self.work.tensors)
        moments = None if item.embedding else self.work.moments[item.activation]
        fewest, more = self.fewest[item.name], self.more[item.name]
        errors = []
        for stored in (fewest, more):
            difference = rows - stored.effective()
            errors.append(output_error(difference, moments.second) if moments else float((difference**2).sum()))
        loss = self.losses[item.weight]
        return [
            Option(FEWEST, fewest.bytes * 8, loss),
            Option(MORE, more.bytes * 8, loss * (errors[1] / errors[0] if errors[0] > 0 else 0.0)),
            Option(FLOAT, item.elements * FLOAT, 0.0),
        ]


def parted(settings: Quantize, data: Arrays | None, seed: int) -> tuple[Arrays | None, Arrays | None]:
    """Return what weights are fitted to, and what losses are measured on: neither, if there is no data.

    What GPTQ fits to samples loses less on those than on others, by half where samples are few: there, a limit of the
    loss would not be kept.
    """
    count = len(next(iter(data.values()))) if data else 0
    limited = settings.mixed is not None and settings.mixed.max_loss is not None
    if data is None or not limited or settings.algorithm is not QuantizeAlgorithm.GPTQ or count < ENOUGH:
        return data, data
    order, held = np.random.default_rng(seed).permutation(count), min(count // 4, SAMPLES)
    return _rows(data, order[held:]), _rows(data, order[:held])


def some(data: Arrays, seed: int) -> Arrays:
    """Return the samples that losses are measured on, chosen by the seed."""
    count = len(next(iter(data.values())))
    return _rows(data, np.random.default_rng(seed).permutation(count)[:SAMPLES])


def _rows(data: Arrays, chosen: NDArray[np.int64]) -> Arrays:
    return {name: column[np.sort(chosen)] for name, column in data.items()}


def _changed(items: Iterable[Stored]) -> dict[str, Floats]:
    return {item.candidate.weight: item.candidate.as_stored(item.effective()) for item in items}


def _unique(items: Iterable[Stored]) -> list[Stored]:
    """Return one of those that share a weight."""
    return list({item.candidate.weight: item for item in items}.values())


def _elements(items: Iterable[Candidate]) -> int:
    return sum({item.weight: item.elements for item in items}.values())
