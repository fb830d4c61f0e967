"""What short trials of a study have shown: a run each, and the findings that follow from them. Frozen values only."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hpo_engine.contract.preview import Preview
from hpo_engine.contract.sources.interface import Reading
from hpo_engine.probe.scripttext import ScriptText
from hpo_engine.study.history import History
from hpo_engine.study.objective import Row
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Exit, Trial, TrialState


class Level(str, enum.Enum):
    """How bad a finding is; the worst comes first."""

    PROBLEM = "problem"  # the study would be wasted
    WARNING = "warning"  # part of it would be, or its results would be worse
    NOTE = "note"
    OK = "ok"


@dataclass(frozen=True)
class Finding:
    """One thing that was found. `topic`: parameters, metrics, running, files, cost. `code`: its stable name, for
    machines. `text`: what is so, in a sentence. `action`: what to do about it ("" if nothing)."""

    level: Level
    topic: str
    code: str
    text: str
    action: str = ""


class Why(str, enum.Enum):
    """What a trial of the check is for."""

    FIRST = "first"  # values at one end of the space
    OTHER = "other"  # values far from those
    AGAIN = "again"  # the same values once more: the noise
    MORE = "more"  # more of the resource
    ONE = "one"  # one parameter changed
    RESUMED = "resumed"  # the same values, from a trial's checkpoint on
    NEW = "new"  # from that checkpoint on, with one parameter changed
    STOP = "stop"  # ended half-way, to see whether SIGTERM is honoured


@dataclass(frozen=True)
class Purpose:
    """`parameter`: what is changed, a parameter or the resource. `base`: the trial to compare with (None: none)."""

    why: Why
    base: int | None = None
    parameter: str = ""

    def __str__(self) -> str:
        match self.why:
            case Why.FIRST:
                return "values at one end of the space"
            case Why.OTHER:
                return "values far from those"
            case Why.AGAIN:
                return f"the values of trial {self.base} again"
            case Why.MORE:
                return f"trial {self.base} with more {self.parameter}"
            case Why.RESUMED:
                return f"goes on from what trial {self.base} left"
            case Why.NEW:
                return f"as trial {self.base}, with another {self.parameter} from the checkpoint on"
            case Why.ONE:
                return f"trial {self.base} with another {self.parameter}"
        return f"trial {self.base} again, to be ended by SIGTERM"


@dataclass(frozen=True)
class Arrival:
    """After so many seconds of its run, a trial had reported `rows` rows."""

    after_s: float
    rows: int


@dataclass(frozen=True)
class Seen:
    """What was seen of a trial's processes while they ran.

    `folders`: working directories outside the study. `written`: files outside the study that were open for writing, or
    that the script names and that changed. `nearby`: files that changed meanwhile in a folder that the script names.
    `idle_s`: seconds without processor time before the end, or before it was stopped.
    """

    folders: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()
    nearby: frozenset[str] = frozenset()
    idle_s: float = 0.0


@dataclass(frozen=True)
class Ran:
    """A trial of the check that has ended. `asked`: why it was told to end: limit, enough; "" if it was not.

    `asked_s`: after how many seconds of its run (None: it was not). `config_read`: see `binding.config_was_read`.
    `rivals`: readings of single sources that have rows, by their keys. `disk_bytes`: what it takes on disk. `output`:
    the end of what it printed.
    """

    trial: Trial
    purpose: Purpose
    preview: Preview
    reading: Reading
    arrivals: Sequence[Arrival] = ()
    asked: str = ""
    asked_s: float | None = None
    config_read: bool | None = None
    seen: Seen = Seen()
    rivals: Mapping[str, Reading] = field(default_factory=dict)
    disk_bytes: int = 0
    output: str = ""

    @property
    def id(self) -> int:
        return self.trial.id

    @property
    def rows(self) -> Sequence[Row]:
        return self.reading.rows or self.trial.rows

    @property
    def exit(self) -> Exit:
        attempt = self.trial.attempt
        return (attempt.exit if attempt is not None else None) or Exit(lost=True)

    @property
    def resource(self) -> int | None:
        return self.trial.proposal.resource

    @property
    def seconds(self) -> float:
        return self.exit.seconds or 0.0

    @property
    def failed(self) -> bool:
        """Whether its process failed, whatever it reported."""
        return not self.asked and not self.exit.clean

    @property
    def whole(self) -> bool:
        """Whether it ran to its end by itself."""
        return not self.asked and self.exit.clean

    @property
    def killed(self) -> bool:
        """Whether it did not end within the grace after SIGTERM."""
        return bool(self.asked) and self.exit.signal == 9

    @property
    def reason(self) -> str:
        return self.trial.reason.removeprefix(f"trial {self.id}: ")

    def has(self, metric: str) -> bool:
        return any(metric in row.values for row in self.rows)


@dataclass(frozen=True)
class Evidence:
    """All that the trials of a check have shown.

    `spec`: the study as its file has it. `history`: of the scratch study in `folder`. `notices`: lines about how
    trials start. `strays`: files in the scratch study's folder that belong to no trial. `untried`: parameters that no
    trial changed by themselves; `limit_s`: the check's own time limit for a trial.
    """

    spec: StudySpec
    history: History
    folder: str
    runs: Sequence[Ran]
    script: ScriptText
    limit_s: float
    notices: Sequence[str] = ()
    notes: Sequence[str] = ()
    strays: Sequence[str] = ()
    untried: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def working(self) -> list[Ran]:
        """The runs that did not fail."""
        return [run for run in self.runs if not run.failed]

    def of(self, why: Why) -> Ran | None:
        """The first run for that purpose, if there was one."""
        return next((run for run in self.runs if run.purpose.why is why), None)

    def run(self, trial: int | None) -> Ran | None:
        return next((run for run in self.runs if run.id == trial), None)


@dataclass(frozen=True)
class Cost:
    """What the study will take. `runs`: their number (None: no end is set), `parallel` at a time.

    `run_s`: of one whole run; `at_least`: no run of the check was whole, so that it takes longer. `resource_s`: of one
    unit of the resource (None: the study has none). `plan`: its runs by amount, in words. `total_s`, `disk_bytes`: of
    the whole study (None: unknown). `free_bytes`: on its disk.
    """

    runs: int | None
    parallel: int
    run_s: float | None
    at_least: bool
    resource_s: float | None
    plan: str
    total_s: float | None
    run_bytes: int
    disk_bytes: int | None
    free_bytes: int


@dataclass(frozen=True)
class Report:
    """The result of a check. `kept`: the scratch study's folder, if it was kept ("": it was removed)."""

    study: str
    evidence: Evidence
    findings: Sequence[Finding]
    cost: Cost
    kept: str = ""

    def worst(self) -> Level:
        return next((level for level in Level if any(f.level is level for f in self.findings)), Level.OK)


