"""The keeper's table against a stand-in for Triton, which follows a real repository: what is loaded when, what answers,
and when the pod is ready."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.integration.serving.small_models import NAME, answers, publish

from modelpress.agent import holding
from modelpress.agent.failure import AgentError
from modelpress.agent.holding import Keeper
from modelpress.agent.settings import Settings
from modelpress.api.reasons import Reason
from modelpress.api.servingpod import MODELS_FOLDER, REPOSITORY_FOLDER, RUN_FOLDER, ServedModel, ServingPod
from modelpress.api.tasks import AgentTask
from modelpress.triton import repository
from modelpress.triton.client import TritonAwayError, VersionState

TOP = 100


class FakeTriton:
    """Loads what the repository says when it is asked anything; answers as the small models do.

    `factors`: by what the scores of a version are multiplied, by the digest of its manifest. `refuses`: digests that it
    cannot load. `history`: the versions that answered, one after the other. `slow`: so many times it is asked before it
    notices what is new; until then it tells the failures that it `remembers`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.up, self.slow = folder, True, 0
        self.remembers: dict[int, str] = {}
        self.factors: dict[str, float] = {}
        self.refuses: set[str] = set()
        self.history: list[tuple[int, ...]] = []

    def loaded(self, model: str) -> dict[int, ServedModel]:
        """Return what is loaded of a model, by version."""
        text = repository.configuration(self.folder, model)
        policy = {int(number) for number in re.findall(r"versions: (\d+)", text)}
        there = {number: mark for number, mark in repository.marks(self.folder, model).items() if number in policy}
        found = {number: ServedModel.model_validate_json(mark) for number, mark in there.items()}
        return {number: served for number, served in found.items() if served.manifest_digest not in self.refuses}

    async def live(self) -> bool:
        return self.up

    async def ready(self, model: str, version: int | None = None) -> bool:
        now = tuple(sorted(self.loaded(model)))
        if not self.history or self.history[-1] != now:
            self.history.append(now)
        self.slow -= self.slow > 0
        return self.up and version in now and not (self.slow and version in self.remembers)

    async def versions(self, model: str) -> dict[int, VersionState]:
        if not self.up:
            raise TritonAwayError("away")
        if self.slow:
            return {number: VersionState(False, failure) for number, failure in self.remembers.items()}
        there, loaded = repository.marks(self.folder, model), self.loaded(model)
        return {number: VersionState(number in loaded, "" if number in loaded else "no such opset") for number in there}

    async def infer(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: list[str], version: int | None = None
    ) -> dict[str, NDArray[Any]]:
        if not self.up:
            raise TritonAwayError("away")
        loaded = self.loaded(model)
        served = loaded[max(loaded) if version is None else version]
        given = answers(self.factors[served.manifest_digest], inputs["rows"])
        return {name: given[name] for name in outputs}

    async def factor(self) -> float:
        """Return what clients see: the factor of the version that answers requests without one."""
        rows = np.array([[1, 0, 0, 0]], dtype=np.float32)
        return float((await self.infer(NAME, {"rows": rows}, ["scores"]))["scores"][0, 0])


@pytest.fixture
def triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTriton:
    monkeypatch.setenv("MODELPRESS_ROOT", str(tmp_path))
    for folder in (MODELS_FOLDER, RUN_FOLDER, REPOSITORY_FOLDER):
        (tmp_path / folder.lstrip("/")).mkdir(parents=True)
    return FakeTriton(settings().repository)


@pytest.fixture
def keeper(triton: FakeTriton) -> Keeper:
    return started(triton)


def started(triton: FakeTriton) -> Keeper:
    """Return an agent's keeper as it is when it has just started."""
    found = Keeper(settings(), triton)  # type: ignore[arg-type]
    found.proxy_answers = True
    return found


def settings() -> Settings:
    return Settings(task=AgentTask(threads=1))


@pytest.fixture
def make(tmp_path: Path, triton: FakeTriton) -> Any:
    """Publish a model of some factor; say how it is served."""

    def make(factor: float, version: int = TOP, name: str = NAME, **more: Any) -> ServedModel:
        served = publish(tmp_path / "store", name, factor=factor, **more)
        triton.factors[served.manifest_digest] = factor
        return served.model_copy(update={"version": version})

    return make


def hold(*models: ServedModel, beside: ServedModel | None = None) -> None:
    pod = ServingPod(models=models, candidates=(beside,) if beside is not None else ())
    settings().models_file.write_text(pod.model_dump_json(by_alias=True))


async def test_a_model_is_ready_once_its_answers_are_the_judges(keeper: Keeper, make: Any) -> None:
    hold(make(1.0))
    assert not keeper.ready
    await keeper.step()
    assert keeper.ready
    keeper.proxy_answers = False
    assert not keeper.ready


async def test_other_answers_end_the_agent_and_are_never_ready(keeper: Keeper, make: Any) -> None:
    hold(make(1.0, judged=1.5))
    with pytest.raises(AgentError) as error:
        await keeper.step()
    assert error.value.failure.reason is Reason.ANSWERS_DIFFER
    assert not keeper.ready


