"""Format transformers: every task answers as transformers itself does, at any length; no code or pickle of it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests.unit.compress.sources import layout

from modelpress.api.reasons import Reason
from modelpress.api.source import Source
from modelpress.api.tasks import CompressTask
from modelpress.compress import graph
from modelpress.compress.errors import Judged
from modelpress.compress.formats import assets_of, transformers_source
from modelpress.compress.run import Compression
from modelpress.compress.signature import Arrays

SMALL = {"vocab_size": 90, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
BERT = {**SMALL, "intermediate_size": 24, "max_position_embeddings": 40}
MODELS: dict[str, Any] = {
    "FeatureExtraction": lambda: transformers.RobertaModel(transformers.RobertaConfig(**BERT, pad_token_id=0)),
    "SentenceEmbedding": lambda: transformers.BertModel(transformers.BertConfig(**BERT)),
    "TextClassification": lambda: transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(vocab_size=90, dim=16, n_layers=1, n_heads=2, hidden_dim=24, num_labels=5)
    ),
    "TokenClassification": lambda: transformers.ElectraForTokenClassification(
        transformers.ElectraConfig(**BERT, embedding_size=8, num_labels=4)
    ),
    "MaskedLM": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**BERT)),
    "CausalLM": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**SMALL, intermediate_size=24, max_position_embeddings=40, num_key_value_heads=1)
    ),
}


def write(folder: Path, task: str) -> Any:
    torch.manual_seed(0)
    model = MODELS[task]().eval()
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return model


def source(task: str, **more: Any) -> Source:
    return Source.model_validate({"uri": "s3://models/x", "format": "transformers", "task": task, **more})


def question(count: int, length: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return token ids of texts of several lengths, padded on the right."""
    random = np.random.default_rng(length)
    mask = (np.arange(length) < random.integers(1, length + 1, (count, 1))).astype(np.int64)
    mask[0] = 1
    return {"input_ids": random.integers(1, 90, (count, length)) * mask, "attention_mask": mask}


def expected(model: Any, task: str, inputs: Arrays) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        answer = model(**{name: torch.from_numpy(np.array(value)) for name, value in inputs.items()})
    if task != "SentenceEmbedding":
        return np.asarray(answer[0])
    vectors = []
    for hidden, mask in zip(answer.last_hidden_state.numpy(), inputs["attention_mask"], strict=True):
        mean = hidden[mask == 1].mean(0)
        vectors.append(mean / np.linalg.norm(mean))
    return np.stack(vectors)


@pytest.mark.parametrize("task", MODELS)
def test_every_task_answers_as_transformers_does(task: str, tmp_path: Path) -> None:
    model = write(tmp_path, task)
    found = transformers_source.load(source(task), tmp_path, tmp_path)
    inputs = question(3, 11)
    (answer,) = found.run(inputs).values()
    np.testing.assert_allclose(answer, expected(model, task, inputs), atol=1e-5)


@pytest.mark.parametrize("task", MODELS)
def test_a_mask_of_padding_is_added_as_it_comes_unless_tokens_see_those_before_them_alone(
    task: str, tmp_path: Path
) -> None:
    write(tmp_path, task)
    module: Any = transformers_source.load(source(task), tmp_path, tmp_path).module
    assert module.adds_mask == (task != "CausalLM")


