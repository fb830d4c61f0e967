"""What changes a study or one of its trials, and the check of a text that is to become one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from hpo_engine.errors import SpecError
from hpo_engine.service.v1 import models
from hpo_engine.service.v1.answers import answered
from hpo_engine.service.v1.asking import Ask, Asking, Known, Number, Study

if TYPE_CHECKING:
    from hpo_engine.control.trials import Answer
    from hpo_engine.study.history import History

router = APIRouter(tags=["changes"])


@router.post("/check", response_model=models.Checked, summary="Check a study file")
def check_text(ask: Ask, given: models.CheckText) -> Response:
    """Whether a text is a study that could be submitted: the same messages as the command line's, with their lines.

    A text that is wrong is a 200 with `ok` false, so that a form can check it as one types. Nothing is run. With
    `files`, the script is looked for among them, as it will be in the folder that is sent.
    """
    from hpo_engine.service.checking import checked

    return answered(ask.request, checked(ask.desk, given.text, file=given.file, files=given.files))


@router.post("/studies/{study}/enqueue", response_model=list[models.QueuedModel], summary="Queue configurations")
def enqueue_configurations(ask: Ask, study: Study, given: models.Enqueue) -> Response:
    """Puts configurations first in line: they are tried as soon as a trial can start, all of them or none."""
    return _enqueued(ask, study, ask.study(study), given.configurations)


def _enqueued(ask: Asking, study: str, known: Known, configurations: Sequence[Any]) -> Response:
    from hpo_engine.control.queueing import enqueue, entries, numbers_in

    name, numbers = enqueue(known.paths, known.history, configurations)
    if name:
        numbers = numbers_in(known.paths, known.history.events, name)
    return answered(ask.request, [entry.to_json() for entry in entries(ask.study(study).history, numbers)])


@router.get("/studies/{study}/file", summary="Get the study file", responses={200: {"content": {"text/plain": {}}}})
def study_file(ask: Ask, study: Study) -> Response:
    """The study file as it is now, with the changes since it was submitted: what `edit` takes as `text`."""
    from hpo_engine.control.editing import StudyFile

    known = ask.study(study)
    return Response(StudyFile.of(known.paths, known.history).text, media_type="text/plain; charset=utf-8")


@router.post("/studies/{study}/edit", response_model=models.Changed, summary="Change a study")
def edit_study(ask: Ask, study: Study, given: models.Edit) -> Response:
    """Its space, limits and rules, also while it runs. `dry_run` only says what would change."""
    from hpo_engine.control.editing import StudyFile, refuse_unwritable, revise, revision_to

    known = ask.study(study)
    if (given.text is None) is not bool(given.set or given.unset):
        raise SpecError("give set and unset, or the whole text")
    refuse_unwritable(known.paths)
    file = StudyFile.of(known.paths, known.history)
    changed = file.with_changes(given.set, given.unset) if given.text is None else file.with_text(given.text, "")
    revision = revision_to(known.paths, known.history, *changed)
    doing = not given.dry_run and not revision.empty
    led = revise(known.paths, revision, ask.caller.name) if doing else False
    return answered(ask.request, {"changed": doing, "lines": revision.lines, "effects": revision.effects, "led": led})


@router.post("/studies/{study}/trials/{trial}/stop", response_model=models.Done, summary="Stop a trial")
def stop_trial(ask: Ask, study: Study, trial: Number, given: models.Kill | None = None) -> Response:
    """Ends it for good; the study continues. The answer does not wait for its grace period."""
    from hpo_engine.control.trials import stop_trials

    kill = given is not None and given.kill
    return _one(ask, study, trial, lambda paths, which: stop_trials(paths, which, kill=kill, wait=False))


@router.post("/studies/{study}/trials/{trial}/pause", response_model=models.Done, summary="Pause a trial")
def pause_trial(ask: Ask, study: Study, trial: Number, given: models.Kill | None = None) -> Response:
    """It keeps its files and waits until it is resumed; others get its place."""
    from hpo_engine.control.trials import pause_trials

    kill = given is not None and given.kill
    return _one(ask, study, trial, lambda paths, which: pause_trials(paths, which, kill=kill, wait=False))


@router.post("/studies/{study}/trials/{trial}/resume", response_model=models.Done, summary="Resume a paused trial")
def resume_trial(ask: Ask, study: Study, trial: Number) -> Response:
    """It goes on from its newest checkpoint, if it has left one. A study that no engine runs is resumed, too."""
    from hpo_engine.control.trials import resume_trials

    return _again(ask, study, trial, resume_trials)


@router.post("/studies/{study}/trials/{trial}/retry", response_model=models.Done, summary="Retry a trial")
def retry_trial(ask: Ask, study: Study, trial: Number) -> Response:
    """One that failed, was lost, stopped or pruned runs again with the same parameters."""
    from hpo_engine.control.trials import retry_trials

    return _again(ask, study, trial, retry_trials)


@router.post(
    "/studies/{study}/trials/{trial}/clone",
    response_model=list[models.QueuedModel],
    summary="Try a trial's parameters again",
)
def clone_trial(ask: Ask, study: Study, trial: Number, given: models.Clone | None = None) -> Response:
    """Queues its configuration, with changes if any are given, as a trial of its own."""
    known = ask.study(study)
    params = dict(known.trial(trial).params)
    return _enqueued(ask, study, known, [{**params, **(given.change if given is not None else {})}])


def _one(ask: Asking, study: str, trial: int, do: Callable[..., list[Answer]]) -> Response:
    known = ask.study(study)
    known.trial(trial)
    (answer,) = do(known.paths, [range(trial, trial + 1)])
    return answered(ask.request, answer.__dict__)


def _again(ask: Asking, study: str, trial: int, do: Callable[..., tuple[list[Answer], bool]]) -> Response:
    """For what needs an engine: one is started if none runs the study, and if there is anything for it to do."""
    known = ask.study(study)
    known.trial(trial)
    (answer,), led = do(known.paths, [range(trial, trial + 1)])
    if not led and _waits(ask.study(study).history, trial):
        ask.desk.restart(ask.caller, study)
    return answered(ask.request, answer.__dict__)


def _waits(history: History, trial: int) -> bool:
    return history.trials[trial].state.value == "pending"
