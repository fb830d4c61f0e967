"""What a study was asked to be. Frozen; a change makes a new value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.objective import Objective
from hpo_engine.study.values import fields_from_plain, fields_to_plain

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Named:
    """What is chosen by name and made from a registry, such as an algorithm. `options`: JSON."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resource:
    """What trials get more or less of, in whole numbers from `min` to `max`, such as epochs.

    `resume`: whether a promoted trial goes on from what it left: always, never, or auto: if that has a checkpoint.
    """

    name: str
    max: int
    min: int = 1
    resume: str = "never"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of trials. `patterns`: what they are called (none: as the usual frameworks call them).

    `keep`: all, or promotable: those of trials that no trial can go on from any more are deleted while all that the
    study has take up more than `disk_bytes` (None: no limit).
    """

    patterns: tuple[str, ...] = ()
    keep: str = "all"
    disk_bytes: int | None = None


@dataclass(frozen=True)
class PriorTrial:
    """A trial of an earlier study, reduced to this study's space: `params` may be partial.

    `study`: the number of the earlier study, from 0. `rank`: from 0, the best of its study, to 1.
    """

    study: int
    params: Params
    rank: float


@dataclass(frozen=True)
class LinkedFile:
    """A big file that the study's copy of model_dir links to: its relative path, bytes, and time of the last change."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Budget:
    """When the search ends (None: unlimited): after so many `trials`, which are configurations; after so many `runs`;
    after `time_s` seconds of running.

    A configuration that is promoted takes another run and no other trial, whether its trial is carried on or a trial
    of its own repeats it. Without promotions there is one run per trial.
    """

    trials: int | None = None
    time_s: float | None = None
    runs: int | None = None

    @property
    def most(self) -> int | None:
        """How many trials there are at most if none is promoted."""
        return min((limit for limit in (self.trials, self.runs) if limit is not None), default=None)


@dataclass(frozen=True)
class Resources:
    """How trials share the machine.

    `parallel`: trials at a time. `cpus`: cores per trial (None: not counted, thread counts left alone).
    `gpus`: devices per trial, 0.5 = two trials on one (None: GPUs not managed, 0: hidden from trials).
    """

    parallel: int = 1
    cpus: int | None = None
    gpus: float | None = None