async def test_a_model_that_triton_refuses_is_a_judgement_in_tritons_words(
    keeper: Keeper, triton: FakeTriton, make: Any
) -> None:
    model = make(1.0)
    hold(model)
    triton.refuses.add(model.manifest_digest)
    with pytest.raises(AgentError, match="no such opset") as error:
        await keeper.step()
    assert error.value.failure.reason is Reason.MODEL_LOAD_FAILED


async def test_a_triton_that_is_not_there_yet_is_waited_for(keeper: Keeper, triton: FakeTriton, make: Any) -> None:
    hold(make(1.0))
    triton.up = False
    await keeper.step()
    assert not keeper.ready
    triton.up = True
    await keeper.step()
    assert keeper.ready


async def test_what_triton_lost_is_proved_again(keeper: Keeper, triton: FakeTriton, make: Any) -> None:
    hold(make(1.0))
    await keeper.step()
    triton.up = False
    await keeper.look()
    assert not keeper.ready
    triton.up = True
    await keeper.step()
    assert keeper.ready


async def test_a_new_agent_beside_a_running_triton_proves_and_gives_it_nothing(
    keeper: Keeper, triton: FakeTriton, make: Any
) -> None:
    model = make(1.0)
    hold(model)
    await keeper.step()
    folder = triton.folder / NAME
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    second = started(triton)
    await second.step()
    assert second.ready
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


async def test_an_added_model_that_fails_takes_nothing_from_those_that_serve(keeper: Keeper, make: Any) -> None:
    first = make(1.0)
    hold(first)
    await keeper.step()
    hold(first, first.model_copy(update={"name": "b", "uri": "file:///nowhere", "manifest_digest": f"sha256:{1:064x}"}))
    await keeper.step()
    assert keeper.ready
    assert keeper.models["b"].failure is not None


async def test_an_agent_that_was_killed_before_its_first_model_was_whole_begins_anew(
    keeper: Keeper, triton: FakeTriton, make: Any
) -> None:
    hold(make(1.0))
    await keeper.step()
    (triton.folder / NAME).rename(triton.folder.parent / "lost")
    second = started(triton)
    await second.step()
    assert second.ready


async def test_models_that_cannot_be_read_leave_what_is_there(keeper: Keeper, make: Any) -> None:
    hold(make(1.0))
    await keeper.step()
    settings().models_file.write_text("{")
    await keeper.step()
    assert keeper.ready


async def both(keeper: Keeper, old: ServedModel, new: ServedModel) -> None:
    """Have `new` held beside `old`."""
    hold(old)
    await keeper.step()
    hold(old, beside=new)
    await keeper.step()


async def test_a_candidate_is_proved_beside_what_answers_and_takes_over_when_told(
    keeper: Keeper, triton: FakeTriton, make: Any
) -> None:
    old, new = make(1.0), make(2.0, TOP - 1)
    await both(keeper, old, new)
    slot = keeper.slots[NAME]
    assert slot.candidate is not None and slot.candidate.verified
    assert await triton.factor() == 1.0
    hold(new)
    await keeper.step()
    assert (slot.serving, slot.candidate) == (slot.current, None)
    assert await triton.factor() == 2.0
    assert list(triton.loaded(NAME)) == [TOP - 1]
    assert keeper.ready


async def test_an_old_version_of_the_lowest_number_is_given_a_higher_one_first(
    keeper: Keeper, triton: FakeTriton, make: Any
) -> None:
    old, new = make(1.0, 1), make(2.0, TOP - 1)
    hold(old)
    await keeper.step()
    hold(old.model_copy(update={"version": TOP}), beside=new)
    await keeper.step()
    await keeper.step()
    assert sorted(triton.loaded(NAME)) == [TOP - 1, TOP]
    assert await triton.factor() == 1.0
    assert (1, TOP) in triton.history
    assert all(now[-1] == TOP for now in triton.history if TOP - 1 in now), "the candidate is never the highest"


@pytest.mark.parametrize("fault", ["answers differ", "triton refuses", "store away", "other tensors"])
async def test_a_candidate_that_fails_leaves_the_old_version_answering_and_says_why(
    keeper: Keeper, triton: FakeTriton, make: Any, fault: str
) -> None:
    old, new = make(1.0), make(2.0, TOP - 1, **({"judged": 3.0} if fault == "answers differ" else {}))
    if fault == "triton refuses":
        triton.refuses.add(new.manifest_digest)
    if fault == "store away":
        new = new.model_copy(update={"uri": "file:///nowhere"})
    if fault == "other tensors":
        new = new.model_copy(update={"max_batch_size": 4})
    await both(keeper, old, new)
    await keeper.step()
    candidate = keeper.slots[NAME].candidate
    assert candidate is not None and candidate.failure is not None and not candidate.verified
    reasons = {
        "answers differ": Reason.ANSWERS_DIFFER,
        "triton refuses": Reason.MODEL_LOAD_FAILED,
        "store away": Reason.ARTIFACT_CHANGED,
        "other tensors": Reason.IN_PLACE_INCOMPATIBLE,
    }
    assert candidate.failure.reason is reasons[fault]
    assert keeper.ready
    assert await triton.factor() == 1.0
    assert list(repository.marks(triton.folder, NAME)) == [TOP], "what failed is not left loaded"