def alike(rows: Sequence[Row], others: Sequence[Row], but: Callable[[str], bool] = lambda metric: False) -> bool | None:
    """Whether two trials reported the same, as far as both have got; None: one of them reported nothing.

    The last row of a trial that was ended may be incomplete: it does not count beside others, nor do metrics that only
    one of two rows has.

    Args:
        but: whether a metric does not count, such as a time.
    """
    if not rows or not others:
        return None
    count = min(len(rows), len(others))
    if len(rows) != len(others) and count > 1:
        count -= 1
    return all(_same(a, b, but) for a, b in zip(rows[:count], others[:count], strict=True))


def _same(a: Row, b: Row, but: Callable[[str], bool]) -> bool:
    both = a.values.keys() & b.values.keys()
    same = all(
        a.values[m] == b.values[m] or (a.values[m] != a.values[m] and b.values[m] != b.values[m]) or but(m)
        for m in both
    )
    return a.step == b.step and same and bool(both or not (a.values or b.values))


def ended_well(trial: Trial) -> bool:
    """Whether its process did not fail; what it reported is another matter."""
    exit_ = trial.attempt.exit if trial.attempt is not None else None
    told = trial.stop is not None or trial.state in (TrialState.STOPPED, TrialState.TIMED_OUT)
    return exit_ is not None and (exit_.clean or told)
