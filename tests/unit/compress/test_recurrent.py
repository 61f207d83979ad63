"""Recurrent layers: exported as ONNX's own operators for any batch and length, and compressed by every stage."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from tests.unit.compress import sources
from tests.unit.compress.conftest import MakeContext
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.api.stages import Prune, Quantize
from modelpress.compress import graph
from modelpress.compress.errors import Judged
from modelpress.compress.export import export
from modelpress.compress.judge.layers import compare_layers, layers_of
from modelpress.compress.models import GraphModel, ModuleModel
from modelpress.compress.recurrent import KINDS, as_operators
from modelpress.compress.run import Compression
from modelpress.compress.signature import Signature
from modelpress.compress.stages import prune, quantize

WIDTH, HIDDEN = 5, 24
SIGNATURE = Signature(
    (TensorSpec(name="signal", shape=("batch", "time", WIDTH)),),
    (TensorSpec(name="last"), TensorSpec(name="state")),
)
SIZES = ((2, 16), (1, 1), (7, 3), (3, 61))
"""Batches and lengths; the first is what is traced."""


class Reader(nn.Module):
    """Answers with the last output and the last states."""

    def __init__(self, kind: Any, **options: Any) -> None:
        super().__init__()
        self.layer = kind(WIDTH, HIDDEN, **options)

    def forward(self, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = self.layer.batch_first
        outputs, states = self.layer(signal if first else signal.transpose(0, 1))
        state = torch.cat(states, -1) if isinstance(states, tuple) else states
        return outputs[:, -1] if first else outputs[-1], state.transpose(0, 1)


class Resumed(nn.Module):
    """Begins with states of its own, and reads backwards by hand: the pattern of pytorch #191855."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(WIDTH, HIDDEN, num_layers=2)
        self.other = nn.GRU(WIDTH, HIDDEN)
        self.start = nn.Parameter(torch.rand(2, 1, HIDDEN))

    def forward(self, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        signal = signal.transpose(0, 1)
        start = self.start.expand(-1, signal.shape[1], -1).contiguous()
        outputs, (state, _) = self.layer(signal, (start, start * 2))
        backwards = self.other(signal.flip(0))[0].flip(0)
        weights = torch.ones(1, 1, 1).expand_as(backwards)
        return (outputs + backwards * weights).mean(0), state.transpose(0, 1)


class Own(nn.LSTM):
    def forward(self, input: torch.Tensor) -> Any:  # type: ignore[override]
        return super().forward(input * 2)


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reader = nn.GRU(WIDTH, HIDDEN, batch_first=True)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        lengths = torch.full((len(signal),), signal.shape[1])
        state: torch.Tensor = self.reader(pack_padded_sequence(signal, lengths, batch_first=True))[1]
        return state[0]


def exported(module: nn.Module, folder: Path, signature: Signature = SIGNATURE) -> GraphModel:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -0.4, 0.4)
    return export(ModuleModel(module.eval(), signature), folder / "model.onnx", folder, None, 0)


def operators(model: GraphModel) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(model.path).graph.node)


