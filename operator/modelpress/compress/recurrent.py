"""Recurrent layers of torch as ONNX has them: one LSTM, GRU or RNN a layer, for any batch and any length.

torch's exporter unrolls nn.RNN, takes the length of the example for the length of all (pytorch #191855), and gives GRU
another reset gate than torch's (pytorch #189225). So while a module is exported, `forward` of its recurrent layers is
ours, and writes ONNX's operators with weights that lie as ONNX has them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from modelpress.api.reasons import Reason

from .errors import Judged

KINDS: tuple[Any, ...] = (nn.LSTM, nn.GRU, nn.RNN)
CELLS: tuple[Any, ...] = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)
GATES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN_TANH": (0,), "RNN_RELU": (0,)}
)
"""Order of torch's gates in ONNX: [i, f, g, o] → [i, o, f, c], [r, z, n] → [z, r, h]."""
ACTIVATIONS: Mapping[str, str] = MappingProxyType({"RNN_TANH": "Tanh", "RNN_RELU": "Relu"})
WEIGHTS = ("input_weights", "recurrent_weights", "biases")
"""What ONNX calls W, R and B; the number of the layer stands behind."""


@contextlib.contextmanager
def as_operators(module: nn.Module) -> Iterator[None]:
    """Let recurrent layers of the module write ONNX's operators while an export traces it, and only then.

    Raises Judged with ExportFailed for what ONNX has no operator for.
    """
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, KINDS)}
    added: list[tuple[nn.Module, str]] = []
    with contextlib.ExitStack() as stack:
        for name, layer in layers.items():
            if getattr(layer, "proj_size", 0):
                raise Judged(
                    Reason.EXPORT_FAILED,
                    f"Layer {name} has proj_size {layer.proj_size}, and ONNX's LSTM has no projection: leave proj_size "
                    "out and put a linear layer behind it.",
                )
            for number in range(layer.num_layers):
                for kind, values in zip(WEIGHTS, _weights(layer, number), strict=True):
                    if values is not None:
                        layer.register_buffer(f"{kind}_{number}", values, persistent=False)
                        added.append((layer, f"{kind}_{number}"))
        stack.enter_context(_replaced(_forward))
        try:
            yield
        finally:
            for layer, buffer in added:
                delattr(layer, buffer)


@contextlib.contextmanager
def as_single_steps() -> Iterator[None]:
    """Let each recurrent layer and cell be one step of autograd's graph, whatever it answers, so that dependencies
    between the layers around it can be traced."""
    with _replaced(_step), _replaced(_cell_step, CELLS):
        yield


@contextlib.contextmanager
def _replaced(forward: Callable[..., Any], kinds: tuple[Any, ...] = KINDS) -> Iterator[None]:
    before = {kind: kind.forward for kind in kinds}
    try:
        for kind in kinds:
            kind.forward = forward
        yield
    finally:
        for kind, own in before.items():
            kind.forward = own


def refuse_packed(module: nn.Module, run: Callable[[], object]) -> None:
    """Call `run`, which calls the module; raise Judged with ExportFailed if a layer in it takes packed sequences."""

    def look(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_layer: nn.Module, arguments: tuple[Any, ...]) -> None:
            if arguments and isinstance(arguments[0], PackedSequence):
                raise Judged(
                    Reason.EXPORT_FAILED,
                    f"Layer {name} takes a packed sequence, which has no form in ONNX: give it the padded tensor, and "
                    "take each sample's answer at its own last step (gather) or mask the padding.",
                )

        return hook

    handles = [
        layer.register_forward_pre_hook(look(name))
        for name, layer in module.named_modules()
        if isinstance(layer, KINDS)
    ]
    try:
        if handles:
            run()
    finally:
        for handle in handles:
            handle.remove()


