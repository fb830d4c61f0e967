"""A study's runs: what the store lacks of a history is sent. Called by one thread; a later call makes up for what an
earlier one could not do, so a server that was away, and an engine that was killed, leave no gap.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass

from hpo_engine.contract.binding import ATTEMPT_TAG
from hpo_engine.contract.checkpoints.finding import newest
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.lineage import has_schedule, schedule
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Attempt, Trial, TrialState
from hpo_engine.trackers.mlflow import kept as keeping
from hpo_engine.trackers.mlflow import place, words
from hpo_engine.trackers.mlflow.client import PARENT, Client, Refused
from hpo_engine.trackers.mlflow.kept import Kept, KeptRun

log = logging.getLogger(__name__)

OWN = "hpo_engine."
"""What the names of our tags begin with."""
_STUDY_KEY, _TRIAL, _ATTEMPT = f"{OWN}study_key", f"{OWN}trial_id", f"{OWN}attempts"
_TOLD_ELSEWHERE = 3  # trials whose scripts' experiments are looked for
_OBJECTIVE, _BEST = "objective", "best"


@dataclass(frozen=True)
class Choices:
    """The options of the tracker. `uri` is resolved; `artifacts`: off, best or all; `tags`: the user's."""

    uri: str
    experiment: str
    artifacts: str
    join: bool
    tags: dict[str, str]