def signal(batch: int, time: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(batch * 100 + time).normal(size=(batch, time, WIDTH)).astype(np.float32)


def agree(module: nn.Module, model: GraphModel) -> None:
    session = graph.open_session(model.path)
    for size in SIZES:
        inputs = {"signal": signal(*size)}
        wanted = ModuleModel(module, model.signature).run(inputs)
        got = graph.run(session, inputs)
        for name, values in wanted.items():
            assert got[name].shape == values.shape
            assert np.abs(got[name] - values).max() < 1e-5, (name, size)


@pytest.mark.parametrize(
    ("kind", "options", "operator", "count"),
    [
        (nn.LSTM, {"batch_first": True}, "LSTM", 1),
        (nn.LSTM, {"num_layers": 3, "bidirectional": True, "dropout": 0.5}, "LSTM", 3),
        (nn.LSTM, {"bias": False}, "LSTM", 1),
        (nn.GRU, {"batch_first": True, "bidirectional": True}, "GRU", 1),
        (nn.GRU, {"num_layers": 2, "bias": False}, "GRU", 2),
        (nn.RNN, {"batch_first": True, "num_layers": 2}, "RNN", 2),
        (nn.RNN, {"bidirectional": True, "nonlinearity": "relu"}, "RNN", 1),
    ],
)
def test_layers_become_operators_that_answer_alike_for_any_batch_and_length(
    kind: Any, options: dict[str, Any], operator: str, count: int, tmp_path: Path
) -> None:
    module = Reader(kind, **options)
    model = exported(module, tmp_path)
    found = operators(model)
    assert found[operator] == count
    assert not found & Counter(["Loop", "Scan", "MatMul", "Gemm"])
    proto = onnx.load(model.path)
    assert proto.ir_version == 10
    assert [opset.version for opset in proto.opset_import if not opset.domain] == [20]
    agree(module, model)


def test_given_states_and_a_second_reading_backwards_keep_the_axes_free(tmp_path: Path) -> None:
    module = Resumed()
    model = exported(module, tmp_path)
    assert operators(model)["LSTM"] == 2
    assert operators(model)["GRU"] == 1
    agree(module, model)


def test_a_subclass_with_a_forward_of_its_own_is_exported(tmp_path: Path) -> None:
    module = Reader(Own, batch_first=True)
    agree(module, exported(module, tmp_path))


def test_a_model_without_a_batch_axis_reads_one_sequence(tmp_path: Path) -> None:
    signature = Signature(
        (TensorSpec(name="signal", shape=("time", WIDTH)),), (TensorSpec(name="all"), TensorSpec(name="state"))
    )
    module = nn.GRU(WIDTH, HIDDEN, num_layers=2, bidirectional=True, batch_first=True)
    model = exported(module, tmp_path, signature)
    session = graph.open_session(model.path)
    for time in (16, 1, 40):
        inputs = {"signal": signal(1, time)[0]}
        wanted = ModuleModel(module, signature).run(inputs)
        for name, values in graph.run(session, inputs).items():
            assert values == pytest.approx(wanted[name], abs=1e-5)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Packed(), ["Layer reader", "packed sequence", "padded"]),
        (Reader(nn.LSTM, proj_size=7), ["Layer layer", "proj_size 7", "linear layer"]),
    ],
)
def test_what_onnx_has_no_form_for_is_refused(module: nn.Module, words: list[str], tmp_path: Path) -> None:
    names = ("state",) if isinstance(module, Packed) else ("last", "state")
    signature = Signature(SIGNATURE.inputs, tuple(TensorSpec(name=name) for name in names))
    with pytest.raises(Judged) as caught:
        exported(module, tmp_path, signature)
    assert caught.value.reason is Reason.EXPORT_FAILED
    assert all(word in caught.value.message for word in words), caught.value.message


def test_layers_are_torchs_own_again_after_an_export_even_a_failed_one() -> None:
    module = Reader(nn.LSTM)
    before = {kind: kind.forward for kind in KINDS}
    with pytest.raises(ZeroDivisionError), as_operators(module):
        assert nn.LSTM.forward is not before[nn.LSTM]
        raise ZeroDivisionError
    assert {kind: kind.forward for kind in KINDS} == before
    assert not list(module.buffers())


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, GraphModel]:
    """Two layers in both directions, of every kind."""
    return {
        kind.__name__: exported(Reader(kind, num_layers=2, bidirectional=True), tmp_path_factory.mktemp(kind.__name__))
        for kind in KINDS
    }


