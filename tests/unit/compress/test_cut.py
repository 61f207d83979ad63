"""Stage cut: the right blocks go, whatever they answer with, and what cannot be cut is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tests.unit.compress import sources
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import samples_of
from tests.unit.compress.transformers import BLOCKS, Encoder, seeded
from torch import nn

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.api.stages import Cut
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import cut


def samples() -> Samples:
    return samples_of({"tokens": np.random.default_rng(0).normal(size=(40, 6, 3)).astype(np.float32)})


def quiet(block: Any, size: float) -> None:
    """Make a block add little to what passes through it."""
    with torch.no_grad():
        for layer in (block.attention.out_proj, block.down):
            layer.weight.mul_(size)
            layer.bias.mul_(size)


@pytest.mark.parametrize("as_tuple", [False, True])
def test_the_blocks_that_matter_least_to_the_outputs_go(as_tuple: bool, make_context: MakeContext) -> None:
    found = seeded(Encoder, as_tuple)
    module: Any = found.module
    stay = [module.blocks[0], module.blocks[2]]
    quiet(module.blocks[1], 0.001)
    quiet(module.blocks[3], 0.01)
    expected = found.run(samples().inputs)["scores"]
    context = make_context({"calibration": samples()})
    cut.run(found, Cut(blocks="blocks", keep=2), context)
    assert list(module.blocks) == stay
    assert "Without block 1 the outputs change least" in context.notes[0]
    assert np.abs(found.run(samples().inputs)["scores"] - expected).max() < 0.05


def test_the_outputs_decide_and_not_how_much_a_block_turns_what_passes_through(make_context: MakeContext) -> None:
    """Block influence would keep the block that turns most, though nothing after it looks at what it changes."""

    class Ends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
            with torch.no_grad():
                for layer in self.blocks:
                    layer.weight.copy_(torch.eye(4))
                    layer.bias.zero_()
                self.blocks[0].bias[3] = 100.0  # a great turn, of what is never read
                self.blocks[1].bias[0] = 1.0

        def forward(self, row: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.blocks(row)
            return found[:, :3]

    found = ModuleModel(
        Ends().eval(), Signature((TensorSpec(name="row", shape=("batch", 4)),), (TensorSpec(name="scores"),))
    )
    data = samples_of({"row": np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)})
    context = make_context({"train": data})
    cut.run(found, Cut(blocks="blocks", keep=1), context)
    assert "Blocks 0 of blocks were removed" in context.notes[-1]


def test_named_blocks_go_without_data_and_masks_follow(make_context: MakeContext) -> None:
    found = seeded(Encoder)
    weight = found.module.get_parameter("blocks.3.up.weight")
    found.masks = {"blocks.1.up.weight": weight != 0, "blocks.3.up.weight": weight != 1}
    cut.run(found, Cut(blocks="blocks", remove=(1, 2)), make_context())
    module: Any = found.module
    assert len(module.blocks) == BLOCKS - 2
    assert module.blocks[1].up.weight is weight
    assert list(found.masks) == ["blocks.1.up.weight"]


def test_only_blocks_that_keep_the_shape_can_go(make_context: MakeContext) -> None:
    class Narrowing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 5))

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layers(tokens)
            return found.mean(1)

    found = seeded(Narrowing)
    with pytest.raises(Judged, match=r"Block 0 of layers cannot be cut: it turns \[2, 16, 3\] into \[2, 16, 8\]"):
        cut.run(found, Cut(blocks="layers", remove=(0,)), make_context())
    with pytest.raises(Judged, match=r"Of the 4 blocks of layers at most 2 can be cut, and cut.keep asks for 3"):
        cut.run(found, Cut(blocks="layers", keep=1), make_context({"train": samples()}))
    cut.run(found, Cut(blocks="layers", keep=3), make_context({"train": samples()}))
    module: Any = found.module
    assert len(module.layers) == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Cut(blocks="blocs", keep=1), "there are for example blocks"),
        (Cut(blocks="head", keep=1), "no nn.ModuleList or nn.Sequential is called head"),
        (Cut(blocks="blocks", keep=4), "no less than the 4 blocks"),
        (Cut(blocks="blocks", remove=(4,)), "names block 4, but blocks has 4"),
        (Cut(blocks="blocks", remove=(0, 1, 2, 3)), "names all 4 blocks"),
        (Cut(blocks="blocks", keep=1), "needs compression.data.calibration"),
    ],
)
def test_what_cannot_be_cut_is_named(settings: Cut, words: str, make_context: MakeContext) -> None:
    with pytest.raises(Judged) as caught:
        cut.run(seeded(Encoder), settings, make_context())
    assert caught.value.reason is Reason.RECIPE_INVALID
    assert words in caught.value.message


def test_a_module_without_any_list_of_blocks_says_so(make_context: MakeContext) -> None:
    with pytest.raises(Judged, match=r"has neither an nn.ModuleList nor an nn.Sequential"):
        cut.run(sources.model("Single"), Cut(blocks="blocks", keep=1), make_context())


def test_a_forward_that_counts_its_blocks_is_named_and_nothing_else(make_context: MakeContext) -> None:
    class Counting(Encoder):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            if len(self.blocks) != BLOCKS:
                raise ValueError("four blocks")
            return super().forward(tokens)

    with pytest.raises(Judged, match=r"without blocks 1 of blocks failed.*four blocks") as caught:
        cut.run(seeded(Counting), Cut(blocks="blocks", remove=(1,)), make_context())
    assert caught.value.reason is Reason.STAGE_FAILED


class Beside(nn.Module):
    """Each block has a normalization in a list of its own, before or after it."""

    def __init__(self, before: bool) -> None:
        super().__init__()
        self.before = before
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(4) for _ in range(3))
        for norm in self.norms:
            nn.init.normal_(norm.weight)

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        for block, norm in zip(self.blocks, self.norms, strict=False):
            row = row + (block(norm(row)) if self.before else norm(block(row)))
        return row


@pytest.mark.parametrize("before", [True, False])
def test_blocks_that_would_be_given_what_belongs_to_others_are_told(before: bool, make_context: MakeContext) -> None:
    def model() -> tuple[ModuleModel, Any]:
        torch.manual_seed(0)
        module = Beside(before).eval()
        given = Signature((TensorSpec(name="row", shape=("batch", 4)),), (TensorSpec(name="scores"),))
        return ModuleModel(module, given), module

    data = samples_of({"row": np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)})
    found, module = model()
    block, norm = module.blocks[2], module.norms[2]
    context = make_context({"train": data})
    cut.run(found, Cut(blocks="blocks", remove=[1]), context)
    assert "does not call norms.2 any more" in context.warnings[0]
    context = make_context({"train": data})
    cut.run(found, Cut(blocks="norms", remove=[1]), context)
    assert not context.warnings
    assert (module.blocks[1], module.norms[1]) == (block, norm)

    context = make_context({"train": data})
    cut.run(model()[0], Cut(blocks="blocks", remove=[1, 2]), context)
    assert not context.warnings


class Counted(nn.Module):
    """It needs its blocks by name or by number."""

    def __init__(self, number: int | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.number = number

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        if self.number is None and not any(block.out_features == 4 and block.bias[0] == 7 for block in self.blocks):
            raise RuntimeError("where is the first block?")
        for number in range(self.number or len(self.blocks)):
            row = self.blocks[number](row)
        return row


def test_a_block_that_forward_cannot_do_without_stays_and_others_go(make_context: MakeContext) -> None:
    def model(number: int | None) -> ModuleModel:
        module = Counted(number)
        module.blocks[0].bias.data.fill_(7)
        given = Signature((TensorSpec(name="row", shape=("batch", 4)),), (TensorSpec(name="scores"),))
        return ModuleModel(module.eval(), given)

    context = make_context({"train": samples_of({"row": np.ones((8, 4), np.float32)})})
    found = model(None)
    module: Any = found.module
    first = module.blocks[0]
    cut.run(found, Cut(blocks="blocks", keep=1), context)
    assert list(module.blocks) == [first]
    with pytest.raises(Judged, match="forward without block 2 of blocks failed: IndexError") as caught:
        cut.run(model(3), Cut(blocks="blocks", keep=2), context)
    assert caught.value.reason is Reason.STAGE_FAILED


def test_blocks_that_matter_at_padding_alone_go_first(make_context: MakeContext) -> None:
    class Adds(nn.Module):
        def __init__(self, word: float, padding: float) -> None:
            super().__init__()
            self.word, self.padding = nn.Parameter(torch.tensor(word)), nn.Parameter(torch.tensor(padding))

        def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return tokens + torch.where(mask != 0, self.word, self.padding)[..., None]

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(10, 4)
            self.blocks = nn.ModuleList([Adds(0.0, 9.0), Adds(1.0, 0.0), Adds(2.0, 0.0)])

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            tokens: torch.Tensor = self.table(ids)
            for block in self.blocks:
                tokens = block(tokens, mask)
            return tokens

    given = tuple(
        TensorSpec(name=name, dtype="int64", shape=("batch", "sequence")) for name in ("input_ids", "attention_mask")
    )
    found = ModuleModel(Words().eval(), Signature(given, (TensorSpec(name="hidden"),)))
    mask = (np.arange(6) < np.arange(1, 7)[:, None]).astype(np.int64)
    data = samples_of({"input_ids": mask * 3, "attention_mask": mask})
    context = make_context({"calibration": data})
    cut.run(found, Cut(blocks="blocks", keep=2), context)
    assert "Without block 0 the outputs change least, by 0 " in context.notes[0]


@pytest.mark.parametrize("settings", [{"remove": [0]}, {"keep": 2}])
def test_blocks_that_stay_keep_the_mask_that_a_config_lists_by_position(
    settings: dict[str, Any], make_context: MakeContext
) -> None:
    """Gemma looks up by a block's position whether it sees all tokens or the nearest few."""
    torch.manual_seed(0)
    config = transformers.Gemma2Config(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, sliding_window=3, use_cache=False,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"], attn_implementation="eager",
    )  # fmt: skip
    inner = transformers.Gemma2ForCausalLM(config)
    for block in inner.model.layers:
        block.self_attn.o_proj.weight.data.mul_(20)
    inner.model.layers[0].self_attn.o_proj.weight.data.mul_(1e-4)  # the first to go
    inner.model.layers[0].mlp.down_proj.weight.data.mul_(1e-4)

    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.inner(input_ids=ids).logits
            return found

    tokens = TensorSpec(name="ids", dtype="int64", shape=("batch", "sequence"))
    found = ModuleModel(Scores().eval(), Signature((tokens,), (TensorSpec(name="scores"),)))
    data = samples_of({"ids": np.random.default_rng(0).integers(0, 50, (8, 12))})
    first = inner.model.layers[0]
    passing = first.register_forward_hook(lambda _block, given, _answer: given[0])
    expected = found.run(data.inputs)["scores"]
    passing.remove()
    cut.run(found, Cut.model_validate({"blocks": "inner.model.layers", **settings}), make_context({"train": data}))
    assert first not in list(inner.model.layers)
    assert np.allclose(found.run(data.inputs)["scores"], expected, atol=1e-5)
    assert inner.config.layer_types == ["full_attention", "sliding_attention"]
