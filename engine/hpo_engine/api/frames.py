"""A study's trials and reports as pandas tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpo_engine.errors import EngineError

if TYPE_CHECKING:
    import pandas as pd

    from hpo_engine.study.history import History


def of_trials(history: History) -> pd.DataFrame:
    """A row for each trial, in the order of their ids.

    Columns: `trial` (its number); `state`; `value` (of the objective), or with several objectives `values.NAME` for
    each and `front` (whether no other trial dominates it); `params.NAME` for each parameter, and for the resource;
    `seconds`, of its latest run; `started` and `ended` (UTC); `attempts`; `failure` and `reason`; `last.NAME`, the
    latest value of each metric. What a trial does not have is missing (NaN, NaT or None).
    """
    pandas = _pandas()
    objectives = [aim.metric for aim in history.spec.objectives]
    several, front = len(objectives) > 1, set(history.front_ids)
    configs = [history.result_config(trial) for trial in history.trials]
    names = dict.fromkeys([*history.spec.config_names, *(name for config in configs for name in config)])
    last = [{name: v for row in trial.rows for name, v in row.values.items()} for trial in history.trials]
    values = [dict(zip(objectives, history.values(trial), strict=False)) for trial in history.trials]
    ids = [trial.id for trial in history.trials]
    columns: dict[str, Any] = {"trial": ids, "state": [trial.state.value for trial in history.trials]}
    for name in objectives:
        column = pandas.array([found.get(name) for found in values], dtype="float64")
        columns[f"values.{name}" if several else "value"] = column
    if several:
        columns["front"] = [number in front for number in ids]
    columns |= {f"params.{name}": [config.get(name) for config in configs] for name in names}
    columns["seconds"] = pandas.array([trial.ran_s for trial in history.trials], dtype="float64")
    for name in ("started", "ended"):
        times = [getattr(trial, f"{name}_at") for trial in history.trials]
        columns[name] = pandas.to_datetime(pandas.array(times, dtype="float64"), unit="s", utc=True)
    columns["attempts"] = [len(trial.attempts) for trial in history.trials]
    columns["failure"] = [None if trial.failure is None else trial.failure.value for trial in history.trials]
    columns["reason"] = [trial.reason for trial in history.trials]
    metrics = dict.fromkeys(name for found in last for name in found)
    columns |= {f"last.{name}": [found.get(name) for found in last] for name in metrics}
    return pandas.DataFrame(columns)


def of_rows(history: History) -> pd.DataFrame:
    """A row for each report: `trial`, `step`, and a column for each metric, NaN where a report does not have it."""
    pandas = _pandas()
    found = [{"trial": trial.id, "step": row.step, **row.values} for trial in history.trials for row in trial.rows]
    return pandas.DataFrame(found) if found else pandas.DataFrame({"trial": [], "step": []})


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise EngineError('a dataframe needs pandas: pip install "hpo-engine[notebook]"') from None
    return pandas
