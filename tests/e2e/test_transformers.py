"""A transformer as it lies on a hub is compressed to 8-bit weights, and its server embeds text as the original does."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
import torch
from tests.support import minilm
from tests.support.workplace import Workplace, sparing

NAME = "minilm"
TAKEN = ("config.json", "model.safetensors", "modules.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


def wanted(namespace: str) -> dict[str, Any]:
    """MiniLM as a sentence embedding; it must stay close to its own answers."""
    spec = {
        "source": {
            "uri": f"s3://models/{namespace}/{NAME}/",
            "format": "transformers",
            "task": "SentenceEmbedding",
            "secretName": "models-read",
        },
        "compression": {"stages": [{"quantize": {"preset": "W8A16", "embeddings": {"bits": 8}}}]},
        "evaluation": {
            "test": {"uri": f"s3://data/{namespace}/{NAME}/test.npz", "secretName": "models-read"},
            "metrics": [{"name": "similarity", "type": "cosine"}],
            "gates": [
                {"metric": "similarity", "goal": "Threshold", "value": 0.99},
                {"metric": "size", "goal": "PercentMinImprovement", "value": 70},
            ],
        },
        "rollout": {"strategy": "BlueGreen"},
    }
    identity = {"name": NAME, "namespace": namespace}
    return {"apiVersion": "modelpress.io/v1alpha1", "kind": "CompressedModel", "metadata": identity, "spec": spec}


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """MiniLM, Ready."""
    folder = tmp_path_factory.mktemp(NAME)
    for part in ("source", "data"):
        (folder / part).mkdir()
    for name in TAKEN:
        shutil.copy(minilm.folder() / name, folder / "source" / name)
    shutil.copytree(minilm.folder() / "1_Pooling", folder / "source" / "1_Pooling")
    np.savez(folder / "data" / "test.npz", **minilm.encode(minilm.statistics(), 64))
    workplace.put(folder, NAME)
    workplace.apply(sparing(wanted(workplace.namespace)))
    workplace.await_ready(NAME, seconds=900)
    return workplace


def test_it_becomes_almost_four_times_smaller_and_stays_within_its_gates(served: Workplace) -> None:
    compression = served.model(NAME)["status"]["compression"]
    assert compression["compressedBytes"] < 0.27 * compression["originalBytes"]
    assert compression["metrics"][0]["compressed"] > 0.99


@pytest.mark.parametrize("length", [16, 64])
def test_its_server_embeds_text_of_any_length_as_the_original_does(served: Workplace, length: int) -> None:
    inputs = {name: column[:, :length] for name, column in minilm.encode(minilm.manual(), 8).items()}
    with torch.no_grad():
        expected = minilm.Embedding().eval()(*(torch.from_numpy(np.array(column)) for column in inputs.values()))
    given = served.ask(NAME, inputs, ["embedding"])["embedding"]
    similarity = (given * expected.numpy()).sum(1)
    assert given.shape == (8, 384)
    assert similarity.min() > 0.99, f"cosine similarities {similarity}"