def test_layers_that_see_tokens_near_them_alone_keep_their_mask(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.ModernBertConfig(
        vocab_size=90, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, local_attention=8, global_attn_every_n_layers=2, pad_token_id=0, cls_token_id=1,
        sep_token_id=2, bos_token_id=1, eos_token_id=2, initializer_range=0.3,
    )  # fmt: skip
    model = transformers.ModernBertModel(config).eval()
    model.save_pretrained(tmp_path)
    found = transformers_source.load(source("FeatureExtraction"), tmp_path, tmp_path)
    inputs = question(2, 40)
    (answer,) = found.run(inputs).values()
    real = inputs["attention_mask"] == 1
    np.testing.assert_allclose(answer[real], expected(model, "FeatureExtraction", inputs)[real], atol=1e-5)


EXPORTED = ("SentenceEmbedding", "CausalLM")
"""Every kind of answer and of mask; the others are for longer runs."""


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[] if task in EXPORTED else [pytest.mark.long]) for task in MODELS]
)
def test_a_compressed_transformer_answers_at_any_length(task: str, tmp_path: Path) -> None:
    where = layout(tmp_path)
    model = write(where.source, task)
    wire = {"source": source(task).to_wire(), "stages": [{"quantize": {"preset": "INT8_DYNAMIC"}}]}
    facts = Compression(CompressTask.model_validate(wire), where, lambda _progress: None).run()
    session = graph.open_session(where.out / "original" / "model.onnx")
    compressed = graph.open_session(where.out / "compressed" / "model.onnx")
    assert [item.shape for item in session.get_inputs()] == [["batch", "sequence"]] * 2
    for count, length in ((1, 1), (1, 23), (5, 37)):
        inputs = question(count, length)
        wanted = expected(model, task, inputs)
        (answer,) = graph.run(session, inputs).values()
        real = inputs["attention_mask"] == 1 if wanted.ndim == 3 else slice(None)  # nobody reads padding's answers
        np.testing.assert_allclose(answer[real], wanted[real], atol=1e-4)
        (smaller,) = graph.run(compressed, inputs).values()
        assert smaller.shape == wanted.shape
    assert facts.batched
    assert set(facts.assets) >= {"config.json", "tokenizer.json"}
    assert facts.compressed_bytes < facts.original_bytes


CUT: dict[str, Any] = {
    "n_layers": (
        "TextClassification", "distilbert.transformer.layer",
        lambda: transformers.DistilBertForSequenceClassification(
            transformers.DistilBertConfig(vocab_size=90, dim=16, n_layers=3, n_heads=2, hidden_dim=24)
        ),
    ),
    "num_hidden_layers": (
        "CausalLM", "model.layers",
        lambda: transformers.Gemma2ForCausalLM(
            transformers.Gemma2Config(
                **SMALL | {"num_hidden_layers": 3}, intermediate_size=24, num_key_value_heads=1, head_dim=8,
                layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            )
        ),
    ),
}  # fmt: skip
"""Task, list of blocks and model, by how its config calls their number."""


@pytest.mark.parametrize("key", CUT)
def test_the_config_of_an_artifact_counts_the_blocks_that_are_left(key: str, tmp_path: Path) -> None:
    task, blocks, build = CUT[key]
    where = layout(tmp_path)
    build().save_pretrained(where.source)
    before = json.loads((where.source / "config.json").read_text())
    wire = {"source": source(task).to_wire(), "stages": [{"cut": {"blocks": f"model.{blocks}", "remove": [0]}}]}
    facts = Compression(CompressTask.model_validate(wire), where, lambda _progress: None).run()
    after = json.loads((where.out / "assets" / "config.json").read_text())
    changed = {name: value for name, value in after.items() if before[name] != value}
    listed = {"layer_types": ["full_attention", "sliding_attention"]} if "layer_types" in before else {}
    assert changed == {key: 2} | listed
    assert after.keys() == before.keys()
    assert facts.stages[0].configuration == changed
    assert json.loads((where.source / "config.json").read_text()) == before


@pytest.mark.parametrize(("mode", "normalize"), [("cls", False), ("max", True)])
def test_pooling_is_what_the_folder_says(mode: str, normalize: bool, tmp_path: Path) -> None:
    model = write(tmp_path, "SentenceEmbedding")
    modules = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    kinds = [{"path": "1_Pooling" if name == "Pooling" else "", "type": f"st.models.{name}"} for name in modules]
    (tmp_path / "modules.json").write_text(json.dumps(kinds))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": mode}))
    found = transformers_source.load(source("SentenceEmbedding"), tmp_path, tmp_path)
    inputs = question(3, 9)
    with torch.no_grad():
        hidden = model(**{name: torch.from_numpy(value) for name, value in inputs.items()}).last_hidden_state.numpy()
    real = [row[mask == 1] for row, mask in zip(hidden, inputs["attention_mask"], strict=True)]
    wanted = np.stack([row[0] if mode == "cls" else row.max(0) for row in real])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True) if normalize else 1
    np.testing.assert_allclose(found.run(inputs)["embedding"], wanted, atol=1e-5)