@pytest.mark.parametrize(
    ("kind", "preset", "operator", "warns"),
    [
        ("LSTM", "INT8_DYNAMIC", "DynamicQuantizeLSTM", False),
        ("GRU", "INT8_DYNAMIC", "GRU", True),
        ("RNN", "INT8_DYNAMIC", "RNN", True),
        ("LSTM", "W8A16", "LSTM", True),
        ("GRU", "W4A16", "GRU", True),
        ("LSTM", "INT8", "LSTM", True),
    ],
)
def test_weights_are_stored_in_8_bits_whatever_computes_with_them(
    kind: str, preset: str, operator: str, warns: bool, readers: dict[str, GraphModel], make_context: MakeContext
) -> None:
    before = readers[kind]
    context = make_context({"calibration": sources.samples_of({"signal": signal(32, 12)})})
    after = quantize.run(before, Quantize.model_validate({"preset": preset}), context)
    assert operators(after)[operator] == 2
    sizes = [graph.size_of_graph(model.path).bytes or 0 for model in (before, after)]
    assert sizes[1] < 0.37 * sizes[0]
    assert any("integer kernel for LSTM alone" in text for text in context.warnings) is warns
    inputs = {"signal": signal(16, 30)}
    wanted, got = (graph.run(graph.open_session(model.path), inputs) for model in (before, after))
    for name, values in wanted.items():
        assert ((got[name] - values) ** 2).sum() < 1e-3 * (values**2).sum()
    layers = [layer for layer in layers_of(after.path) if layer.operator == operator]
    assert len(layers) == 2
    originals = [layer for layer in layers_of(before.path) if layer.operator == kind]
    for layer, original in zip(layers, originals, strict=True):
        assert layer.main is not None
        assert original.main is not None
        assert np.sort(layer.main) == pytest.approx(np.sort(original.main), abs=0.01)
    figures, _ = compare_layers(before.path, after.path)
    assert all(figure.compressed_bytes for figure in figures)


def test_nodes_that_are_ignored_keep_their_weights(readers: dict[str, GraphModel], make_context: MakeContext) -> None:
    names = [node.name for node in onnx.load(readers["GRU"].path).graph.node if node.op_type == "GRU"]
    context = make_context()
    after = quantize.run(readers["GRU"], Quantize.model_validate({"preset": "W8A16", "ignore": names[:1]}), context)
    kinds = Counter(item.data_type for item in onnx.load(after.path).graph.initializer if len(item.dims) == 3)
    assert kinds[onnx.TensorProto.INT8] == 2
    assert "1 GRU" in context.warnings[0]


@pytest.mark.parametrize("kind", KINDS)
def test_channels_are_pruned_around_recurrent_layers(kind: Any, make_context: MakeContext) -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.layer = nn.Linear(WIDTH, 16), kind(16, HIDDEN, num_layers=2, bidirectional=True)
            self.hidden, self.head = nn.Linear(2 * HIDDEN, 32), nn.Linear(32, 3)

        def forward(self, signal: torch.Tensor) -> torch.Tensor:
            read = self.layer(self.stem(signal))[0]
            found: torch.Tensor = self.head(torch.relu(self.hidden(read.mean(1))))
            return found

    model = ModuleModel(Classifier().eval(), Signature(SIGNATURE.inputs, (TensorSpec(name="scores"),)))
    settings = Prune.model_validate({"structure": "Channel", "amount": {"channels": 0.5}})
    layers = dict(prune.run(model, settings, make_context()).module.named_modules())
    assert (layers["stem"].out_features, layers["layer"].hidden_size) == (16, HIDDEN)
    assert (layers["hidden"].in_features, layers["hidden"].out_features) == (2 * HIDDEN, 16)
    assert layers["head"].in_features == 16


