"""The keeper's table against a stand-in for Triton: what is loaded when, and when the pod is ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from modelpress.agent import fetching
from modelpress.agent.failure import AgentError
from modelpress.agent.fetching import Prepared
from modelpress.agent.holding import Keeper
from modelpress.agent.settings import Settings
from modelpress.api.reasons import Reason
from modelpress.api.servingpod import MODELS_FOLDER, RUN_FOLDER, ServedModel, ServingPod
from modelpress.api.tasks import AgentTask
from modelpress.store.manifest import ONNX, Manifest, Tensor
from modelpress.store.reference import Reference
from modelpress.triton.client import TritonAwayError, TritonError

TENSOR = Tensor(name="x", dtype="float32", shape=(-1, 1))
MANIFEST = Manifest(artifact="a", files=(), variants={ONNX: ONNX}, batched=True, inputs=(TENSOR,), outputs=(TENSOR,))
ONES = {"x": np.ones((2, 1), dtype=np.float32)}


class FakeTriton:
    """Answers what it is asked times `factor`."""

    def __init__(self) -> None:
        self.up, self.factor, self.refuse = True, 1.0, False
        self.loaded: list[str] = []
        self.loads = 0

    async def live(self) -> bool:
        return self.up

    async def ready(self, model: str, version: int | None = None) -> bool:
        return self.up and model in self.loaded

    async def load(self, model: str) -> None:
        if not self.up:
            raise TritonAwayError("away")
        if self.refuse:
            raise TritonError("no such opset")
        self.loads += 1
        self.loaded.append(model)

    async def infer(self, model: str, inputs: dict[str, NDArray[Any]], outputs: list[str]) -> dict[str, NDArray[Any]]:
        if not self.up:
            raise TritonAwayError("away")
        return dict.fromkeys(outputs, inputs["x"] * self.factor)


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton()


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, triton: FakeTriton) -> Keeper:
    monkeypatch.setenv("MODELPRESS_ROOT", str(tmp_path))
    for folder in (MODELS_FOLDER, RUN_FOLDER):
        (tmp_path / folder.lstrip("/")).mkdir(parents=True)

    def prepare(model: ServedModel, folder: Path, task: AgentTask) -> Prepared:
        if model.uri == "s3://away":
            raise AgentError(Reason.STORE_UNAVAILABLE, "away")
        return Prepared(model, MANIFEST, Reference(ONES, ONES))

    monkeypatch.setattr(fetching, "prepare", prepare)
    found = Keeper(Settings(), triton)  # type: ignore[arg-type]
    found.proxy_answers = True
    return found


def hold(*models: ServedModel) -> None:
    Settings().models_file.write_text(ServingPod(models=models).model_dump_json(by_alias=True))


def served(name: str, uri: str = "s3://here") -> ServedModel:
    return ServedModel(name=name, uri=uri, manifest_digest="sha256:" + "0" * 64, max_batch_size=4)


async def test_a_model_is_ready_once_its_answers_are_the_judges(keeper: Keeper, triton: FakeTriton) -> None:
    hold(served("a"))
    assert not keeper.ready
    await keeper.step()
    assert keeper.ready and triton.loads == 1
    keeper.proxy_answers = False
    assert not keeper.ready


async def test_other_answers_end_the_agent_and_are_never_ready(keeper: Keeper, triton: FakeTriton) -> None:
    hold(served("a"))
    triton.factor = 1.5
    with pytest.raises(AgentError) as error:
        await keeper.step()
    assert error.value.failure.reason is Reason.ANSWERS_DIFFER
    assert not keeper.ready


async def test_a_model_that_triton_refuses_is_a_judgement_in_tritons_words(keeper: Keeper, triton: FakeTriton) -> None:
    hold(served("a"))
    triton.refuse = True
    with pytest.raises(AgentError, match="no such opset") as error:
        await keeper.step()
    assert error.value.failure.reason is Reason.MODEL_LOAD_FAILED


async def test_a_triton_that_is_not_there_yet_is_waited_for(keeper: Keeper, triton: FakeTriton) -> None:
    hold(served("a"))
    triton.up = False
    await keeper.step()
    assert not keeper.ready
    triton.up = True
    await keeper.step()
    assert keeper.ready


async def test_what_triton_lost_is_loaded_and_proved_again(keeper: Keeper, triton: FakeTriton) -> None:
    hold(served("a"))
    await keeper.step()
    triton.loaded.clear()
    await keeper.look()
    assert not keeper.ready
    await keeper.step()
    assert keeper.ready and triton.loads == 2


async def test_a_new_agent_beside_a_running_triton_proves_and_does_not_load(keeper: Keeper, triton: FakeTriton) -> None:
    hold(served("a"))
    await keeper.step()
    second = Keeper(Settings(), triton)  # type: ignore[arg-type]
    second.proxy_answers = True
    await second.step()
    assert second.ready and triton.loads == 1


async def test_a_new_agent_loads_if_triton_may_hold_something_else(keeper: Keeper, triton: FakeTriton) -> None:
    hold(served("a"))
    await keeper.step()
    hold(served("a", "s3://elsewhere"))
    second = Keeper(Settings(), triton)  # type: ignore[arg-type]
    await second.step()
    assert triton.loads == 2


async def test_an_added_model_that_fails_takes_nothing_from_those_that_serve(
    keeper: Keeper, triton: FakeTriton
) -> None:
    hold(served("a"))
    await keeper.step()
    hold(served("a"), served("b", "s3://away"))
    await keeper.step()
    assert keeper.ready
    failure = keeper.models["b"].failure
    assert failure is not None and failure.reason is Reason.STORE_UNAVAILABLE


async def test_models_that_cannot_be_read_leave_what_is_there(keeper: Keeper, triton: FakeTriton) -> None:
    hold(served("a"))
    await keeper.step()
    Settings().models_file.write_text("{")
    await keeper.step()
    assert keeper.ready
