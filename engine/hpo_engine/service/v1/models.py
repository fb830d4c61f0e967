"""The shapes of answers and bodies, for the documentation and for the bodies that come in.

Answers are not passed through these classes, which would take longer than making them; tests hold them to it. A class
allows fields that it does not name: more may be added within version 1.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MOST_CONFIGURATIONS = 10_000
MOST_TEXT = 1_000_000  # characters of a study file


class Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class Given(BaseModel):
    """A body: a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid")


class ProblemModel(Answer):
    path: str = Field(description="The field, such as space.lr.max; empty: the whole.")
    text: str = Field(description="What is wrong with it.")
    line: int | None = Field(default=None, description="The line of the text, from 1; null: unknown.")


class ErrorModel(Answer):
    error: str = Field(
        description="What went wrong and what to do, in one or a few lines.", examples=['no study "digit"']
    )
    problems: list[ProblemModel] = Field(default=[], description="For bad input: everything that is wrong with it.")


class Best(Answer):
    trial: int
    value: float


class Objective(Answer):
    metric: str
    goal: str = Field(description="minimize or maximize")


class Brief(Answer):
    """A study in a list."""

    study: str = Field(description="Its name.", examples=["digits"])
    state: str = Field(
        description="queued, running, finished, failed, stopped, interrupted (its engine was killed) or unreadable.",
        examples=["running"],
    )
    owner: str = Field(description="Who submitted it; empty: the command line.")
    created: float = Field(description="UTC seconds.")
    elsewhere: str = Field(description="Who runs it, if that is not this service; else empty.")
    problem: str = Field(description="Why its log cannot be read; else empty.")
    recovery: str = Field(
        description="Of an interrupted study: pending (the service is about to continue it), failed or empty."
    )
    algorithm: str | None
    metrics: list[str] = Field(description="Of its objectives.")
    best: Best | None
    front_size: int = Field(description="With several objectives: how many trials no other one beats.")
    done: int = Field(description="Trials (or runs, if they are promoted) that have ended.")
    total: int | None = Field(description="How many there will be; null: no limit.")
    runs: int = Field(description="How many have begun.")
    counts: dict[str, int] = Field(description="Trials by state.")
    last_at: float = Field(description="UTC seconds of the latest event.")
    folder: str = Field(description="On the server; empty: it has none yet.")


class Proposed(Answer):
    kind: str = Field(description="searcher, user, warm_start, start_from, repeats or carry_on.")
    why: str = Field(description="In words.")
    based_on: list[int] = Field(description="Trials that it comes from.")


class Rank(Answer):
    place: int | None = Field(description="Among trials with a result; null: it has none.")
    among: int | None
    why: str | None = Field(description="In words.")


class Explained(Answer):
    """A trial in words."""

    study: str
    trial: int
    state: str
    value: float | None
    params: dict[str, Any]
    proposed: Proposed
    rank: Rank
    ended: str | None = Field(description="Why it ended.")
    needed: str | None = Field(description="What it would have needed; null: nothing.")


class Studies(Answer):
    total: int = Field(description="How many meet the conditions.")
    offset: int
    studies: list[Brief]


class BestTrial(Answer):
    trial: int
    value: float
    params: dict[str, Any]


class Limits(Answer):
    trials: int | None
    runs: int | None
    time_limit_s: float | None
    parallel: int | None


class StudyModel(Answer):
    """A study in full, without its trials. One that has not begun lacks some of it."""

    study: str
    state: str
    owner: str
    created: float
    elsewhere: str
    problem: str
    recovery: str
    algorithm: str | None
    metrics: list[str]
    objectives: list[Objective] = []
    best: BestTrial | None = None
    done: int
    total: int | None
    unit: str = Field(default="trial", description="What done and total count: trial or run.")
    counts: dict[str, int]
    last_at: float
    events: int = Field(description="How many events its log has: a stream can go on after them.")
    front: list[BestTrial] | None = Field(default=None, description="With several objectives: the best ones.")
    hypervolume: float | None = None
    reason: str | None = Field(default=None, description="Why it ended, in words.")
    seconds: float | None = Field(default=None, description="How long engines have run it.")
    seed: int | None = None
    space: dict[str, Any] | None = Field(default=None, description="As a study file has it.")
    limits: Limits | None = None
    notes: list[str] = []
    queued: int | None = Field(default=None, description="Configurations that wait to be tried.")
    folder: str | None = Field(default=None, description="On the server.")


class TrialModel(Answer):
    trial: int
    state: str = Field(
        description="pending, running, paused, completed, failed, timed_out, stopped, pruned or lost",
        examples=["completed"],
    )
    value: float | None = Field(description="Of the objective, in the user's own sign; null: it has no result.")
    params: dict[str, Any]
    attempts: int
    started_at: float | None = Field(description="UTC seconds.")
    ended_at: float | None
    failure: str | None
    reason: str
    cpu_s: float | None
    memory_peak_mb: float | None
    last_row: dict[str, Any] | None


class Trials(Answer):
    study: str
    events: int = Field(description="The events that this follows from; see the stream of events.")
    total: int = Field(description="How many meet the conditions.")
    offset: int
    trials: list[TrialModel]


