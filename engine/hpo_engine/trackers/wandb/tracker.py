"""The tracker: which runs there are to write, and when.

Offline a trial's run is written as a whole when the trial ends, for nobody can look at it earlier; online it grows.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.plugins.card import Card, Option
from hpo_engine.study.events import AttemptIntended, Event, MetricsSeen, TrialEnded
from hpo_engine.study.history import History
from hpo_engine.study.trial import Attempt, Trial
from hpo_engine.trackers.background import Background
from hpo_engine.trackers.wandb import joining, runs
from hpo_engine.trackers.wandb.client import Client

log = logging.getLogger(__name__)

_WAIT_S = 3.0  # for the last messages, and as long for the worker
_UNFIT = re.compile(r"[/\\#?%:\s]+")  # in the name of a project


class WandbTracker:
    """Writes runs below `paths.root`/wandb."""

    card = Card(
        "Weights & Biases: one run per trial, in a group that is named after the study, and one for the study.",
        options={
            "project": Option("the project; else WANDB_PROJECT, or the name of the script's folder", str),
            "entity": Option("the user or team; else WANDB_ENTITY, or your default one", str),
            "mode": Option(
                "auto: what WANDB_MODE says, else online if there is an API key", str, default=joining.AUTO,
                words=(joining.AUTO, joining.ONLINE, joining.OFFLINE, joining.DISABLED),
            ),
        },
        extra="wandb",
    )  # fmt: skip
    shared_variables = joining.SHARED

    def __init__(
        self, paths: StudyPaths, *, project: str | None = None, entity: str | None = None, mode: str = joining.AUTO
    ) -> None:
        if find_spec("wandb") is None:
            raise ValueError("needs wandb: pip install 'hpo-engine[wandb]'")
        self._paths, self._project, self._entity = paths, project, entity
        self._mode = joining.mode(mode, os.environ)
        if self._mode == joining.ONLINE and not joining.has_key(os.environ):
            self._mode = joining.OFFLINE
            log.warning("W&B: no API key (wandb login), so runs stay in %s until wandb sync", joining.folder(paths))
        self._client = Client(paths.root)
        self._queue: Background[runs.Message] = Background(self._client.deliver, "wandb")
        self._sent: dict[int, int] = {}  # rows of running trials; online only
        self._of_script: set[int] = set()  # trials whose script writes their run

    def open(self, history: History, now: float) -> None:
        """Runs that an earlier engine never came to write are written now."""
        if self._mode == joining.DISABLED:
            return
        done = self._client.done()
        for trial in history.finished:
            if trial.attempts and self._key(history, trial) not in done:
                self._send(history, trial)
        for trial in history.running:
            self._grow(history, trial)

    def environment(self, history: History, trial: Trial, attempt: Attempt) -> Mapping[str, str]:
        settings = {"WANDB_MODE": self._mode}
        for variable, value in (("WANDB_PROJECT", self._project_of(history)), ("WANDB_ENTITY", self._entity)):
            if value:
                settings[variable] = value
        if self._mode == joining.DISABLED:
            return settings
        return joining.variables(history, trial, attempt, self._paths, settings)

    def on(self, event: Event, history: History) -> None:
        if self._mode == joining.DISABLED:
            return
        if isinstance(event, MetricsSeen) and not event.provisional:
            self._grow(history, history.trials[event.trial])
        elif isinstance(event, AttemptIntended):
            self._sent.pop(event.trial, None)
            self._of_script.discard(event.trial)
        elif isinstance(event, TrialEnded):
            trial = history.trials[event.trial]
            if trial.attempts:
                self._send(history, trial)
                self._sent.pop(trial.id, None)
            if self._mode == joining.ONLINE:
                self._queue.put({**runs.study_message(history, self._common(history)), "end": None, "key": None})

    def tick(self, history: History, now: float) -> None:
        pass

    def close(self, history: History) -> None:
        """What the worker has not written by then it writes alone, after the engine's end."""
        if self._mode == joining.DISABLED:
            return
        if history.finished:
            self._queue.put(runs.study_message(history, self._common(history)))
        if self._queue.close(_WAIT_S):
            self._client.leave([], _WAIT_S)
            return
        done = self._client.done()
        late = [trial for trial in history.finished if trial.attempts and self._key(history, trial) not in done]
        left = [self._message(history, trial, 0) for trial in late if not self._by_script(trial)]
        self._client.leave([*left, runs.study_message(history, self._common(history))], 0.0)

    def _grow(self, history: History, trial: Trial) -> None:
        if self._mode == joining.ONLINE and trial.attempts and trial.rows and not trial.provisional:
            self._send(history, trial)

    def _send(self, history: History, trial: Trial) -> None:
        """Passes on what the trial's run lacks, unless its script writes it."""
        if not self._by_script(trial):
            self._queue.put(self._message(history, trial, self._sent.get(trial.id, 0)))
            self._sent[trial.id] = len(trial.rows)

    def _message(self, history: History, trial: Trial, first: int) -> runs.Message:
        return runs.trial_message(history, trial, self._common(history), trial.rows, first)

    def _by_script(self, trial: Trial) -> bool:
        """Whether the trial's script has opened a run of its own; it is linked to where ours are."""
        if trial.id in self._of_script:
            return True
        since = trial.attempts[-1].started_at or trial.started_at or 0.0
        found = joining.opened_by_script(self._paths.trial(trial.id), since)
        if found:
            joining.link(self._paths, found)
            self._of_script.add(trial.id)
        return bool(found)

    def _key(self, history: History, trial: Trial) -> str:
        return f"{runs.run_id(history, trial, trial.attempts[-1])} {trial.ended_at}"

    def _common(self, history: History) -> dict[str, str]:
        """Arguments of wandb.init for each run."""
        common = {"mode": self._mode, "project": self._project_of(history)}
        entity = self._entity or os.environ.get("WANDB_ENTITY")
        return {**common, "entity": entity} if entity else common

    def _project_of(self, history: History) -> str:
        folder = os.path.basename(os.path.normpath(history.spec.model_dir))
        name = self._project or os.environ.get("WANDB_PROJECT") or folder or history.spec.name
        return _UNFIT.sub("-", name)[:128]
