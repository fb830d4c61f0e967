"""What is different when a study is submitted or resumed again: its file, its limits, the files that it copied."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import SpecError, StudyExists
from hpo_engine.text.quoting import listed

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec


def changed_limits(
    history: History, spec: StudySpec, given: Mapping[str, int | None], paths: StudyPaths
) -> dict[str, Any]:
    """The new limits in a file that is submitted again. Raises StudyExists if it describes another study."""
    from hpo_engine import studies

    opened = history.opened_spec
    if (different := studies.differences(opened, spec)) and studies.differences(history.spec, spec):
        lines = "\n".join(f"  {line}" for line in different)
        again = _judge_again(history, opened, spec, paths)
        raise StudyExists(
            f"study {spec.name} exists and differs from this file:\n{lines}\n{again}"
            "to change the study, also while it runs: submit the file with --update; "
            f"to start over: hpo-engine remove {spec.name}, or another --name; to continue the old one: "
            f"hpo-engine resume {spec.name}"
        )
    wanted, before, current = _limits(spec), _limits(opened), _limits(history.spec)
    if history.counts_runs and wanted["runs"] is None:
        wanted |= {"runs": wanted["trials"], "trials": None}
        given = {**given, "runs": given["trials"]}
    changes = {k: v for k, v in wanted.items() if v != current[k] and (v != before[k] or given.get(k) is not None)}
    refuse_fewer(history, changes, "{}: ")
    return changes


def new_limits(given: Mapping[str, int | None], time_limit: str | float | None, called: str) -> dict[str, Any]:
    """The limits that are given, as `SpecChanged` has them.

    Args:
        called: what the time limit is called where it was given.

    Raises:
        SpecError: the time limit is none.
    """
    limits: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if time_limit is not None:
        from hpo_engine.studyfile.native.values import seconds  # pydantic: only for this one

        try:
            limits["time_s"] = seconds(time_limit)
        except ValueError as error:
            raise SpecError(f"{called}: {error}") from None
    return limits


def refuse_fewer(history: History, changes: dict[str, Any], title: str) -> None:
    """Raises SpecError if a new limit is below what the study has had. `title`: of a limit, by its name."""
    from hpo_engine.text.tables import counted

    for name, word, had in (("trials", "trial", history.begun), ("runs", "run", history.runs)):
        had = history.runs if history.counts_runs else had
        if (limit := changes.get(name)) is not None and limit < had:
            raise SpecError(f"{title.format(name)}{limit}: {history.spec.name} has {counted(had, word)} already")


def with_current_limits(history: History, spec: StudySpec, given: dict[str, int | None]) -> StudySpec:
    """The study of a file that is submitted again. A limit that the file has not changed is the study's present one.

    Args:
        given: limits from the command line, which count in any case (None: not given).
    """
    wanted, before, now = _limits(spec), _limits(history.opened_spec), _limits(history.spec)
    found = {k: now[k] if v == before[k] and given.get(k) is None else v for k, v in wanted.items()}
    budget = replace(spec.budget, trials=found["trials"], runs=found["runs"], time_s=found["time_s"])
    return replace(spec, budget=budget, resources=replace(spec.resources, parallel=found["parallel"]))


def _judge_again(history: History, old: StudySpec, new: StudySpec, paths: StudyPaths) -> str:
    """If the files differ only in the objective: the command that judges the existing trials by the new one."""
    from hpo_engine import studies
    from hpo_engine.trackers.next_steps import called

    alike = replace(old, objectives=new.objectives, extra_metrics=new.extra_metrics)
    if new.multi_objective or studies.differences(alike, new):
        return ""
    (objective,) = new.objectives
    metric, goal, over = objective.metric, objective.goal, objective.over
    if new.objectives == old.objectives:  # then the extra metrics have changed
        added = next((name for name in new.extra_metrics if name not in old.extra_metrics), None)
        if added is None:
            return ""
        metric, goal = added, new.extra_metrics[added]
        goal, over = (goal, "best") if goal in ("minimize", "maximize") else ("minimize", "last")
    last = " --over last" if over == "last" else ""
    words = f"{shlex.quote(called(history, paths.root))} --metric {shlex.quote(metric)} --goal {goal}{last}"
    return f"to judge the existing trials by it, without training: hpo-engine best {words} (also show, export)\n"


def _limits(spec: StudySpec) -> dict[str, Any]:
    """What may change in an existing study, by the names of SpecChanged."""
    budget = spec.budget
    return {
        "trials": budget.trials, "runs": budget.runs, "time_s": budget.time_s, "parallel": spec.resources.parallel,
    }  # fmt: skip


def refuse_old_failures(paths: StudyPaths, history: History, edited: Sequence[str] = ()) -> None:
    """Raises StudyExists if no trial has succeeded and the script was changed since: its copy would only fail again.

    Args:
        edited: what has changed besides files of the script's folder.
    """
    from hpo_engine import studies
    from hpo_engine.study.trial import BAD, TrialState
    from hpo_engine.trackers.next_steps import called

    if TrialState.COMPLETED in history.counts or not any(history.counts.get(state) for state in BAD):
        return
    if names := [*edited, *studies.edited(paths, history.spec)]:
        word = shlex.quote(called(history, paths.root))
        how = "restart=True" if edited else f"hpo-engine remove {word}, then submit again"
        raise StudyExists(
            f"nothing was run: no trial of {history.spec.name} has succeeded, and the study keeps using its copy of "
            f"{listed(names, 3)}, which changed since. To use the new version: {how}; to run the old copy "
            f"nevertheless: hpo-engine resume {word}"
        )


def note_changed_files(
    paths: StudyPaths, history: History, say: Callable[[str], None], edited: Sequence[str] = ()
) -> None:
    """For a study that continues: notes on copied or linked files that have changed; `edited`: what else has."""
    from hpo_engine import studies

    if names := [*edited, *studies.edited(paths, history.spec)]:
        name = os.path.basename(paths.root)
        how = f"hpo-engine remove {name} and submit again, or submit with another --name"
        how = "restart=True, which removes the old study, or another name" if edited else how
        say(
            f"{listed(names, 3)} changed since the study was made; the study keeps using its copy ({paths.model}). "
            f"To use the new version: {how}"
        )
    if problem := studies.linked_problem(paths, history.spec):
        say(problem)
