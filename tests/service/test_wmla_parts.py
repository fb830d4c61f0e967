"""The dialect's parts that need no server: paths, generations, application ids, what is remembered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpo_engine.service.desk import Caller, View
from hpo_engine.service.wmla.asking import generation_of
from hpo_engine.service.wmla.cleanpaths import cleaned
from hpo_engine.service.wmla.memory import Memory
from hpo_engine.service.wmla.tasks import task_body
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial
from hpo_engine.studyfile import wmla
from hpo_engine.studyfile.wmla import Generation
from hpo_engine.testing.histories import opened, proposed, spec_of, with_fate

SDK = "wmla-python-sdk/1.0 (lang=python; arch=x86_64; os=Linux; python.version=3.11.7)"


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/platform/rest/deeplearning/v1/execs/", "/platform/rest/deeplearning/v1/execs"),
        ("//platform/rest/deeplearning/v1//hypersearch", "/platform/rest/deeplearning/v1/hypersearch"),
        ("/", "/"),
        ("//", "/"),
    ],
)
def test_slashes_that_mean_nothing_are_taken_out(given: str, path: str) -> None:
    assert cleaned(given) == path


@pytest.mark.parametrize(
    ("how", "agent", "generation"),
    [
        ("basic", "python-requests/2.34", Generation.V1),
        ("session", "python-requests/2.34", Generation.V1),
        ("basic", SDK, Generation.CPD),
        ("token", "python-requests/2.34", Generation.CPD),
        ("token", SDK, Generation.CPD),
    ],
)
def test_credentials_and_the_agent_tell_the_generation(how: str, agent: str, generation: Generation) -> None:
    assert generation_of(Caller("ann", how=how, agent=agent)) is generation


@pytest.mark.parametrize("creator", ["ann", "hpo", "ann-5-6", "Ann Lee", "é"])
@pytest.mark.parametrize("generation", list(Generation))
def test_an_application_id_names_its_trial(creator: str, generation: Generation) -> None:
    spec = StudySpec("h", SearchSpace(()), (Objective("loss"),), ("python", "t.py"), "/m", dialect={"creator": creator})
    history = History(spec, opened_at=1795838976.533120)
    text = wmla.app_id(history, 12, generation)
    assert wmla.read_app_id(text) == (wmla.opened_us(history.opened_at), 12)


@pytest.mark.parametrize("text", ["", "ann", "ann-1", "hpo-", "ann-1-x", "ann-" + "9" * 40 + "-1", "ann-1-1\n"])
def test_other_texts_are_no_application_id(text: str) -> None:
    assert wmla.read_app_id(text) is None


def test_an_answer_is_made_again_only_for_another_version() -> None:
    memory, made = Memory(), list[str]()

    def make() -> bytes:
        made.append("x")
        return b"x" * len(made)

    assert [memory.body("a", version, make) for version in (1, 1, 2, 2, 1)] == [b"x", b"x", b"xx", b"xx", b"xxx"]


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    memory, made = Memory(most_bytes=10), list[str]()

    def answer(key: str, size: int) -> bytes:
        return memory.body(key, 1, lambda: (made.append(key), b"x" * size)[1])

    for key in "abca":
        answer(key, 4)
    assert made == ["a", "b", "c", "a"]
    assert answer("d", 100) == answer("d", 100) and made[-1] == "d"


def test_an_encoded_task_is_its_object_and_ended_trials_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    history = opened(spec_of(SearchSpace((Float("x", 0, 1),))))
    for number, fate in enumerate(("completed", "failed", "running")):
        history = with_fate(proposed(history, [Proposal({"x": number / 10})]), number, fate, number / 10)
    made, trial_object = list[int](), wmla.trial_object

    def counted(history: History, trial: Trial, **options: Any) -> dict[str, Any]:
        made.append(trial.id)
        return trial_object(history, trial, **options)

    monkeypatch.setattr(wmla, "trial_object", counted)
    memory = Memory()
    for at in (1000.0, 1001.0):  # it is made anew every second, for its durations
        for generation in Generation:
            view = View("h", "ann", "running", history.opened_at, "1", load=lambda: history)
            body = json.loads(task_body(memory, view, generation, at))
            expected = wmla.task_object(history, now=at, state="RUNNING", generation=generation)
            assert body == json.loads(json.dumps({**expected, "hpoName": "h"})), "it is called by its folder"
    assert made == [0, 1, 2, 0, 1, 2, 2, 2], "once for each generation"
