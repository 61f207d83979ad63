"""Stage cut: whole blocks go, those without which the outputs stay nearest to what they were. Runs tenants' code.

Blocks are ranked by the outputs themselves, one being left out after the other, greedily. Block influence (ShortGPT,
Men et al. 2024, arXiv:2403.03853: how far a block turns what passes through it) costs a single forward and misranks:
on a six-layer sentence encoder it puts two layers level of which one costs twice as much as the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modelpress.api.reasons import Reason
from modelpress.api.source import SourceFormat
from modelpress.api.stages import Cut

from ..errors import Judged
from ..formats.entrypoint import Guard
from ..models import ModuleModel
from ..signature import Array, Arrays, calls, example
from .blocks import Blocks
from .context import Context
from .padding import at_words

NAMED = 5
"""Most modules that a sentence names."""
PIECE = 32
"""Samples of one forward."""


def run(model: ModuleModel, settings: Cut, context: Context) -> ModuleModel:
    """Remove blocks in place. Raises Judged: RecipeInvalid, StageFailed, EntrypointFailed."""
    blocks = Blocks(model, settings.blocks)
    count, name = len(blocks.all), settings.blocks
    data = context.calibration()
    inputs = example(model.signature, 2, context.seed, data)
    with Guard(context.source, "forward before a cut"):
        refused = blocks.refused(inputs)
    if settings.remove is not None:
        gone = _named(set(settings.remove), count, name, refused)
    else:
        number = count - (settings.keep or count)
        _check_number(number, count, name, refused)
        if data is None:
            raise Judged(
                Reason.RECIPE_INVALID, "cut with keep needs compression.data.calibration or compression.data.train."
            )
        gone = least(model, blocks, number, set(refused), data, context)
    shapes = {output: value.shape for output, value in model.run(inputs).items()}
    names, removed = dict(model.module.named_modules()), [blocks.all[position][1] for position in gone]
    called = blocks.called(inputs).difference(*(block.modules() for block in removed))
    parameters = sum(item.numel() for item in model.module.parameters())
    blocks.remove(gone)
    with Guard(context.source, f"forward without blocks {_list(gone)} of {name}", Reason.STAGE_FAILED):
        got = {output: value.shape for output, value in model.run(inputs).items()}
    if got != shapes or len(blocks.all) != count - len(gone):
        raise Judged(Reason.STAGE_FAILED, f"Without blocks {_list(gone)} of {name} the outputs change their shape.")
    left = called - blocks.called(inputs)
    if left and gone != list(range(count - len(gone), count)):
        context.warnings.append(_by_position([key for key, item in names.items() if item in left], gone, name))
    if context.spec is not None and context.spec.format is SourceFormat.TRANSFORMERS:
        context.configuration |= blocks.described()
    after = sum(item.numel() for item in model.module.parameters())
    context.notes.append(
        f"Blocks {_list(gone)} of {name} were removed, {count - len(gone)} stay; "
        f"{parameters - after} of {parameters} parameters went."
    )
    return model


def _by_position(left: Sequence[str], gone: Sequence[int], name: str) -> str:
    """Return what to say of modules that nobody calls any more, though they are no part of the blocks that went."""
    return (
        f"Without blocks {_list(gone)} of {name} forward does not call {', '.join(left[:NAMED])} any more: it takes "
        f"them by position, so that blocks that stay may have been given what belonged to others. If {left[0]} is of a "
        "list beside the blocks, cut the same positions of that list in a stage of its own; or cut the last blocks "
        "alone."
    )


def _named(asked: set[int], count: int, name: str, refused: Mapping[int, str]) -> list[int]:
    """Return the blocks that `remove` names. Raises Judged with RecipeInvalid."""
    beyond = [position for position in sorted(asked) if position >= count]
    if beyond:
        raise Judged(
            Reason.RECIPE_INVALID, f"cut.remove names block {beyond[0]}, but {name} has {count}, numbered from 0."
        )
    if len(asked) == count:
        raise Judged(Reason.RECIPE_INVALID, f"cut.remove names all {count} blocks of {name}: leave one.")
    for position in sorted(asked & set(refused)):
        raise Judged(Reason.RECIPE_INVALID, f"Block {position} of {name} cannot be cut: it {refused[position]}.")
    return sorted(asked)


def _check_number(number: int, count: int, name: str, refused: Mapping[int, str]) -> None:
    """Raise Judged with RecipeInvalid if no so many blocks can go."""
    if number < 1:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"cut.keep is no less than the {count} blocks of {name}: keep fewer, or leave the stage out.",
        )
    if number > count - len(refused):
        position, problem = next(iter(refused.items()))
        raise Judged(
            Reason.RECIPE_INVALID,
            f"Of the {count} blocks of {name} at most {count - len(refused)} can be cut, and cut.keep asks for "
            f"{number}: block {position}, for one, {problem}.",
        )


def least(
    model: ModuleModel, blocks: Blocks, number: int, fixed: set[int], data: Arrays, context: Context
) -> list[int]:
    """Return so many blocks to remove, found one after the other by the change of the outputs; not the fixed ones."""
    expected = _outputs(model, data)
    gone: list[int] = []
    free = [position for position in range(len(blocks.all)) if position not in fixed]
    total, done = sum(len(free) - step for step in range(number)), 0
    for _ in range(number):
        changes: dict[int, float] = {}
        failed: Judged | None = None
        for position in (item for item in free if item not in gone):
            told = Guard(context.source, f"forward without block {position} of {blocks.name}", Reason.STAGE_FAILED)
            try:
                with blocks.without([*gone, position]), told:
                    changes[position] = _change(expected, _outputs(model, data))
            except Judged as refused:  # another block may be one that forward can do without
                changes[position], failed = float("inf"), refused
            done += 1
            context.report(done / total, f"without block {position}: the outputs change by {changes[position]:.3g}")
        best = min(changes, key=lambda position: changes[position])
        if failed is not None and not np.isfinite(changes[best]):
            raise failed
        gone.append(best)
        context.notes.append(
            f"Without block {best} the outputs change least, by {changes[best]:.3g} "
            f"(the others: {', '.join(f'{key}: {value:.3g}' for key, value in changes.items() if key != best)})."
        )
    return sorted(gone)


def _outputs(model: ModuleModel, data: Arrays) -> list[list[Array]]:
    """Return the floating-point outputs of all samples, in pieces, without those at padding."""
    return [at_words(model.run(inputs), inputs) for inputs in calls(data, model.signature, PIECE)]


def _change(expected: list[list[Array]], got: list[list[Array]]) -> float:
    """Return the root-mean-square difference relative to the outputs."""
    differences, sizes = [0.0] * len(expected[0]), [1e-12] * len(expected[0])
    for wanted, found in zip(expected, got, strict=True):
        for index, (left, right) in enumerate(zip(wanted, found, strict=True)):
            if left.shape != right.shape:
                return float("inf")
            exact = left.astype(np.float64)
            differences[index] += float(np.square(exact - right.astype(np.float64)).sum())
            sizes[index] += float(np.square(exact).sum())
    change = float(np.mean(np.sqrt(np.divide(differences, sizes)))) if sizes else 0.0
    return change if np.isfinite(change) else float("inf")


def _list(positions: Sequence[int]) -> str:
    return ", ".join(map(str, positions))
