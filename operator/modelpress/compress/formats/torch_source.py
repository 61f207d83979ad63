"""Format torch: an entrypoint that builds the module, `weights.safetensors` beside it. Runs tenants' code."""

from __future__ import annotations

from pathlib import Path

import torch

from modelpress.api.reasons import Reason
from modelpress.api.source import Source

from ..errors import Judged
from ..models import ModuleModel, tensors
from ..signature import BATCH, Arrays, Signature, describe, example
from . import entrypoint, weights

SAMPLES = 2


def load(source: Source, folder: Path, _scratch: Path, package: str = entrypoint.PACKAGE) -> ModuleModel:
    """Return the module with its weights, in evaluation mode. Raises Judged.

    `package`: under which name files of the folder are imported.
    """
    if not source.entrypoint or not source.trust_code:
        raise Judged(Reason.INVALID_SPEC, "Format torch needs source.entrypoint and source.trustCode: true.")
    signature = Signature(source.inputs or (), source.outputs or ()).checked()
    if not signature.inputs or not signature.outputs:
        raise Judged(Reason.INVALID_SPEC, "Format torch needs source.inputs and source.outputs.")
    module = entrypoint.build(folder.resolve(), source.entrypoint, dict(source.kwargs or {}), package=package)
    weights.load(module, folder)
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    module.eval()
    return ModuleModel(module, signature)


def probe(model: ModuleModel, folder: Path, data: Arrays | None, seed: int) -> None:
    """Run forward once and check the outputs against the spec. Raises Judged."""
    inputs = example(model.signature, SAMPLES, seed, data)
    shapes = ", ".join(f"{name} {describe(value.shape)}" for name, value in inputs.items())
    model.module.eval()
    made_up = "" if data is not None else " (made up, since no data is given)"
    guard = entrypoint.Guard(folder, f"forward of {type(model.module).__name__} with {shapes}{made_up}")
    try:
        with guard, torch.no_grad():
            outputs = model.call(tensors(inputs))
    except Judged as error:
        if data is not None or error.reason is not Reason.DATASET_DOES_NOT_FIT:
            raise
        raise Judged(
            Reason.SOURCE_INVALID,
            f"The module was tried with {shapes}, since no data says which sizes it takes. "
            f"{error.message.partition(':')[0]}: give compression.data.calibration, or a number in the place of a name "
            "in source.inputs[].shape.",
        ) from error
    for spec, output in zip(model.signature.outputs, outputs, strict=True):
        if model.signature.batched and tuple(output.shape[:1]) != (SAMPLES,):
            raise Judged(
                Reason.SOURCE_INVALID,
                f"Output {spec.name} has shape {describe(output.shape)} for {SAMPLES} samples: its first axis must "
                "count samples.",
            )
        wanted = spec.shape
        fixed = [] if wanted is None else [SAMPLES if size == BATCH else size for size in wanted]
        if wanted is not None and (
            len(fixed) != output.ndim
            or any(isinstance(size, int) and size != got for size, got in zip(fixed, output.shape, strict=True))
        ):
            raise Judged(
                Reason.SOURCE_INVALID,
                f"Output {spec.name} has shape {describe(output.shape)} for {SAMPLES} samples, source.outputs says "
                f"{describe(wanted)}.",
            )
