"""`weights.safetensors` into a module: every key, every shape, nothing left over. Never unpickles."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from modelpress.api.reasons import Reason
from modelpress.api.source import PICKLES

from ..errors import Judged
from .files import refuse_hollow

WEIGHTS = "weights.safetensors"
PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How torch.save's zip and bare pickles begin."""
CONVERT = "convert it with safetensors.torch.save_file(module.state_dict(), 'weights.safetensors') where you trust it"
NAMED = 5
"""So many keys are named in a sentence."""
DERIVED = "num_batches_tracked"
"""Buffers that may be missing: nothing is computed from them in evaluation."""


def load(module: nn.Module, folder: Path, name: str = WEIGHTS) -> None:
    """Load a file of the folder strictly. Raises Judged: PickleRefused, SourceInvalid, WeightsDoNotFit."""
    path = folder / name
    _refuse_pickle(path)
    refuse_hollow(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            given = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise Judged(
            Reason.SOURCE_INVALID,
            f"{name} cannot be read ({' '.join(str(error).split())}): upload it again, it may be truncated.",
        ) from error
    problems = compare(module.state_dict(), given)
    if problems:
        raise Judged(Reason.WEIGHTS_DO_NOT_FIT, f"{name} does not fit the module: {'; '.join(problems)}.")
    _put(module, given)


def _put(module: nn.Module, given: dict[str, torch.Tensor]) -> None:
    """Have the module's tensors be those of the file, which are mapped: what they held before is freed.

    Those of another type than the module's are converted, and those that share storage with another are copied.
    """
    own = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    sharing = Counter(storage for _, storage in {(id(item), _storage(item)) for item in own.values()})
    with torch.no_grad():
        for name, values in given.items():
            item = own.get(name)
            if item is None or sharing[_storage(item)] > 1:
                module.load_state_dict({name: values}, strict=False)
            else:
                item.data = values.to(item.dtype)


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def compare(wanted: dict[str, torch.Tensor], given: dict[str, torch.Tensor]) -> list[str]:
    """Return what is missing, left over, of another shape, or whole numbers where the module has others.

    A key whose storage another key fills is not missing.
    """
    filled = {wanted[name].data_ptr() for name in given if name in wanted}
    missing = [
        name
        for name, tensor in wanted.items()
        if name not in given and not name.endswith(DERIVED) and (tensor.numel() == 0 or tensor.data_ptr() not in filled)
    ]
    unexpected = [name for name in given if name not in wanted]
    both = [name for name in given if name in wanted]
    other = [
        f"{name} is {list(given[name].shape)} and should be {list(wanted[name].shape)}"
        for name in both
        if given[name].shape != wanted[name].shape
    ]
    whole = [
        f"{name} is {_type(given[name])} and should be {_type(wanted[name])}"
        for name in both
        if wanted[name].is_floating_point() and not given[name].is_floating_point()
    ]
    found = [
        ("missing", missing),
        ("unexpected", unexpected),
        ("of another shape", other),
        ("of another type", whole),
    ]
    return [f"{what}: {some(names)}" for what, names in found if names]


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def some(names: list[str]) -> str:
    """Return the first few names, and how many there are more."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _refuse_pickle(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as opened:
            start = opened.read(4)
        if start.startswith(PICKLE_STARTS):
            raise Judged(Reason.PICKLE_REFUSED, f"{path.name} is a pickle, which runs code when it is read: {CONVERT}.")
        return
    pickles = sorted(item.name for item in path.parent.iterdir() if item.suffix in PICKLES)
    if pickles:
        raise Judged(Reason.PICKLE_REFUSED, f"{pickles[0]} is a pickle, which runs code when it is read: {CONVERT}.")
    others = sorted(item.name for item in path.parent.iterdir() if item.suffix == path.suffix)
    renamed = f"if its state is in {some(others)}, call that {path.name}, or " if others else ""
    raise Judged(
        Reason.SOURCE_INVALID,
        f"The source has no {path.name}: {renamed}save the module's state there with safetensors.torch.save_file.",
    )
