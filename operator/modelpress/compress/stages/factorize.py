"""Stage factorize: layers become two thin ones, the product of low rank that answers nearest to them.

Which layers run at all is watched, so forward may be any code. Singular values are those of the weights as their inputs
excite them, where there is data (`low_rank`); without, those of the weights alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from modelpress.api.defaults import EffectiveFactorize, with_defaults
from modelpress.api.reasons import Reason
from modelpress.api.stages import Factorize

from ..errors import Judged
from ..formats.entrypoint import Guard
from ..models import ModuleModel
from ..signature import Arrays, example
from . import layer_inputs
from .context import Context
from .layer_inputs import Layer
from .low_rank import Factors, factors, rank_within, ranks_of, ranks_that_save
from .naming import select
from .portions import portions
from .sharing import layers_that_share
from .thin import Factorized
from .turned import known_as_linear

SAMPLES = 2
SHOWN = 8
REASONS = 3
"""So many layers are named where none can be factorized."""

Whole = Layer | Factorized
"""A layer, or what was made of one by an earlier stage of this kind."""


def run(model: ModuleModel, given: Factorize, context: Context) -> ModuleModel:
    """Factorize in place. Raises Judged: RecipeInvalid, StageFailed, EntrypointFailed."""
    with known_as_linear(model.module):
        return _factorized(model, given, context)


def _factorized(model: ModuleModel, given: Factorize, context: Context) -> ModuleModel:
    settings = with_defaults(given)
    data = context.calibration()
    inputs = example(model.signature, SAMPLES, context.seed, data)
    layers = _layers(model, settings, inputs, context)
    found = _factors(model, layers, data, context)
    ranks = _ranks(found, settings, sum(item.numel() for item in model.module.parameters()))
    shapes = {name: value.shape for name, value in model.run(inputs).items()}
    for name, rank in ranks.items():
        thin = Factorized.of(layers[name], rank)
        thin.put(found[name].outer[:, :rank], found[name].inner[:rank])
        parent, _, last = name.rpartition(".")
        setattr(model.module.get_submodule(parent), last, thin)
    with Guard(context.source, "forward after factorize", Reason.STAGE_FAILED):
        got = {name: value.shape for name, value in model.run(inputs).items()}
    if got != shapes:
        raise Judged(Reason.STAGE_FAILED, "After factorize the outputs change their shape.")
    _tell(found, ranks, context, data)
    return model


def _layers(model: ModuleModel, settings: EffectiveFactorize, inputs: Arrays, context: Context) -> dict[str, Whole]:
    """Return the layers that may be factorized, by name. Raises Judged: RecipeInvalid, EntrypointFailed."""
    known = _known(model.module)
    names = [name for name, _ in model.module.named_modules() if name]
    wanted = (
        set(names)
        if settings.targets is None
        else select(settings.targets, names, "layer", nested=True, field="targets")
    )
    ignored = select(settings.ignore, names, "layer", nested=True)
    places = {name: _place(name, layer) for name, layer in known.items()}
    with (
        layer_inputs.watched(model.module, list(places.values())) as seen,
        Guard(context.source, "forward before factorize"),
    ):
        model.run(inputs)
        called = {name for name, place in places.items() if seen[place]}
    shared = layers_that_share(model.module)
    found: dict[str, Whole] = {}
    left: list[str] = []
    for name, layer in known.items():
        if name not in wanted or name in ignored:
            continue
        problem = _problem(name, layer, model, shared) if name in called else "forward does not call it"
        if problem is None:
            found[name] = layer
        else:
            left.append(f"{name} was left alone: {problem}.")
    if settings.targets is not None:
        context.warnings.extend(left[:SHOWN])
        if len(left) > SHOWN:
            context.warnings.append(f"{len(left) - SHOWN} more were left alone.")
    if not found:
        which = "of those in targets " if settings.targets is not None else ""
        raise Judged(
            Reason.RECIPE_INVALID,
            f"factorize found no layer {which}that it knows: linear layers and convolutions without groups, with "
            f"weights of their own, and not in ignore. {' '.join(left[:REASONS])}".rstrip(),
        )
    return found


def _known(module: nn.Module) -> dict[str, Whole]:
    """Return the layers by name; those that are a product already as the one layer that they were."""
    plain = layer_inputs.layers(module)
    found: dict[str, Whole] = {}
    for name, item in module.named_modules():
        parts = {f"{name}.inner", f"{name}.outer"}
        whole = isinstance(item, Factorized) and parts <= plain.keys()
        if whole or (isinstance(item, Layer) and name and name.rpartition(".")[0] not in found):
            found[name] = item
    return found


def _place(name: str, layer: Whole) -> str:
    """Return the layer that takes the inputs."""
    return f"{name}.inner" if isinstance(layer, Factorized) else name


def _problem(name: str, layer: Whole, model: ModuleModel, shared: set[str]) -> str | None:
    """Return why a layer cannot be factorized, None if it can."""
    if isinstance(layer, Factorized):
        parts: dict[str, Any] = {"inner": layer.inner, "outer": layer.outer}
        found = (_problem(f"{name}.{key}", part, model, shared) for key, part in parts.items())
        return next((problem for problem in found if problem is not None), None)
    problems = {
        "its channels are in groups": getattr(layer, "groups", 1) != 1,
        f"{type(layer).__name__} has a forward of its own": not layer_inputs.as_torch(layer),
        "another layer has the same weight": name in shared,
        "its weight is computed from others": parametrize.is_parametrized(layer),
        "its weights that were pruned to zero would come back": f"{name}.weight" in model.masks,
        "its weights are no floating-point numbers": not layer.weight.is_floating_point(),
    }
    return next((problem for problem, there in problems.items() if there), None)


def _factors(model: ModuleModel, layers: dict[str, Whole], data: Arrays | None, context: Context) -> dict[str, Factors]:
    """Return the factors of each layer's weight, in portions whose inputs fit into memory.

    Raises Judged: EntrypointFailed, NotFinite.
    """

    def columns(name: str) -> int:
        return layers[name].weight[0].numel()

    found: dict[str, Factors] = {}
    for portion in portions(layers, lambda name: columns(name) ** 2, layer_inputs.BUDGET):
        looked_at = [name for name in portion if columns(name) <= layer_inputs.WIDEST] if data is not None else []
        with Guard(context.source, "forward on the calibration data"):
            places = [_place(name, layers[name]) for name in looked_at]
            squares = layer_inputs.squares(places, model, data, context.seed) if data is not None else {}
        for name in portion:
            square = squares.get(_place(name, layers[name]))
            if square is not None and not torch.isfinite(square).all():
                raise Judged(
                    Reason.NOT_FINITE,
                    f"On the calibration data {name} takes NaN, infinity, or numbers too great to be squared: check "
                    "the data and the weights, or name the layer in ignore.",
                )
            found[name] = factors(layers[name].weight.detach().flatten(1), square, _numbers(layers[name]))
            context.report(0.9 * len(found) / len(layers), name)
    return found


def _numbers(layer: Whole) -> int:
    """Return how many numbers hold a layer's weight."""
    if isinstance(layer, Factorized):
        return sum(item.numel() for name, item in layer.named_parameters() if name.endswith("weight"))
    return layer.weight.numel()