def _weights(layer: Any, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return W [directions, gates * hidden, inputs], R [directions, gates * hidden, hidden], B [directions, …]."""
    found: list[list[torch.Tensor]] = []
    for direction in range(_directions(layer)):
        end = f"l{number}{'_reverse' if direction else ''}"
        pairs = [getattr(layer, f"weight_{what}_{end}") for what in ("ih", "hh")]
        if layer.bias:
            pairs.append(
                torch.cat([_in_order(getattr(layer, f"bias_{what}_{end}"), layer.mode) for what in ("ih", "hh")])
            )
        found.append([_in_order(pairs[0], layer.mode), _in_order(pairs[1], layer.mode), *pairs[2:]])
    stacked = [torch.stack(items).detach().clone() for items in zip(*found, strict=True)]
    return stacked[0], stacked[1], stacked[2] if layer.bias else None


def _in_order(values: torch.Tensor, mode: str) -> torch.Tensor:
    """Return rows of gates in ONNX's order."""
    parts = values.chunk(len(GATES[mode]))
    return torch.cat([parts[place] for place in GATES[mode]])


def _directions(layer: Any) -> int:
    return 2 if layer.bidirectional else 1


def _forward(layer: Any, input: torch.Tensor, hx: Any = None) -> tuple[torch.Tensor, Any]:
    """Do what forward of nn.LSTM, nn.GRU and nn.RNN does, in operators of ONNX; dropout is none in evaluation.

    Input [time, batch, inputs], or [batch, time, inputs] if batch_first, or [time, inputs].
    """
    single = input.dim() == 2
    values = input.unsqueeze(1) if single else input.transpose(0, 1) if layer.batch_first else input
    given = () if hx is None else hx if layer.mode == "LSTM" else (hx,)
    before = [state.unsqueeze(1) if single else state for state in given]
    directions, ends = _directions(layer), []
    for number in range(layer.num_layers):
        own = [state[number * directions : (number + 1) * directions] for state in before]
        values, end = _operator(layer, number, values, own)
        ends.append(end)
    states = [torch.cat(items) for items in zip(*ends, strict=True)]
    if single:
        values, states = values.squeeze(1), [state.squeeze(1) for state in states]
    elif layer.batch_first:
        values = values.transpose(0, 1)
    return values, tuple(states) if layer.mode == "LSTM" else states[0]


def _operator(
    layer: Any, number: int, values: torch.Tensor, before: list[torch.Tensor]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Write one operator; return what it answers [time, batch, directions * hidden], and its last states."""
    time, batch, _ = values.shape
    directions, hidden = _directions(layer), layer.hidden_size
    attributes: dict[str, Any] = {
        "hidden_size": hidden,
        "direction": "bidirectional" if layer.bidirectional else "forward",
    }
    if layer.mode == "GRU":
        attributes["linear_before_reset"] = 1
    if layer.mode in ACTIVATIONS:
        attributes["activations"] = [ACTIVATIONS[layer.mode]] * directions
    weights = [getattr(layer, f"{kind}_{number}", None) for kind in WEIGHTS]
    state = (directions, batch, hidden)
    shapes = [(time, directions, batch, hidden), *[state] * (2 if layer.mode == "LSTM" else 1)]
    answers, *ends = torch.onnx.ops.symbolic_multi_out(
        layer.mode.partition("_")[0],
        [values, *weights, *([None, *before] if before else [])],
        attributes,
        dtypes=[values.dtype] * len(shapes),
        shapes=shapes,
    )
    return torch.cat(answers.unbind(1), -1) if directions > 1 else answers.squeeze(1), ends


def _step(layer: Any, input: torch.Tensor, hx: Any = None) -> tuple[torch.Tensor, Any]:
    """Answer in the shapes of forward, in one step."""
    directions, hidden = _directions(layer), layer.hidden_size
    batch = () if input.dim() == 2 else (input.shape[0 if layer.batch_first else 1],)
    shapes = [(*input.shape[:-1], directions * hidden)]
    shapes += [(layer.num_layers * directions, *batch, hidden)] * (2 if layer.mode == "LSTM" else 1)
    answers, *states = _Step.apply(input, layer.weight_hh_l0, shapes)  # type: ignore[no-untyped-call]
    return answers, tuple(states) if layer.mode == "LSTM" else states[0]


def _cell_step(cell: Any, input: torch.Tensor, hx: Any = None) -> Any:
    """Answer in the shapes of a cell's forward, in one step; what it remembers is not followed."""
    shape = (*input.shape[:-1], cell.hidden_size)
    states = _Step.apply(input, cell.weight_hh, [shape] * 2)  # type: ignore[no-untyped-call]
    return states if isinstance(cell, nn.LSTMCell) else states[0]


class _Step(torch.autograd.Function):
    """Zeros of some shapes, which depend on a tensor and a parameter."""

    @staticmethod
    def forward(
        _context: Any, values: torch.Tensor, _weight: torch.Tensor, shapes: list[tuple[int, ...]]
    ) -> tuple[torch.Tensor, ...]:
        return tuple(values.new_zeros(shape) for shape in shapes)

    @staticmethod
    def backward(_context: Any, *_gradients: torch.Tensor) -> tuple[None, None, None]:
        return None, None, None