def test_inputs_may_be_others_and_of_a_fixed_length(tmp_path: Path) -> None:
    write(tmp_path, "SentenceEmbedding")
    inputs = [{"name": "input_ids", "shape": ["batch", 12]}, {"name": "token_type_ids", "dtype": "int32"}]
    found = transformers_source.load(source("SentenceEmbedding", inputs=inputs), tmp_path, tmp_path)
    ids, types = found.signature.inputs
    assert (ids.dtype, ids.shape, types.dtype, types.shape) == (
        "int64",
        ("batch", 12),
        "int32",
        ("batch", "sequence"),
    )
    given = {"input_ids": np.ones((2, 12), np.int64), "token_type_ids": np.ones((2, 12), np.int32)}
    assert found.run(given)["embedding"].shape == (2, 16)


def test_own_assets_take_the_place_of_the_tokenizer(tmp_path: Path) -> None:
    write(tmp_path, "MaskedLM")
    assert assets_of(source("MaskedLM", assets=["labels.txt"]), tmp_path) == ("labels.txt",)
    assert assets_of(source("MaskedLM"), tmp_path) == ("config.json", "tokenizer.json")


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def configured(**more: Any) -> Any:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more))

    return change


def without_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.0." not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def without_a_part(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    parts = {"one": "model-00001-of-00002.safetensors", "two": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))


def with_a_dense_module(folder: Path) -> None:
    (folder / "modules.json").write_text('[{"path": "", "type": "a.Transformer"}, {"path": "2", "type": "a.Dense"}]')


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        (pickled, Reason.PICKLE_REFUSED, "pytorch_model.bin is a pickle"),
        (configured(auto_map={"AutoModel": "own.Model"}), Reason.SOURCE_INVALID, "use source.format torch"),
        (configured(quantization_config={"bits": 4}), Reason.SOURCE_INVALID, "compressed already"),
        (
            configured(model_type="nobody_knows"),
            Reason.SOURCE_INVALID,
            "model_type nobody_knows, which transformers",
        ),
        (configured(model_type=None), Reason.SOURCE_INVALID, "names no model_type"),
        (configured(vocab_size=70), Reason.WEIGHTS_DO_NOT_FIT, "weight is [90, 16] and should be [70, 16]"),
        (without_a_layer, Reason.WEIGHTS_DO_NOT_FIT, "missing: encoder.layer.0."),
        (truncated, Reason.SOURCE_INVALID, "model.safetensors cannot be read"),
        (without_a_part, Reason.SOURCE_INVALID, "files that are not in the folder: model-00002-of-00002.safetensors."),
        (with_a_dense_module, Reason.SOURCE_INVALID, "names Dense"),
        (lambda folder: (folder / "config.json").unlink(), Reason.SOURCE_INVALID, "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), Reason.SOURCE_INVALID, "no readable JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), Reason.SOURCE_INVALID, "no model.safetensors"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(change: Any, reason: Reason, words: str, tmp_path: Path) -> None:
    write(tmp_path, "SentenceEmbedding")
    change(tmp_path)
    with pytest.raises(Judged) as caught:
        transformers_source.load(source("SentenceEmbedding"), tmp_path, tmp_path)
    assert caught.value.reason is reason
    assert words in caught.value.message


def test_a_task_that_the_model_was_not_trained_for_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "SentenceEmbedding")
    with pytest.raises(Judged, match=r"missing: classifier.bias, classifier.weight.*Choose the task") as caught:
        transformers_source.load(source("TextClassification"), tmp_path, tmp_path)
    assert caught.value.reason is Reason.WEIGHTS_DO_NOT_FIT


