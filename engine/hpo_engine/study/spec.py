"""What a study was asked to be. Frozen; a change makes a new value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.objective import Objective

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Budget:
    """When the search ends: `trials` in all (None: unlimited), `time_s` seconds of running in all (None: unlimited)."""

    trials: int | None = None
    time_s: float | None = None


@dataclass(frozen=True)
class Resources:
    """How trials share the machine.

    `parallel`: trials at a time. `cpus`: cores a trial (None: not counted, thread counts left alone).
    `gpus`: devices a trial, 0.5 = two trials on one (None: GPUs not managed, 0: hidden from trials).
    """

    parallel: int = 1
    cpus: int | None = None
    gpus: float | None = None


@dataclass(frozen=True)
class TrialPolicy:
    """How one trial runs: `time_limit_s` a run, `retries` after a failed run, `grace_s` between SIGTERM and SIGKILL,
    `log_mb` of output kept. `on_time_limit`: fail, or keep: what a run has reported until its time limit counts.
    `preload`: whether a Python script begins in a fork of a process that has done its
    imports: auto (those that its text names), off, or the modules to import."""

    time_limit_s: float | None = None
    retries: int = 0
    grace_s: float = 10.0
    log_mb: float = 16.0
    preload: str | tuple[str, ...] = "auto"
    on_time_limit: str = "fail"


@dataclass(frozen=True)
class Failures:
    """When a study stops because its trials fail alike: the `first` to end, or later so many `in_a_row` (None: never).
    See `stoppers.AlikeStopper`."""

    first: int | None = 3
    in_a_row: int | None = 10


@dataclass(frozen=True)
class EarlyStopping:
    """When a running trial is ended because others were better: by `rule` rank, see `stoppers.RankStopper`.

    `keep`: the share of the trials that goes on, in (0, 1). `min_rivals`: how many others must have come as far
    before any is ended. `from_step`: the first step that is looked at.
    """

    rule: str = "rank"
    keep: float = 0.5
    min_rivals: int = 5
    from_step: float = 1


@dataclass(frozen=True)
class StudySpec:
    """One search, as asked for. `command` is an argv; paths are absolute; `seed` is None until the study is opened.

    `objectives`: two or more, or none; where there are some, `objective` is the first of them.
    `experiments`: fixed parameter sets to run instead of a search (WMLA's ExperimentGridSearch). `points`: parameter
    sets to try first, partial ones filled in. `warm_start`: earlier studies, names or absolute paths; `prior`:
    what they had to say when the study was made, as `searchers.prior.reduced` puts it.
    `failures`: when failing trials stop the study (None: never). `diverged`: whether a trial ends whose objective stays
    nan or infinite.
    `resource_name`: what trials get more or less of, as whole numbers from `resource_min` to `resource_max`.
    `extra_metrics`: metric -> minimize | maximize | latest, shown beside the objective.
    `exclude`: patterns, as in a .gitignore, of what in `model_dir` is not copied. `base_config`: a JSON file there that
    each trial's config.json begins with; `base`: what was in it when the study was made.
    `labels`: what the dialect wants back unchanged (WMLA's sigName, args ...); no meaning here.
    """

    name: str
    space: SearchSpace
    objective: Objective
    command: tuple[str, ...]
    model_dir: str
    exclude: tuple[str, ...] = ()
    base_config: str | None = None
    base: Mapping[str, Any] = field(default_factory=dict)
    objectives: tuple[Objective, ...] = ()
    algorithm: str = "random"
    algorithm_options: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = Budget()
    resources: Resources = Resources()
    trial: TrialPolicy = TrialPolicy()
    early_stopping: EarlyStopping | None = None
    diverged: bool = True
    failures: Failures | None = Failures()
    env: Mapping[str, str] = field(default_factory=dict)
    data_dir: str | None = None
    data_root: str | None = None
    interpreter: str | None = None
    resource_name: str | None = None
    resource_max: int | None = None
    resource_min: int = 1
    experiments: tuple[Params, ...] = ()
    points: tuple[Params, ...] = ()
    warm_start: tuple[str, ...] = ()
    prior: tuple[Mapping[str, Any], ...] = ()
    extra_metrics: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.objectives and (len(self.objectives) < 2 or self.objective != self.objectives[0]):
            raise ValueError("objectives are two or more, and objective is the first of them")

    @property
    def aims(self) -> tuple[Objective, ...]:
        """What is searched for: one objective, or all of them."""
        return self.objectives or (self.objective,)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "space":
                out["space"] = self.space.to_json()
            elif f.name in _PARTS:
                out[f.name] = _part_to_json(value)
            elif f.name == "objectives":
                out[f.name] = [_part_to_json(v) for v in value]
            elif f.name in ("early_stopping", "failures"):
                out[f.name] = None if value is None else _part_to_json(value)
            elif isinstance(value, tuple):
                out[f.name] = [dict(v) if isinstance(v, Mapping) else v for v in value]
            else:
                out[f.name] = dict(value) if isinstance(value, Mapping) else value
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StudySpec:
        """The inverse of `to_json`; keys that this version does not know are ignored."""
        known = {f.name for f in fields(cls)}
        args = {k: v for k, v in data.items() if k in known}
        args["space"] = SearchSpace.from_json(args["space"])
        for name, part in _PARTS.items():
            if name in args:
                args[name] = _part_from_json(part, args[name])
        args["objectives"] = tuple(_part_from_json(Objective, o) for o in args.get("objectives", ()))
        if args.get("early_stopping") is not None:
            args["early_stopping"] = _part_from_json(EarlyStopping, args["early_stopping"])
        if args.get("failures") is not None:
            args["failures"] = _part_from_json(Failures, args["failures"])
        args["command"] = tuple(args["command"])
        args["experiments"] = tuple(args.get("experiments", ()))
        for name in ("points", "warm_start", "prior", "exclude"):
            args[name] = tuple(args.get(name, ()))
        return cls(**args)


def noted(spec: StudySpec, *notes: str) -> StudySpec:
    """The study with more one-line notes for its user, printed with the first lines of `submit`."""
    before = spec.labels.get("notes", ())
    new = [note for note in dict.fromkeys(notes) if note not in before]
    return replace(spec, labels={**spec.labels, "notes": [*before, *new]}) if new else spec


_PARTS: dict[str, Any] = {"objective": Objective, "budget": Budget, "resources": Resources, "trial": TrialPolicy}


def _part_to_json(part: Any) -> dict[str, Any]:
    return {f.name: getattr(part, f.name) for f in fields(part)}


def _part_from_json(cls: Any, data: Mapping[str, Any]) -> Any:
    known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in known.items()})