class MetricSeen(Answer):
    latest: float | None
    latest_step: float
    min: float | None
    min_step: float | None
    max: float | None
    max_step: float | None
    counts: str | None = Field(description="Which of them counts for the study: min, max or latest; null: none.")


class Lineage(Answer):
    started_from: int | None = Field(description="The trial whose files it began with.")
    at_step: float | None
    started_others: list[int] = Field(description="Trials that began with its files.")
    note: dict[str, Any] | None = Field(description="What the searcher has noted of it.")


class TrialDetail(TrialModel):
    config: dict[str, Any] = Field(description="Its whole config.json.")
    metrics_seen: dict[str, MetricSeen]
    runs: list[dict[str, Any]] = Field(description="Its attempts: when, how they ended, what they used.")
    lineage: Lineage
    rows: int = Field(description="How many rows it has reported.")
    checkpoint: str | None
    events: int


class Rows(Answer):
    study: str
    trial: int
    total: int = Field(description="How many rows there are after the step that was asked for.")
    rows: list[dict[str, Any]] = Field(description="step, and the value of each metric (null: not finite).")


class Curve(Answer):
    trial: int
    state: str
    steps: list[float]
    values: list[float | None]


class Curves(Answer):
    study: str
    events: int
    metric: str
    curves: list[Curve]


class Log(Answer):
    study: str
    trial: int
    attempt: int | None = Field(description="Which of its attempts; null: it has not started.")
    lines: list[str] = Field(description="As a terminal would show them.")
    size: int = Field(description="Bytes that are kept of the output.")


class FileModel(Answer):
    id: str = Field(description="By which it is fetched; it changes when the file's name does.")
    name: str = Field(description="Its path in the trial's folder.")
    size: int
    modified: float


class Files(Answer):
    study: str
    trial: int
    files: list[FileModel]
    more: bool = Field(description="Whether there are more files than are listed.")


class Done(Answer):
    trial: int
    state: str
    text: str = Field(description="What has become of it, in words.")


class Changed(Answer):
    changed: bool
    lines: list[str] = Field(description="What is different, one line each.")
    effects: list[str] = Field(description="What that means for the trials so far and for the queue.")
    led: bool = Field(description="Whether an engine that runs the study has done it.")


class QueuedModel(Answer):
    number: int
    trial: int | None = Field(description="The trial that it has become; null: it waits.")
    params: dict[str, Any]


class Checked(Answer):
    ok: bool
    problems: list[ProblemModel]
    study: str | None = Field(description="The name that it would have; null: there are problems.")
    notes: list[str]
    plan: str | None = Field(description="What the search will do, in words.")


class Figure(Answer):
    name: str
    title: str
    reading: str = Field(description="How to read it.")


class Figures(Answer):
    figures: list[Figure]


class Me(Answer):
    user: str
    admin: bool


class Version(Answer):
    version: str
    api: int


class Limit(Given):
    trials: int | None = Field(default=None, ge=1, le=10_000_000, description="Trials in total.")
    runs: int | None = Field(default=None, ge=1, le=10_000_000, description="Runs in total, if trials are promoted.")
    parallel: int | None = Field(default=None, ge=1, le=100_000, description="Trials at the same time.")
    time_limit: str | float | None = Field(default=None, description='Of the whole study, as "2h" or in seconds.')


class Submission(Given):
    """A study without a model folder of its own: its command must be found on the server."""

    text: str = Field(
        max_length=MOST_TEXT,
        description="A study file (YAML, JSON or a Python dict) or a WMLA request.",
        examples=[
            "name: digits\ncommand: python /srv/train.py\nobjective: minimize loss\nspace:\n  lr: {float: [0, 1]}\n"
        ],
    )
    name: str | None = Field(default=None, max_length=255, description="In place of the name in the text.")


class CheckText(Given):
    text: str = Field(max_length=MOST_TEXT, description="A study file or a WMLA request, finished or not.")
    file: str = Field(default="algo.yaml", max_length=255, description="What messages call it.")
    files: dict[str, Annotated[str, Field(max_length=MOST_TEXT)]] | None = Field(
        default=None,
        max_length=200,
        description="Of a folder that is still to be sent, the files that the text may name: path to content.",
    )


class Enqueue(Given):
    configurations: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MOST_CONFIGURATIONS,
        description="Whole or partial ones; what one leaves out is filled in by the searcher.",
        examples=[[{"lr": 0.01}]],
    )


class Edit(Given):
    """Either `set` and `unset`, or the whole `text`."""

    set: list[str] = Field(default=[], max_length=100, description="As in edit --set.", examples=[["trials=50"]])
    unset: list[str] = Field(default=[], max_length=100)
    text: str | None = Field(default=None, max_length=MOST_TEXT, description="The whole study file, changed.")
    dry_run: bool = Field(default=False, description="Only say what would change.")


class Kill(Given):
    kill: bool = Field(default=False, description="Without a grace period.")


class Clone(Given):
    change: dict[str, Any] = Field(default={}, description="What is to be different.", examples=[{"lr": 0.02}])