class StudyRuns:
    """Args:
    connect: makes the client of a store.
    """

    def __init__(self, paths: StudyPaths, choices: Choices, connect: Callable[[str], Client] = Client) -> None:
        self._paths, self._choices, self._connect = paths, choices, connect
        self._client: Client | None = None
        self._kept = Kept("", "")
        self._names = words.Names()
        self._sent: dict[int, Trial] = {}
        self._gone: set[int] = set()  # trials whose runs MLflow refuses
        self._found: dict[int, str] = {}  # runs that an earlier engine made and did not come to note, by trial
        self._artifacts = choices.artifacts != "off"
        self._changed = False

    @property
    def connected(self) -> bool:
        return self._client is not None

    # -- what the tracker calls, in its thread ---------------------------------------------------------------------

    def join(self, history: History, trial: Trial, attempt: Attempt) -> tuple[str, str]:
        """The ids of the experiment and of the trial's run, made if there is none. Raises Unreachable, Refused."""
        self._begin(history)
        run = self._run_of(history, trial, attempt)
        if self._choices.join:
            self._api.log(run.run, tags={ATTEMPT_TAG: attempt.nonce})
        self._save()
        return self._kept.experiment, run.run

    def sync(self, history: History) -> None:
        """Sends what is missing. Raises Unreachable: not all could be sent."""
        place.probe(self._choices.uri)
        self._begin(history)
        try:
            for trial in history.trials:
                if self._sent.get(trial.id) is not trial and trial.id not in self._gone:
                    self._send(history, trial)
                    self._sent[trial.id] = trial
            self._send_study(history)
        finally:
            self._save()

    # -- the study's run -------------------------------------------------------------------------------------------

    @property
    def _api(self) -> Client:
        assert self._client is not None
        return self._client

    def _begin(self, history: History) -> None:
        """Connects, and finds or makes the study's run."""
        if self._client is not None:
            return
        client, key = self._connect(self._choices.uri), _key(self._paths, history)
        kept = keeping.read(self._paths.root, self._choices.uri, key)
        if kept.run and not client.exists(kept.run):
            log.warning("mlflow: the study's run was deleted; it gets a new one")
            kept = Kept(self._choices.uri, key)
        kept.experiment = kept.experiment or client.experiment(self._choices.experiment)
        if not kept.run:
            ours = client.find([kept.experiment], f"tags.`{_STUDY_KEY}` = '{key}'")
            first = next(iter(ours), None)  # an engine that was killed at once may have made it
            kept.run = first.info.run_id if first is not None else self._make_study_run(client, kept, history, key)
        elif not kept.sent:
            client.set_status(kept.run, "RUNNING")
        kept.sent = ""
        for run in client.find([kept.experiment], f"tags.`{PARENT}` = '{kept.run}'"):
            number = run.data.tags.get(_TRIAL, "")
            if number.isdecimal():
                self._found[int(number)] = run.info.run_id
        self._kept, self._client, self._changed = kept, client, True
        self._save()

    def _make_study_run(self, client: Client, kept: Kept, history: History, key: str) -> str:
        spec = history.spec
        aims = ", ".join(f"{aim.goal} {aim.metric}" for aim in spec.objectives)
        marks = {
            _STUDY_KEY: key,
            f"{OWN}study": spec.name,
            f"{OWN}folder": self._paths.root,
            f"{OWN}objective": aims,
            "mlflow.note.content": f"{aims} with {spec.algorithm.name}. Study in `{self._paths.root}`.",
            **_origin(history),
            **self._choices.tags,
        }
        run = client.create(kept.experiment, spec.name, history.opened_at, words.tags(marks))
        plain = {"algorithm": spec.algorithm.name, "seed": spec.seed, **spec.algorithm.options}
        client.log(run, params={self._names.legal(name): words.text(v, words.MAX_PARAM) for name, v in plain.items()})
        if self._artifacts and os.path.exists(self._paths.source):
            self._upload(client, run, self._paths.source)
        return run

    def _send_study(self, history: History) -> None:
        """The best value so far, the state, and once the study has ended the best trial's checkpoint."""
        kept, best = self._kept, history.best
        if best is not None and kept.best != (best.id, len(best.results)) and best.id in kept.trials:
            names = [self._names.legal(f"{_BEST}/{aim.metric}") for aim in history.spec.objectives]
            values = history.values(best)
            at = [(name, v, history.ended_count, history.last_at) for name, v in zip(names, values, strict=False)]
            marks = {f"{OWN}best_trial": str(best.id), f"{OWN}best_run": kept.trials[best.id].run}
            self._api.log(kept.run, at, tags=marks)
            kept.best, self._changed = (best.id, len(best.results)), True
        state = f"{history.state.value}: {history.reason}"
        if kept.sent != state:
            marks = words.tags({f"{OWN}state": history.state.value, f"{OWN}reason": history.reason})
            self._api.log(kept.run, tags=marks)
            self._api.set_status(kept.run, words.STUDY_STATUS[history.state], history.closed_at)
            kept.sent, self._changed = state, True
        if history.state is not StudyState.RUNNING and best is not None and self._choices.artifacts == "best":
            self._send_checkpoint(best, history.spec)

    # -- the trials' runs ------------------------------------------------------------------------------------------

    def _run_of(self, history: History, trial: Trial, attempt: Attempt | None) -> KeptRun:
        """The trial's run. An attempt that begins afresh after another has reported gets a new one: a curve cannot be
        taken back, so that of the earlier attempts becomes a run in this one."""
        kept = self._kept.trials.get(trial.id)
        if kept is None and trial.id in self._found:
            kept = self._kept.trials[trial.id] = KeptRun(self._found.pop(trial.id))
        number = 1 if attempt is None else attempt.number
        afresh = attempt is not None and attempt.resume is None
        if kept is not None and not (afresh and number > kept.attempt and kept.rows):
            return kept
        marks = {
            PARENT: self._kept.run,
            _TRIAL: str(trial.id),
            f"{OWN}study": history.spec.name,
            f"{OWN}started_from": None if trial.origin is None else trial.origin.trial,
            f"{OWN}folder": self._paths.trial(trial.id).result_dir,
            **_origin(history),
            **self._choices.tags,
        }
        at = trial.started_at or history.last_at
        new = KeptRun(self._api.create(self._kept.experiment, f"trial {trial.id}", at, words.tags(marks)), number)
        if kept is not None:
            self._demote(trial, kept, new)
        self._kept.trials[trial.id], self._changed = new, True
        return new

    def _demote(self, trial: Trial, old: KeptRun, new: KeptRun) -> None:
        new.closed = old.closed
        last = new.attempt - 1
        ended = next((a for a in trial.attempts if a.number == last), None)
        self._api.log(old.run, tags={PARENT: new.run, _TRIAL: "", f"{OWN}trial": str(trial.id)})
        self._api.rename(old.run, f"trial {trial.id}, attempt {last}")
        self._api.set_status(old.run, _status_of(ended), None if ended is None else ended.ended_at)

    def _send(self, history: History, trial: Trial) -> None:
        if not trial.attempts and not trial.state.ended:
            return
        try:
            kept = self._run_of(history, trial, trial.attempt)
            if kept.attempt > len(trial.attempts) > 0:
                return  # the run is that of an attempt which this history does not know yet
            self._see_to_scripts_runs(trial, kept)
            if not self._choices.join:
                self._send_params(history, trial, kept)
                self._send_rows(history, trial, kept)
            self._send_state(history, trial, kept)
        except Refused as error:
            self._gone.add(trial.id)
            log.warning("mlflow: trial %d: %s; its run is left as it is", trial.id, error)

    def _send_params(self, history: History, trial: Trial, kept: KeptRun) -> None:
        if kept.params:
            return
        config = {self._names.legal(name): v for name, v in history.config(trial).items()}
        try:
            self._api.log(kept.run, params={n: words.text(v, words.MAX_PARAM) for n, v in config.items()})
        except Refused:
            self._api.log(kept.run, params={n: words.text(v, words.OLD_MAX_PARAM) for n, v in config.items()})
        kept.params, self._changed = True, True

    def _send_rows(self, history: History, trial: Trial, kept: KeptRun) -> None:
        rows = () if trial.provisional else trial.rows
        if len(rows) <= kept.rows:
            return
        at = min(history.last_at, trial.ended_at or history.last_at)
        points = [
            (self._names.legal(name), value, words.step(row.step, position), at)
            for position, row in enumerate(rows[kept.rows :], kept.rows + 1)
            for name, value in row.values.items()
        ]
        self._api.log(kept.run, points)
        kept.rows, self._changed = len(rows), True

    def _send_state(self, history: History, trial: Trial, kept: KeptRun) -> None:
        state = f"{trial.state.value} {len(trial.attempts)} {len(trial.results)}"
        if kept.sent == state:
            return
        if self._choices.join and trial.state.ended:
            self._fill_in(history, trial, kept)
        values = history.values(trial) if trial.state is TrialState.COMPLETED else ()
        aims = [self._names.legal(f"{_OBJECTIVE}/{aim.metric}") for aim in history.spec.objectives]
        amount, at = trial.proposal.resource or 0, trial.ended_at or history.last_at
        points = [(name, v, words.step(amount, 0), at) for name, v in zip(aims, values, strict=False)]
        if trial.state.ended:
            points += self._schedule(history, trial, at)
        marks = {
            f"{OWN}state": trial.state.value,
            f"{OWN}reason": trial.reason,
            f"{OWN}failure": None if trial.failure is None else trial.failure.value,
            _ATTEMPT: len(trial.attempts),
            f"{OWN}seconds": None if trial.took_s is None else f"{trial.took_s:.3f}",
            f"{OWN}params": history.config(trial) if has_schedule(history, trial) else None,
        }
        if history.spec.resource is not None and trial.proposal.resource is not None:
            marks[f"{OWN}{history.spec.resource.name}"] = trial.proposal.resource
        self._api.log(kept.run, points, tags=words.tags(marks))
        self._api.set_status(kept.run, words.STATUS[trial.state], trial.ended_at)
        if trial.state.ended:
            self._send_files(trial, kept, history.spec)
        kept.sent, self._changed = state, True

    def _fill_in(self, history: History, trial: Trial, kept: KeptRun) -> None:
        """Adds what a script that logs into the trial's run has not logged itself."""
        params, metrics = self._api.contents(kept.run)
        config = {self._names.legal(name): v for name, v in history.config(trial).items()}
        lacking = {n: words.text(v, words.MAX_PARAM) for n, v in config.items() if n not in params}
        points = [
            (legal, value, words.step(row.step, position), trial.ended_at or history.last_at)
            for position, row in enumerate(trial.rows, 1)
            for name, value in row.values.items()
            if (legal := self._names.legal(name)) not in metrics
        ]
        self._api.log(kept.run, points, params=lacking)

    def _schedule(self, history: History, trial: Trial, at: float) -> list[tuple[str, float, int, float]]:
        """The parameters over the resource, of a trial that was trained with one set of values after another."""
        if not has_schedule(history, trial):
            return []
        return [
            (self._names.legal(f"schedule/{name}"), float(value), amount, at)
            for run in schedule(history, trial)
            for amount in (run.start, run.end)
            for name, value in run.params.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ]

    # -- what scripts log themselves -------------------------------------------------------------------------------

    def _see_to_scripts_runs(self, trial: Trial, kept: KeptRun) -> None:
        """Runs that an ended attempt's script has made: in the trial's run, and not left running."""
        for attempt in trial.attempts[kept.closed :]:
            if attempt.exit is None:
                return
            where = [self._kept.experiment]
            names = self._api.experiments() if trial.id < _TOLD_ELSEWHERE else {}
            for run in self._api.find([*dict.fromkeys([*where, *names])], f"tags.`{ATTEMPT_TAG}` = '{attempt.nonce}'"):
                if run.info.run_id == kept.run:
                    continue
                if PARENT not in run.data.tags:
                    self._api.log(run.info.run_id, tags={PARENT: kept.run})
                if run.info.status in ("RUNNING", "SCHEDULED"):
                    self._api.set_status(run.info.run_id, _status_of(attempt), attempt.ended_at)
                if run.info.experiment_id != self._kept.experiment and not trial.id:
                    log.warning(
                        "mlflow: the script logs to the experiment %s, the study to %s, so MLflow shows them apart; "
                        'pass experiment_name=os.environ["MLFLOW_EXPERIMENT_NAME"], or set experiment of the tracker',
                        names.get(run.info.experiment_id, run.info.experiment_id),
                        self._choices.experiment,
                    )
            kept.closed, self._changed = attempt.number, True

    # -- files -----------------------------------------------------------------------------------------------------

    def _send_files(self, trial: Trial, kept: KeptRun, spec: StudySpec) -> None:
        if self._artifacts and not kept.files and os.path.exists(self._paths.trial(trial.id).config):
            self._upload(self._api, kept.run, self._paths.trial(trial.id).config)
            kept.files = True
        if self._choices.artifacts == "all":
            self._send_checkpoint(trial, spec)

    def _send_checkpoint(self, trial: Trial, spec: StudySpec) -> None:
        """The newest checkpoint that the trial has left; once for each of its results."""
        kept = self._kept.trials.get(trial.id)
        checkpoint = newest(TrialFiles.of(self._paths.trial(trial.id), trial, spec), spec.checkpoints)
        mark = f"{trial.id} {len(trial.results)}"
        if not self._artifacts or kept is None or checkpoint is None or mark in self._kept.files.split(","):
            return
        path = f"{self._paths.trial(trial.id).result_dir}/{checkpoint}"
        if os.path.exists(path):
            self._upload(self._api, kept.run, path, "checkpoint")
            self._kept.files, self._changed = f"{self._kept.files},{mark}".strip(","), True

    def _upload(self, client: Client, run: str, path: str, folder: str | None = None) -> None:
        if not self._artifacts:
            return
        try:
            client.upload(run, path, folder)
        except Refused as error:
            self._artifacts = False
            log.warning("mlflow: %s; no more files are sent", error)

    def _save(self) -> None:
        if self._changed:
            keeping.write(self._paths.root, self._kept)
            self._changed = False