def _ranks(found: dict[str, Factors], settings: EffectiveFactorize, parameters: int) -> dict[str, int]:
    """Return the rank of each layer that becomes smaller. Raises Judged with RecipeInvalid if none does."""
    multiple = settings.round_to
    if not any(item.saved(1) for item in found.values()):
        raise Judged(
            Reason.RECIPE_INVALID,
            f"factorize makes no layer smaller: of {', '.join(list(found)[:REASONS])} two layers of rank 1 would have "
            "as many numbers as the one.",
        )
    if settings.parameters is not None:
        ranks = ranks_that_save(found, round(settings.parameters * parameters), multiple)
        if ranks is None:
            least = ranks_of(found, lambda _: 1, multiple)
            most = sum(found[name].saved(rank) for name, rank in least.items()) / parameters
            raise Judged(
                Reason.RECIPE_INVALID,
                f"factorize.parameters {settings.parameters:g}: at most {most:.3g} of the parameters can go, were "
                f"every layer of rank {multiple}; ask for less.",
            )
        return ranks
    if settings.rank is not None:
        rank = settings.rank
        ranks = ranks_of(found, lambda _: rank, multiple)
    else:
        assert settings.error is not None, "exactly one is set"
        ranks = ranks_of(found, rank_within(settings.error), multiple)
    if not ranks:
        name, widest = max(found.items(), key=lambda item: len(item[1].inner))
        asked = f"rank {settings.rank}" if settings.rank is not None else f"an error of {settings.error:g}"
        raise Judged(
            Reason.RECIPE_INVALID,
            f"factorize with {asked} makes no layer smaller; the greatest rank that does is {len(widest.inner)}, of "
            f"{name}, with an error of {widest.errors[-1]:.3g}.",
        )
    return ranks


def _tell(found: dict[str, Factors], ranks: dict[str, int], context: Context, data: Arrays | None) -> None:
    lines = [
        f"{name} to rank {rank} (error {found[name].errors[min(rank, len(found[name].errors) - 1)]:.3g})"
        for name, rank in ranks.items()
    ]
    saved = sum(found[name].saved(rank) for name, rank in ranks.items())
    more = f", and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    context.notes.append(
        f"Factorized {len(ranks)} of {len(found)} layers, {saved:,} parameters fewer: {', '.join(lines[:SHOWN])}{more}."
    )
    if data is None:
        context.notes.append("Without calibration data all inputs of a layer counted alike.")