async def test_the_failure_of_an_earlier_candidate_of_the_same_number_is_not_taken_for_that_of_the_next_one(
    keeper: Keeper, triton: FakeTriton, make: Any
) -> None:
    old, bad, good = make(1.0), make(2.0, TOP - 1), make(3.0, TOP - 1)
    triton.refuses.add(bad.manifest_digest)
    await both(keeper, old, bad)
    hold(old)
    await keeper.step()
    triton.remembers, triton.slow = {TOP - 1: "no such opset"}, 3
    hold(old, beside=good)
    await keeper.step()
    candidate = keeper.slots[NAME].candidate
    assert candidate is not None and candidate.verified, candidate


async def test_a_candidate_that_is_called_off_is_unloaded(keeper: Keeper, triton: FakeTriton, make: Any) -> None:
    old, new = make(1.0), make(2.0, TOP - 1)
    await both(keeper, old, new)
    hold(old)
    await keeper.step()
    assert list(triton.loaded(NAME)) == [TOP]
    assert keeper.ready


@pytest.mark.parametrize("fits", [True, False])
async def test_a_candidate_that_overtakes_another_one_is_proved_in_its_place(
    keeper: Keeper, triton: FakeTriton, make: Any, fits: bool
) -> None:
    old, overtaken, third = make(1.0), make(2.0, TOP - 1), make(3.0, TOP - 1)
    third = third if fits else third.model_copy(update={"max_batch_size": 4})
    await both(keeper, old, overtaken)
    hold(old, beside=third)
    for _ in range(2):
        await keeper.step()
    candidate = keeper.slots[NAME].candidate
    assert candidate is not None and candidate.wanted == third and candidate.verified is fits
    assert await triton.factor() == 1.0 and keeper.ready
    assert triton.loaded(NAME) == {TOP: old, TOP - 1: third} if fits else {TOP: old}
    assert all(now[-1] == TOP for now in triton.history), "the old version answers all the time"


@pytest.mark.parametrize("told", ["old", "new"])
async def test_an_agent_that_starts_in_the_middle_goes_on_with_what_is_said_to_answer(
    keeper: Keeper, triton: FakeTriton, make: Any, told: str
) -> None:
    old, new = make(1.0), make(2.0, TOP - 1)
    await both(keeper, old, new)
    hold(new) if told == "new" else hold(old, beside=new)
    second = started(triton)
    await second.step()
    assert second.ready
    assert await triton.factor() == {"old": 1.0, "new": 2.0}[told]
    assert sorted(triton.loaded(NAME)) == {"old": [TOP - 1, TOP], "new": [TOP - 1]}[told]


async def test_a_pod_that_starts_anew_gets_what_is_said_to_answer_first(
    keeper: Keeper, triton: FakeTriton, make: Any
) -> None:
    hold(make(1.0), beside=make(2.0, TOP - 1))
    await keeper.step()
    assert keeper.ready and triton.history == [(TOP,)]
    await keeper.step()
    assert sorted(triton.loaded(NAME)) == [TOP - 1, TOP]


async def test_a_triton_that_ended_beside_a_candidate_starts_without_it(
    keeper: Keeper, triton: FakeTriton, make: Any
) -> None:
    await both(keeper, make(1.0), make(2.0, TOP - 1))
    triton.up = False
    await keeper.look()
    assert list(triton.loaded(NAME)) == [TOP]
    triton.up = True
    for _ in range(3):
        await keeper.step()
    candidate = keeper.slots[NAME].candidate
    assert candidate is not None and candidate.failure is not None and "memory" in candidate.failure.message
    assert keeper.ready and list(triton.loaded(NAME)) == [TOP]


async def test_what_was_fetched_of_the_last_version_stays_for_a_return_and_older_ones_go(
    keeper: Keeper, triton: FakeTriton, make: Any
) -> None:
    versions = [make(float(factor), TOP - factor) for factor in (1, 2, 3)]
    hold(versions[0])
    await keeper.step()
    for new in versions[1:]:
        hold(new)
        await keeper.step()
    kept = {folder.name for folder in settings().fetched.iterdir()}
    assert kept == {model.manifest_digest.partition(":")[2] for model in versions[1:]}
    assert await triton.factor() == 3.0


async def test_a_version_that_requests_would_reach_unproved_comes_only_after_the_old_one_is_gone(
    keeper: Keeper, triton: FakeTriton, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "RETRY_SECONDS", 0.0)
    hold(make(1.0, 1))
    await keeper.step()
    hold(make(2.0, 2))
    await keeper.step()
    assert (1, 2) not in triton.history
    assert await triton.factor() == 2.0 and keeper.ready
