"""Ids that a table does not have: said with the table, the id and the input that holds it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from modelpress.api.reasons import Reason

from .errors import Judged

TABLES = (nn.Embedding, nn.EmbeddingBag)


@contextlib.contextmanager
def explained(module: nn.Module, inputs: Mapping[str, torch.Tensor], again: Callable[[], object]) -> Iterator[None]:
    """Turn what torch raises for an id that a table of the module does not have into Judged with DatasetDoesNotFit.

    `again` repeats what failed; only then is each lookup looked at.
    """
    try:
        yield
    except (IndexError, RuntimeError) as error:  # nn.Embedding raises the one, nn.EmbeddingBag the other
        handles = [
            table.register_forward_pre_hook(_looking(name, inputs, error))
            for name, table in module.named_modules()
            if isinstance(table, TABLES)
        ]
        try:
            if handles:
                again()
        finally:
            for handle in handles:
                handle.remove()
        raise


def _looking(
    name: str, inputs: Mapping[str, torch.Tensor], error: Exception
) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def hook(table: Any, arguments: tuple[Any, ...]) -> None:
        ids = arguments[0] if arguments and isinstance(arguments[0], torch.Tensor) else torch.zeros(0)
        wrong = ids[(ids < 0) | (ids >= table.num_embeddings)]
        if not wrong.numel():
            return
        found = int(wrong.flatten()[0])
        holders = [key for key, values in inputs.items() if not values.is_floating_point() and (values == found).any()]
        where = f"input {holders[0]} holds" if len(holders) == 1 else "it is given"
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"Table {name} has the ids 0 to {table.num_embeddings - 1}, and {where} {found}: correct the data, or "
            "build the module with more rows.",
        ) from error

    return hook