def test_a_classifier_that_pools_by_weights_of_its_own_keeps_them(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = transformers.DebertaV2ForSequenceClassification(transformers.DebertaV2Config(**sizes, vocab_size=90))
    model.eval().save_pretrained(tmp_path)
    tokens = torch.arange(6).reshape(1, 6)
    found = transformers_source.load(source("TextClassification"), tmp_path, tmp_path)
    inputs = {"input_ids": tokens.numpy(), "attention_mask": np.ones((1, 6), np.int64)}
    np.testing.assert_allclose(found.run(inputs)["logits"], model(tokens).logits.detach().numpy(), atol=1e-5)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(Judged, match=r"missing: pooler.dense.bias, pooler.dense.weight"):
        transformers_source.load(source("TextClassification"), tmp_path, tmp_path)


def test_a_head_that_no_model_of_the_kind_has_is_refused_in_few_words(tmp_path: Path) -> None:
    write(tmp_path, "SentenceEmbedding")
    configured(model_type="vit", architectures=["ViTForImageClassification"])(tmp_path)
    with pytest.raises(Judged, match=r"for a vit, and config.json says .* ViTForImageClassification: choose") as caught:
        transformers_source.load(source("TextClassification"), tmp_path, tmp_path)
    assert len(caught.value.message) < 300


def test_a_model_of_images_asks_for_its_inputs(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=8, patch_size=4)).save_pretrained(tmp_path)
    with pytest.raises(
        Judged, match=r"A vit takes pixel_values, and source.inputs has input_ids, attention_mask: name"
    ):
        transformers_source.load(source("FeatureExtraction"), tmp_path, tmp_path)


def test_an_output_that_the_task_has_not_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "SentenceEmbedding")
    with pytest.raises(Judged, match="answers embedding"):
        transformers_source.load(source("SentenceEmbedding", outputs=[{"name": "scores"}]), tmp_path, tmp_path)


def test_code_beside_the_weights_never_runs(tmp_path: Path) -> None:
    write(tmp_path, "SentenceEmbedding")
    for name in ("modeling_bert.py", "tokenization_bert.py", "configuration_bert.py", "__init__.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    transformers_source.load(source("SentenceEmbedding", trustCode=True), tmp_path, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_an_encoder_with_a_decoder_asks_for_what_the_decoder_takes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.T5Config(vocab_size=90, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    model = transformers.T5Model(config).eval()
    model.save_pretrained(tmp_path)
    with pytest.raises(
        Judged, match=r"A t5 has an encoder and a decoder: name decoder_input_ids in source\.inputs too"
    ):
        transformers_source.load(source("FeatureExtraction"), tmp_path, tmp_path)
    names = ("input_ids", "attention_mask", "decoder_input_ids")
    inputs = [{"name": name, **({"shape": ["batch", "answered"]} if "decoder" in name else {})} for name in names]
    found = transformers_source.load(source("FeatureExtraction", inputs=inputs), tmp_path, tmp_path)
    asked = question(2, 7) | {"decoder_input_ids": question(2, 3)["input_ids"]}
    (answer,) = found.run(asked).values()
    np.testing.assert_allclose(answer, expected(model, "FeatureExtraction", asked), atol=1e-5)


@pytest.mark.parametrize("task", ["FeatureExtraction", "SentenceEmbedding"])
def test_an_encoder_that_was_saved_without_its_decoder_is_a_model_of_its_own(task: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.T5Config(vocab_size=90, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    model = transformers.T5EncoderModel(config).eval()
    model.save_pretrained(tmp_path)
    found = transformers_source.load(source(task), tmp_path, tmp_path)
    inputs = question(3, 11)
    (answer,) = found.run(inputs).values()
    np.testing.assert_allclose(answer, expected(model, task, inputs), atol=1e-5)