def _status_of(attempt: Attempt | None) -> str:
    """How a run ends that belongs to an attempt."""
    if attempt is None or attempt.exit is None or attempt.exit.stop_cause is not None or attempt.exit.lost:
        return "KILLED"
    return "FINISHED" if attempt.exit.clean else "FAILED"


def _key(paths: StudyPaths, history: History) -> str:
    """What names a study in a store: a moved one keeps it, a copy has another."""
    found = os.stat(paths.root)
    return f"{history.opened_at:.6f}-{found.st_dev}-{found.st_ino}"


def _origin(history: History) -> dict[str, object]:
    """MLflow's own tags for where a run comes from."""
    what = history.provenance
    code, runtime = what.code, what.runtime
    out: dict[str, object] = {"mlflow.source.name": " ".join(what.command), "mlflow.source.type": "LOCAL"}
    if code is not None:
        out |= {
            "mlflow.source.git.commit": code.commit,
            "mlflow.source.git.branch": code.branch,
            "mlflow.source.git.repoURL": code.remote,
            f"{OWN}dirty": code.dirty,
            f"{OWN}changed_files": ", ".join(change.path for change in code.changes),
        }
    if runtime is not None:
        out |= {f"{OWN}host": runtime.machine.host, f"{OWN}python": runtime.python, f"{OWN}version": runtime.engine}
    return out
