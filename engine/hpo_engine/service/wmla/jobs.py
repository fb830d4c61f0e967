"""Trials as jobs: found by their application ids, and their objects, encoded once for each version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo_engine.contract.paths import SUBMITTED, TrialPaths
from hpo_engine.errors import SpecError, StudyNotFound
from hpo_engine.reports.objects import dump
from hpo_engine.service.wmla.tasks import ended, history_of, is_training
from hpo_engine.studyfile import wmla
from hpo_engine.text.quoting import quoted

if TYPE_CHECKING:
    from hpo_engine.service.desk import Caller, Desk, View
    from hpo_engine.service.wmla.memory import Body, Memory
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import Trial
    from hpo_engine.studyfile.wmla import Generation


@dataclass(frozen=True)
class Job:
    """A trial of a study; of a training it may not have been proposed yet."""

    view: View
    history: History
    number: int
    is_training: bool = False

    @property
    def trial(self) -> Trial | None:
        return self.history.trials[self.number] if self.number < len(self.history.trials) else None

    @property
    def paths(self) -> TrialPaths | None:
        """Its folders; None if the study has none yet."""
        return None if self.view.paths is None else self.view.paths.trial(self.number)

    @property
    def ended(self) -> bool:
        return ended(self.view) or (self.trial is not None and self.trial.state.ended)

    @property
    def work_dir(self) -> str:
        """Where its script runs, as WMLA names it."""
        name = self.history.spec.submitted_code
        inside = f"/{SUBMITTED}/{name}" if name else ""
        return f"{self.paths.result_dir}{inside}" if self.paths else ""


def find(desk: Desk, memory: Memory, caller: Caller, app_id: str) -> Job:
    """The job of an application id of either form. Raises SpecError if there is none that the caller may see."""
    found = wmla.read_app_id(app_id)
    view = None if found is None else _study(desk, memory, caller, found[0])
    history = None if view is None else history_of(view)
    if found is not None and view is not None and history is not None:
        job = Job(view, history, found[1], is_training(memory, view))
        if job.trial is not None or (job.is_training and job.number == 0):
            return job
    raise SpecError(f"there is no job {quoted(app_id)}")


def _study(desk: Desk, memory: Memory, caller: Caller, opened_us: int) -> View | None:
    if (name := memory.names.get(opened_us)) is not None:
        try:
            view = desk.view(caller, name)
        except StudyNotFound:
            memory.names.pop(opened_us, None)  # another thread may have found out, too
        else:
            if _opened_us(view) == opened_us:
                return view
    for view in desk.views(caller):
        if _opened_us(view) == opened_us:
            memory.names[opened_us] = view.name
            return view
    return None


def _opened_us(view: View) -> int:
    return wmla.opened_us(view.created)


def jobs_of(memory: Memory, view: View) -> list[Job]:
    """The jobs of a study."""
    history = history_of(view)
    if history is None:
        return []
    training = is_training(memory, view)
    return [Job(view, history, number, training) for number in range(1 if training else len(history.trials))]


def job_object(job: Job, generation: Generation, url: str) -> dict[str, Any]:
    over = ended(job.view)
    return wmla.job_object(job.history, job.number, generation=generation, work_dir=job.work_dir, url=url, over=over)


def job_body(memory: Memory, job: Job, generation: Generation, url: str) -> Body:
    """The job object, encoded."""
    key = ("job", job.view.name, job.number, generation, url)
    return memory.body(key, job.view.version, lambda: dump(job_object(job, generation, url)).encode())


def jobs_body(memory: Memory, view: View, generation: Generation, url: str) -> Body:
    """The job objects of a study, encoded, without the brackets of a list; empty if it has none."""

    def make() -> Body:
        return b",".join([dump(job_object(job, generation, url)).encode() for job in jobs_of(memory, view)])

    return memory.body(("jobs", view.name, generation, url), view.version, make)
