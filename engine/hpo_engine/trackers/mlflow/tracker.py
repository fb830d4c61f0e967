"""The tracker `mlflow` as the loop sees it: a thread has the runs; it is handed histories, and asked for ids."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import ClassVar

from hpo_engine.contract.binding import RUN_CONTEXT
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.plugins.card import Card, Option
from hpo_engine.study.events import Event
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.trial import Attempt, Trial
from hpo_engine.trackers.background import CLOSE_S, Background
from hpo_engine.trackers.mlflow import place
from hpo_engine.trackers.mlflow.client import NAME, PARENT
from hpo_engine.trackers.mlflow.runs import Choices, StudyRuns
from hpo_engine.trackers.next_steps import called

log = logging.getLogger(__name__)

_EVERY_S = 1.0  # between two looks at what is new
_FIRST_S = 60.0  # for MLflow's import, and the making of a database, before the first attempt
_ANSWER_S = 5.0  # for the run of a trial
_FILES_S = 30.0  # at the end, for the best trial's checkpoint


class MLflowTracker:
    """Tracker that keeps a study's runs in MLflow, see `runs`."""

    card = Card(
        "runs in MLflow: one per study, and nested in it one per trial",
        options={
            "tracking_uri": Option(
                "a server or a store; default: MLFLOW_TRACKING_URI, else mlflow.db in the folder of the studies",
                str,
                "",
            ),
            "experiment": Option("its name; default: MLFLOW_EXPERIMENT_NAME, else the study's name", str, ""),
            "artifacts": Option(
                "files to store: configurations and the best trial's checkpoint (best), every trial's (all), or none",
                str,
                "best",
                words=("best", "all", "off"),
            ),
            "scripts": Option(
                "a script's own runs are nested in the trial's (nest), are the trial's (join), or left alone (off)",
                str,
                "nest",
                words=("nest", "join", "off"),
            ),
            "tags": Option("for every run, as NAME=VALUE", str, (), many=True),
        },
    )
    shared_variables: ClassVar[frozenset[str]] = frozenset([place.URI, place.EXPERIMENT, place.EXPERIMENT_ID])

    def __init__(
        self,
        paths: StudyPaths,
        *,
        tracking_uri: str = "",
        experiment: str = "",
        artifacts: str = "best",
        scripts: str = "nest",
        tags: tuple[str, ...] = (),
    ) -> None:
        if tracking_uri:
            place.checked(tracking_uri)
        self._tags = _pairs(tags)
        self._paths, self._uri, self._experiment = paths, tracking_uri, experiment
        self._artifacts, self._scripts = artifacts, scripts
        self._runs: StudyRuns | None = None
        self._worker: Background[History] | None = None
        self._choices = Choices("", "", artifacts, scripts == "join", self._tags)
        self._handed_on, self._handed_at = 0, float("-inf")
        self._joined: dict[str, dict[str, str]] = {}  # by nonce: attempts that have not begun yet

    def open(self, history: History, now: float) -> None:
        if find_spec("mlflow") is None:
            raise ImportError("MLflow is not installed: pip install 'hpo-engine[mlflow]'")
        self._begin(history)
        self._hand_on(history, now)

    def on(self, event: Event, history: History) -> None:
        pass  # `tick` follows

    def tick(self, history: History, now: float) -> None:
        due = not 0 <= now - self._handed_at < _EVERY_S
        if history.events != self._handed_on and (due or history.state is not StudyState.RUNNING):
            self._hand_on(history, now)

    def close(self, history: History) -> None:
        worker, runs = self._begin(history)
        if history.events != self._handed_on:
            self._hand_on(history, history.last_at)
        wait_s = CLOSE_S if worker.silent or self._artifacts == "off" else _FILES_S
        if not worker.silent and not runs.connected:
            wait_s = _FIRST_S  # an engine with nothing else to do ends before MLflow's import does
        if worker.close(wait_s):
            with suppress(OSError):
                os.unlink(self._paths.unsent)
            return
        with suppress(OSError):
            os.close(os.open(self._paths.unsent, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
        study = called(history, self._paths.root)
        log.warning("mlflow: not all of the study could be sent; hpo-engine resume %s sends what is missing", study)

    def environment(self, history: History, trial: Trial, attempt: Attempt) -> Mapping[str, str]:
        if attempt.nonce not in self._joined:
            self._joined = {attempt.nonce: self._variables(history, trial, attempt)}
        return self._joined[attempt.nonce]

    def _variables(self, history: History, trial: Trial, attempt: Attempt) -> dict[str, str]:
        """Nothing if the server does not answer: the script then logs where it does without us."""
        worker, runs = self._begin(history)
        own = history.spec.env.get(place.URI)
        if self._scripts == "off" or (own is not None and self._resolved(history, own) != self._choices.uri):
            return {}
        wait_s = _ANSWER_S if runs.connected else _FIRST_S
        ids = worker.ask(lambda: runs.join(history, trial, attempt), wait_s)
        if ids is None:
            if not worker.silent:  # else a line has been said
                log.warning(
                    "mlflow: no answer within %g s; what the script of trial %d logs itself is not in its run",
                    wait_s,
                    trial.id,
                )
            return {}
        experiment, run = ids
        variables = {
            place.URI: self._choices.uri,
            place.EXPERIMENT: self._choices.experiment,
            place.EXPERIMENT_ID: experiment,
            RUN_CONTEXT: json.dumps({PARENT: run, NAME: f"script of trial {trial.id}"}),
        }
        return {**variables, "MLFLOW_RUN_ID": run} if self._scripts == "join" else variables

    def _begin(self, history: History) -> tuple[Background[History], StudyRuns]:
        if self._worker is None or self._runs is None:
            around = {**os.environ, **history.spec.env}
            self._choices = Choices(
                self._resolved(history, self._uri or around.get(place.URI, "")),
                place.experiment_of(self._experiment, around, history.spec.name),
                self._artifacts,
                self._scripts == "join",
                self._tags,
            )
            self._runs = StudyRuns(self._paths, self._choices)
            self._worker = Background(self._runs.sync, "mlflow", most=1)
        return self._worker, self._runs

    def _resolved(self, history: History, uri: str) -> str:
        return place.resolved(uri, history.spec.model_dir, os.path.dirname(self._paths.root))

    def _hand_on(self, history: History, now: float) -> None:
        worker, _ = self._begin(history)
        self._handed_on, self._handed_at = history.events, now
        worker.put(history)


def _pairs(tags: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in tags:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ValueError(f"tags are written NAME=VALUE, not {text!r}")
        pairs[name] = value
    return pairs
