"""MLflow's own client, as far as runs need it. Imports MLflow when it is made; every error is one of three kinds."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hpo_engine.trackers.background import Unreachable
from hpo_engine.trackers.mlflow import place

PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
_AGAIN = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "IO_ERROR")
_MOST_METRICS, _MOST_PARAMS, _MOST_RUNS = 1000, 100, 1000  # of one request


class Refused(Exception):
    """MLflow refuses a request for good; the text says why."""


class Client:
    """Runs in one store.

    All methods raise Unreachable if the store does not answer at present, and Refused if it refuses.

    Raises:
        Unreachable. ImportError: MLflow is not installed; the text says what to do.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        place.probe(uri)
        try:
            import mlflow
            from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT
        except ImportError as error:
            raise ImportError(f"MLflow cannot be imported ({error}); pip install 'hpo-engine[mlflow]'") from None
        for name in ("mlflow", "alembic"):  # their lines would run through the display
            logging.getLogger(name).setLevel(logging.ERROR)
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)
        if uri.startswith("sqlite:///"):
            os.makedirs(os.path.dirname(uri.removeprefix("sqlite:///")), exist_ok=True)
        with _errors():
            self._client = mlflow.MlflowClient(tracking_uri=uri)

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is made if there is none."""
        with _errors():
            found = self._client.get_experiment_by_name(name)
            if found is None:
                return str(self._client.create_experiment(name, artifact_location=place.beside(self.uri)))
            if found.lifecycle_stage == "deleted":
                raise Refused(f"the experiment {name} was deleted; restore it, or set experiment to another name")
            return str(found.experiment_id)

    def create(self, experiment: str, name: str, at: float, tags: Mapping[str, str]) -> str:
        with _errors():
            made = self._client.create_run(experiment, start_time=_ms(at), tags=dict(tags), run_name=name)
            return str(made.info.run_id)

    def exists(self, run: str) -> bool:
        """Whether the run is there and was not deleted."""
        try:
            with _errors():
                return bool(self._client.get_run(run).info.lifecycle_stage == "active")
        except Refused:
            return False

    def contents(self, run: str) -> tuple[dict[str, str], dict[str, float]]:
        """The parameters and the latest metrics of a run."""
        with _errors():
            data = self._client.get_run(run).data
            return dict(data.params), dict(data.metrics)

    def find(self, experiments: Sequence[str], where: str) -> Iterator[Any]:
        """The runs that a filter finds; mlflow.entities.Run."""
        token = None
        while True:
            with _errors():
                page = self._client.search_runs(list(experiments), where, max_results=_MOST_RUNS, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def experiments(self) -> dict[str, str]:
        """The names of the latest experiments, by id."""
        with _errors():
            return {str(e.experiment_id): str(e.name) for e in self._client.search_experiments(max_results=_MOST_RUNS)}

    def log(
        self,
        run: str,
        metrics: Iterable[tuple[str, float, int, float]] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Logs metrics (name, value, step, UTC seconds), parameters and tags, in as few requests as MLflow allows."""
        from mlflow.entities import Metric, Param, RunTag

        values = [Metric(name, value, _ms(at), step) for name, value, step, at in metrics]
        texts = [Param(name, value) for name, value in (params or {}).items()]
        marks = [RunTag(name, value) for name, value in (tags or {}).items()]
        while values or texts or marks:
            with _errors():
                few = texts[:_MOST_PARAMS], marks[:_MOST_PARAMS]
                most = _MOST_METRICS - len(few[0]) - len(few[1])
                self._client.log_batch(run, values[:most], *few)
            values, texts, marks = values[most:], texts[_MOST_PARAMS:], marks[_MOST_PARAMS:]

    def set_status(self, run: str, status: str, ended_at: float | None = None) -> None:
        with _errors():
            if status in ("RUNNING", "SCHEDULED"):
                self._client.update_run(run, status=status)
            else:
                self._client.set_terminated(run, status, None if ended_at is None else _ms(ended_at))

    def rename(self, run: str, name: str) -> None:
        with _errors():
            self._client.update_run(run, name=name)

    def upload(self, run: str, path: str, folder: str | None = None) -> None:
        """Logs a file or a folder as an artifact. Raises Refused: whatever went wrong."""
        try:
            log = self._client.log_artifacts if os.path.isdir(path) else self._client.log_artifact
            log(run, path, folder)
        except Exception as error:
            raise Refused(f"{os.path.basename(path)} cannot be stored: {_first_line(error)}") from None


@contextmanager
def _errors() -> Iterator[None]:
    """Turns MLflow's errors, and those of what it is built on, into ours."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in _AGAIN:
            raise Unreachable(_first_line(error)) from None
        raise Refused(_first_line(error)) from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _ms(at: float) -> int:
    return int(at * 1000)