@pytest.mark.timeout(120)
def test_a_cell_between_messages_of_a_graph_is_traced_in_no_time(make_context: MakeContext) -> None:
    class Edges(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.node, self.edge, self.cell = nn.Linear(WIDTH, 32), nn.Linear(WIDTH, 32), nn.GRUCell(32, 32)
            self.first, self.second = (nn.Sequential(nn.Linear(96, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(2))
            self.update, self.head = nn.Linear(64, 32), nn.Linear(32, 3)

        def forward(self, signal: torch.Tensor) -> torch.Tensor:
            state, edge = torch.relu(self.node(signal[:, 0])), torch.relu(self.edge(signal[:, 1]))
            ends = torch.arange(len(signal)).flip(0)
            told = self.first(torch.cat([state, state[ends], edge], 1))
            state = self.cell(torch.zeros_like(state).index_add(0, ends, told), state)
            told = self.second(torch.cat([state, state[ends], edge], 1))
            most = torch.zeros_like(state).scatter_reduce(0, ends[:, None].expand_as(told), told, "amax")
            found: torch.Tensor = self.head(torch.relu(self.update(torch.cat([state, most], 1))))
            return found

    model = ModuleModel(Edges().eval(), Signature(SIGNATURE.inputs, (TensorSpec(name="scores"),)))
    settings = Prune.model_validate({"structure": "Channel", "amount": {"channels": 0.5}})
    layers = dict(prune.run(model, settings, make_context()).module.named_modules())
    assert [layers[name].out_features for name in ("edge", "first.0", "second.0", "update")] == [16] * 4
    assert [layers[name].out_features for name in ("node", "first.2")] == [32] * 2


@pytest.mark.parametrize("kind", [nn.GRUCell, nn.RNNCell, nn.LSTMCell])
def test_channels_are_pruned_around_cells_that_take_what_they_answered(kind: Any, make_context: MakeContext) -> None:
    class Rounds(nn.Module):
        """Nodes that tell each other what they know, in rounds; the first and the last layer touch what cells hold."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.cell, self.head = nn.Linear(WIDTH, 16), kind(16, 16), nn.Linear(16, 3)
            self.message = nn.Sequential(nn.Linear(16 + 3 + WIDTH, 32), nn.ReLU(), nn.Linear(32, 16))

        def forward(self, signal: torch.Tensor) -> torch.Tensor:
            state = torch.relu(self.stem(signal.mean(1)))
            held = state
            for _ in range(3):
                told = self.message(torch.cat([state, state[:, :3], signal[:, 0]], -1))
                told = torch.zeros_like(state).index_add(0, torch.arange(len(state)).flip(0), told)
                if kind is nn.LSTMCell:
                    state, held = self.cell(told, (state, held))
                else:
                    state = state + self.cell(told, state)
            found: torch.Tensor = self.head(state)
            return found

    model = ModuleModel(Rounds().eval(), Signature(SIGNATURE.inputs, (TensorSpec(name="scores"),)))
    settings = Prune.model_validate({"structure": "Channel", "amount": {"channels": 0.5}})
    layers = dict(prune.run(model, settings, make_context()).module.named_modules())
    assert (layers["message.0"].out_features, layers["message.2"].in_features) == (16, 16)
    assert (layers["stem"].out_features, layers["message.2"].out_features, layers["cell"].hidden_size) == (16, 16, 16)


CODE = """
import torch
from torch import nn


class Sentiment(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.table = nn.Embedding(40, 16)
        self.reader = nn.LSTM(16, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, 3)

    def forward(self, tokens):
        return self.head(self.reader(self.table(tokens))[0].amax(1))


def build(width=16):
    return Sentiment(width)
"""


@pytest.mark.long
@pytest.mark.parametrize("preset", ["INT8_DYNAMIC", "W4A16"])
def test_a_recurrent_net_goes_through_every_stage_that_is_not_of_channels(preset: str, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "model.py").write_text(CODE)
    scope: dict[str, Any] = {}
    exec(CODE, scope)
    torch.manual_seed(0)
    save_file(scope["build"]().state_dict(), folder / "weights.safetensors")
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, 40, (512, 11))
    label = (tokens < 3).any(1).astype(int)
    for role, part in {"train": slice(384), "validation": slice(384, None)}.items():
        (tmp_path / "data" / role).mkdir(parents=True)
        np.savez(tmp_path / "data" / role / f"{role}.npz", tokens=tokens[part], label=label[part])
    task = sources.task(
        "Digits",
        [
            {"finetune": {"epochs": 12, "learningRate": 0.02}},
            {"prune": {"structure": "Unstructured", "amount": {"sparsity": 0.3}}},
            {"distill": {"epochs": 2, "alpha": 0.1}},
            {"fuse": {}},
            {"quantize": {"preset": preset}},
        ],
        source={
            "uri": "s3://models/reader",
            "format": "torch",
            "entrypoint": "model:build",
            "trustCode": True,
            "inputs": [{"name": "tokens", "dtype": "int64", "shape": ["batch", "sequence"]}],
            "outputs": [{"name": "scores"}],
        },
    )
    layout = sources.layout(tmp_path)
    layout.out.mkdir()
    layout.scratch.mkdir()
    facts = Compression(task, layout, lambda progress: None).run()
    assert facts.compressed_bytes < 0.5 * facts.original_bytes
    session = graph.open_session(layout.out / "compressed" / "model.onnx")
    given = {"tokens": generator.integers(0, 40, (300, 19))}
    truth = (given["tokens"] < 3).any(1)
    assert (graph.run(session, given)["scores"].argmax(1) == truth).mean() > 0.9