@dataclass(frozen=True)
class ScriptFile:
    """A file of the script's folder that has a trial's values, at `path` in RESULT_DIR.

    `keys`: what is set in it, each to the value of a parameter or to a text with placeholders; None: it is made of
    `template`, another file there, by filling the placeholders in that. `names`: the parameters whose values it has.
    """

    path: str
    keys: Mapping[str, str] | None = None
    template: str = ""
    names: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The path of the file that it is made of."""
        return self.template or self.path


@dataclass(frozen=True)
class TrialPolicy:
    """How one trial runs: `time_limit_s` per run, `retries` after a failed run, `grace_s` between SIGTERM and SIGKILL,
    `log_mb` of output kept. `on_time_limit`: fail, or keep: what a run has reported until its time limit counts.
    `preload`: whether a Python script begins in a fork of a process that has done its
    imports: auto (those that its text names), off, or the modules to import."""

    time_limit_s: float | None = None
    retries: int = 0
    grace_s: float = 10.0
    log_mb: float = 16.0
    preload: str | tuple[str, ...] = "auto"
    on_time_limit: str = "fail"


SOURCES_AUTO = "auto"
"""The metric source that stands for all there are: what a native study file means that names none."""
LOCAL = "local"
"""The executor that runs attempts as processes of this machine."""
MISNAMED, ALIKE, DIVERGED, RANK = "misnamed", "alike", "diverged", "rank"
NO_IMPROVEMENT, TARGET, BUDGET, STALLED, REGRET = "no_improvement", "target", "budget", "stalled", "regret"
SCHEDULED = ("pbt", "schedule")
"""The algorithms that change the values of trials while they train: nothing is promoted, all trials begin at once."""
GUARDS = (Named(MISNAMED), Named(ALIKE), Named(DIVERGED))
"""The stoppers of every study that switches none off: they end what can no longer yield a result."""
_GUARD_NAMES = frozenset(guard.name for guard in GUARDS)
_OF_STUDIES = (TARGET, BUDGET, REGRET)  # they end studies, never a trial alone


@dataclass(frozen=True)
class SearchPlugin:
    """A search plugin written for WMLA: the `folder` (absolute) of `file`, which has its class PluginOptimizer.

    `python`: the interpreter that it runs in ("": the engine's). `log_level`: of its logger. `sha256`: of its files.
    """

    folder: str
    file: str = "optimizer.py"
    python: str = ""
    log_level: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Isolation:
    """The searcher runs in a process of its own, which may take `call_limit_s` seconds for each answer.

    `plugin`: one of WMLA's form; None: a searcher of our own protocol.
    """

    call_limit_s: float = 600.0
    plugin: SearchPlugin | None = None


@dataclass(frozen=True)
class StudySpec:
    """One search, as asked for. `command` is an argv; paths are absolute; `seed` is None until the study is opened.

    `command`, values of `env`: with placeholders for parameters, see `contract.placeholders`. `params_env`: what the
    variables begin with that hold all parameters. `files`: those of the script that take values.
    `spellings`: what the script calls the option of a parameter.
    `exclude`: patterns, as in a .gitignore, of what in `model_dir` is not copied. `base_config`: a JSON file there that
    each trial's config.json begins with; `base`: what was in it when the study was made. `linked`: files that were
    too big to copy.
    `stop`: the stoppers, no two of them alike. `trackers`: who listens, beside the console. `metric_sources`: where a
    script's metrics are looked for; the first one that has the objectives counts. `executor`: runs the attempts.
    `resume_key`: the key of config.json that names what an attempt goes on from (None: there is none).
    `isolation`: how the searcher runs apart from the engine (None: in the engine's process).
    `experiments`: fixed parameter sets to run instead of a search (WMLA's ExperimentGridSearch). `points`: parameter
    sets to try first, partial ones filled in. `warm_start`: earlier studies, names or absolute paths; `prior`:
    their trials when the study was made.
    `extra_metrics`: metric -> minimize | maximize | latest, shown beside the objectives.
    `was`: the values of parameters in trials that were proposed before these parameters were added.
    `notes`: one line each, for the user. `dialect`: what a request of another dialect wants back unchanged (WMLA's
    sigName, args ...). `submitted_code`: the name of the folder below RESULT_DIR/_submitted_code in which scripts of
    WMLA look for themselves (None: not a request of WMLA).
    """

    name: str
    space: SearchSpace
    objectives: tuple[Objective, ...]
    command: tuple[str, ...]
    model_dir: str
    exclude: tuple[str, ...] = ()
    base_config: str | None = None
    base: Params = field(default_factory=dict)
    linked: tuple[LinkedFile, ...] = ()
    algorithm: Named = Named("random")
    isolation: Isolation | None = None
    resource: Resource | None = None
    resume_key: str | None = None
    checkpoints: Checkpoints = Checkpoints()
    budget: Budget = Budget()
    resources: Resources = Resources()
    trial: TrialPolicy = TrialPolicy()
    stop: tuple[Named, ...] = GUARDS
    trackers: tuple[Named, ...] = (Named("tensorboard"),)
    metric_sources: tuple[Named, ...] = (Named("val_dict_list"), Named("emetrics"))
    executor: Named = Named(LOCAL)
    env: Mapping[str, str] = field(default_factory=dict)
    params_env: str | None = None
    files: tuple[ScriptFile, ...] = ()
    spellings: Mapping[str, str] = field(default_factory=dict)
    data_dir: str | None = None
    data_root: str | None = None
    interpreter: str | None = None
    experiments: tuple[Params, ...] = ()
    points: tuple[Params, ...] = ()
    warm_start: tuple[str, ...] = ()
    prior: tuple[PriorTrial, ...] = ()
    extra_metrics: Mapping[str, str] = field(default_factory=dict)
    was: Params = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    dialect: Params = field(default_factory=dict)
    submitted_code: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.objectives:
            raise ValueError("a study needs an objective")

    @property
    def multi_objective(self) -> bool:
        """Whether there are several objectives, so that the result is a front and not one trial."""
        return len(self.objectives) > 1

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that the study file names."""
        return frozenset([*(objective.metric for objective in self.objectives), *self.extra_metrics])

    @property
    def config_names(self) -> tuple[str, ...]:
        """The names that a trial's config.json may have from the study: its parameters and its resource."""
        return self.space.names if self.resource is None else (*self.space.names, self.resource.name)

    @property
    def seeks_checkpoints(self) -> bool:
        """Whether a trial's checkpoint matters: another attempt may go on from it, or the study file names them."""
        resumes = self.resource is not None and self.resource.resume != "never"
        return resumes or bool(self.checkpoints.patterns) or self.checkpoints.disk_bytes is not None

    @property
    def full_resource(self) -> int | None:
        """What a trial gets of the resource if its searcher does not say; None if the study has no resource."""
        return None if self.resource is None else self.resource.max

    @property
    def counts_runs(self) -> bool:
        """Whether its user calls each run of a promoted configuration a trial, as WMLA does: limits are of runs."""
        return self.submitted_code is not None and self.resource is not None

    def stops(self, name: str) -> bool:
        """Whether the study has this stopper."""
        return any(stopper.name == name for stopper in self.stop)

    @property
    def prunes(self) -> bool:
        """Whether trials may be ended that could still yield a result."""
        return any(stopper.name not in (*_GUARD_NAMES, *_OF_STUDIES, STALLED) for stopper in self.stop)

    @property
    def may_end_early(self) -> bool:
        """Whether a rule may end trials or the study although there is something left to run."""
        return any(stopper.name not in _GUARD_NAMES for stopper in self.stop)

    def noted(self, *notes: str) -> StudySpec:
        """The study with more one-line notes for its user, printed with the first lines of `submit`."""
        return replace(self, notes=tuple(dict.fromkeys([*self.notes, *notes])))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return fields_to_plain(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StudySpec:
        """The inverse of `to_json`; keys that this version does not know are ignored."""
        return fields_from_plain(cls, data)
