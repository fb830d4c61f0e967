"""The one place that names concrete classes: the registries, and the engine of a study with all its parts."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cache, reduce
from typing import TYPE_CHECKING, Any, TextIO

from hpo_engine.contract import binding, layout
from hpo_engine.contract.paths import StudyPaths, absolute
from hpo_engine.contract.snapshot.redirect import redirect
from hpo_engine.errors import Problem, SpecError, StudyGone, StudyLocked
from hpo_engine.plugins.registry import Registry
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.searchers.filter import ProposalFilter
from hpo_engine.searchers.interface import AskingOnly
from hpo_engine.space.params import json_text
from hpo_engine.store import inbox
from hpo_engine.store.journal import Journal
from hpo_engine.store.lock import StudyLock
from hpo_engine.study.events import Event, SpecChanged, TrialReopened, apply
from hpo_engine.study.history import History
from hpo_engine.study.spec import (
    ALIKE,
    BUDGET,
    DIVERGED,
    GUARDS,
    LOCAL,
    MISNAMED,
    NO_IMPROVEMENT,
    RANK,
    REGRET,
    SOURCES_AUTO,
    STALLED,
    TARGET,
    Named,
    Resources,
    StudySpec,
)
from hpo_engine.study.trial import BAD
from hpo_engine.system import threads

if TYPE_CHECKING:
    from hpo_engine.contract.sources.candidates import Candidate
    from hpo_engine.contract.sources.interface import MetricSource, TrialFiles
    from hpo_engine.core.loop import Engine
    from hpo_engine.core.ports import Executor, Tracker
    from hpo_engine.core.rehearsal import Rehearsed
    from hpo_engine.executors.local.bound import Bind
    from hpo_engine.report.backtest import Backtest
    from hpo_engine.report.pace import Pace
    from hpo_engine.stoppers import FirstOf
    from hpo_engine.stoppers.rule import Watch
    from hpo_engine.studyfile.document import Document
    from hpo_engine.trackers.console import ConsoleTracker

_log = logging.getLogger(__name__)


def _nearest_algorithm(name: str, known: Iterable[str]) -> str:
    from hpo_engine.studyfile.common import nearest_algorithm

    return nearest_algorithm(name, known)


SEARCHERS = Registry(
    "algorithm",
    "hpo_engine.searchers",
    {
        "auto": "hpo_engine.searchers.auto:Auto",
        "random": "hpo_engine.searchers.random:Random",
        "grid": "hpo_engine.searchers.grid:Grid",
        "sobol": "hpo_engine.searchers.sobol:Sobol",
        "tpe": "hpo_engine.searchers.tpe:Tpe",
        "bayesian": "hpo_engine.searchers.bayesian:Bayesian",
        "cmaes": "hpo_engine.searchers.cmaes:CmaEs",
        "evolution": "hpo_engine.searchers.evolution:Evolution",
        "optuna": "hpo_engine.searchers.optuna:Optuna",
        "hyperband": "hpo_engine.searchers.hyperband:Hyperband",
        "asha": "hpo_engine.searchers.asha:Asha",
        "bohb": "hpo_engine.searchers.bohb:Bohb",
        "pbt": "hpo_engine.searchers.pbt:Pbt",
        "schedule": "hpo_engine.searchers.schedule:Schedule",
    },
    common=("seed",),
    nearest=_nearest_algorithm,
)
STOPPERS = Registry(
    "stopper",
    "hpo_engine.stoppers",
    {
        MISNAMED: "hpo_engine.stoppers.misnamed:MisnamedStopper",
        ALIKE: "hpo_engine.stoppers.alike:AlikeStopper",
        DIVERGED: "hpo_engine.stoppers.diverged:DivergedStopper",
        RANK: "hpo_engine.stoppers.rank:RankStopper",
        "asha": "hpo_engine.stoppers.asha:AshaStopper",
        "median": "hpo_engine.stoppers.median:MedianStopper",
        "percentile": "hpo_engine.stoppers.percentile:PercentileStopper",
        "convex": "hpo_engine.stoppers.convex:ConvexStopper",
        "curve": "hpo_engine.stoppers.curve:CurveStopper",
        NO_IMPROVEMENT: "hpo_engine.stoppers.no_improvement:NoImprovementStopper",
        TARGET: "hpo_engine.stoppers.target:TargetStopper",
        BUDGET: "hpo_engine.stoppers.budget:UsageStopper",
        STALLED: "hpo_engine.stoppers.stalled:StalledStopper",
        REGRET: "hpo_engine.stoppers.regret:RegretStopper",
    },
    methods=("diverged", "end_trial", "end_study", "halt"),
)
TRACKERS = Registry(
    "tracker", "hpo_engine.trackers", {"tensorboard": "hpo_engine.trackers.tensorboard:TensorBoardTracker"}
)
METRIC_SOURCES = Registry(
    "metric source",
    "hpo_engine.metric_sources",
    {
        SOURCES_AUTO: "hpo_engine.contract.sources.candidates:Auto",
        "val_dict_list": "hpo_engine.contract.sources.val_dict_list:ValDictList",
        "emetrics": "hpo_engine.contract.sources.emetrics:Emetrics",
        "lightning_csv": "hpo_engine.contract.sources.lightning_csv:LightningCsv",
        "csv": "hpo_engine.contract.sources.tables:Csv",
        "jsonl": "hpo_engine.contract.sources.tables:JsonLines",
        "json": "hpo_engine.contract.sources.documents:Json",
        "tensorboard": "hpo_engine.contract.sources.tensorboard.source:TensorBoard",
        "trainer_state": "hpo_engine.contract.sources.trainer_state:TrainerState",
        "stdout": "hpo_engine.contract.sources.printed:Printed",
        "mlflow": "hpo_engine.contract.sources.mlflow.source:MLflow",
    },
)
EXECUTORS = Registry(
    "executor",
    "hpo_engine.executors",
    {LOCAL: "hpo_engine.executors.local.executor:LocalExecutor"},
    methods=("free", "launch", "adopt", "reap", "stop", "wait", "wake", "close"),
)
_REGISTRIES = {"stop": STOPPERS, "trackers": TRACKERS, "results": METRIC_SOURCES, "executor": EXECUTORS}
_WMLA_PATHS = {
    "algorithm": "algoDef.algorithm",
    "options": "algoDef.algoParams",
    "resource": "algoDef.algoParams",
    "trial.gpus": "modelSpec.args",
}


# -- the study file ----------------------------------------------------------------------------------------------------


def load_spec(path: str, env: Mapping[str, str]) -> tuple[StudySpec, str]:
    """The study file at `path`, native or WMLA's, and its text. Raises SpecError with every problem in it."""
    from hpo_engine.studyfile import document
    from hpo_engine.studyfile.common import default_name, is_wmla

    text = document.read_text(path)
    doc = document.read_document(text, path)
    base_dir = os.path.dirname(absolute(path))
    if is_wmla(doc.data):
        from hpo_engine.studyfile import wmla

        spec = wmla.parse_request(doc, base_dir=base_dir, env=env, plugins=SEARCHERS.known())
        if spec.resources.gpus:
            from hpo_engine.executors.devices import find_gpus

            spec = wmla.fitted(spec, len(find_gpus(env)))
        hidden = wmla.without_secrets(doc)
        text = text if hidden is None else document.dump(hidden)
        if not doc.data.get("hpoName"):  # the same file must find its study again, so no generated name here
            spec = replace(spec, name=default_name(path, base_dir))
    else:
        from hpo_engine.studyfile.native import parse_document

        spec = parse_document(doc, base_dir=base_dir, algorithms=SEARCHERS.known(), registries=_REGISTRIES)
    try:
        return _checked(spec, env, how_long="trials" in doc.data or "runs" in doc.data or is_wmla(doc.data)), text
    except SpecError as error:
        problems = [p._replace(path=_wmla_path(p.path)) if is_wmla(doc.data) else p for p in error.problems]
        raise SpecError([p._replace(line=_line(doc, p.path)) for p in problems], path) from None


def _line(doc: Document, path: str) -> int | None:
    """The line of a field; for a missing resource, that of the algorithm; None for other missing fields."""
    top = re.split(r"[.\[]", path, maxsplit=1)[0]
    if top in doc.data:
        return doc.line(path)
    return doc.line("algorithm") if top == "resource" and "algorithm" in doc.data else None


def _wmla_path(path: str) -> str:
    """The field of a WMLA request that corresponds to the native field `path`."""
    ours = next((ours for ours in _WMLA_PATHS if path == ours or path.startswith(f"{ours}.")), None)
    return path if ours is None else _WMLA_PATHS[ours] + path[len(ours) :]


def _checked(spec: StudySpec, env: Mapping[str, str], *, how_long: bool) -> StudySpec:
    """Raises SpecError if the searcher or this machine cannot serve the study, before anything is made. A search
    that ends by itself (a grid) limits the trials, so that its progress can be told. `how_long`: the user said how
    many trials or runs; if not, a searcher may have a number of its own that is usual (a round of Hyperband)."""
    from hpo_engine.executors.sharing import Place, capacity

    program = spec.command[0]
    if not {"/", "{"} & set(program) and program not in ("python", "python3"):
        path = spec.env.get("PATH", env.get("PATH", os.defpath))
        if shutil.which(program, path=path) is None:
            hint = (
                f"; a file of model_dir is called ./{program}" if os.path.exists(f"{spec.model_dir}/{program}") else ""
            )
            raise SpecError([Problem("command", f"no program {json_text(program)} on the PATH{hint}")])
    if spec.resource is not None and spec.resource.name in spec.space:
        text = f"{spec.resource.name} is a parameter of the space, too; a trial's config.json can hold only one"
        raise SpecError([Problem("resource.name", text)])
    made = searcher(spec)
    stopper(spec)
    metric_files(spec)
    if _runs_here(spec):
        capacity(spec.resources, Place.here(env, gpus=bool(spec.resources.gpus)))
    usual = None if how_long else made.traits.usual_trials
    size = made.traits.size if usual is None else usual
    if spec.counts_runs and size is not None:
        runs = sum(made.planned_runs().values())
        return spec if spec.budget.runs is not None else replace(spec, budget=replace(spec.budget, runs=runs))
    trials = spec.budget.trials if usual is None else None
    if size is None or (trials is not None and trials <= size):
        return spec
    return replace(spec, budget=replace(spec.budget, trials=size))


def _runs_here(spec: StudySpec) -> bool:
    """Whether trials are processes of this machine, so that its cores and GPUs limit them."""
    if spec.executor.name == LOCAL:
        return True
    from hpo_engine.executors.local.executor import LocalExecutor

    cls = EXECUTORS.load(spec.executor.name, spec.model_dir, "executor")
    return isinstance(cls, type) and issubclass(cls, LocalExecutor)


# -- searchers ---------------------------------------------------------------------------------------------------------


def searcher(spec: StudySpec) -> Searcher:
    """The study's searcher, in a ProposalFilter.

    Raises:
        SpecError: unknown name or option, wrong value, a plugin that cannot be loaded.
    """
    name, folder = spec.algorithm.name, spec.model_dir
    cls = _searcher_class(name, folder)
    if isinstance(cls, type) and issubclass(cls, Searcher) and cls.traits.needs_resource and spec.resource is None:
        SEARCHERS.take(cls, name, spec.algorithm.options, "options")
        raise SpecError([Problem("resource", f"is missing: {name} needs one, as in {{name: epochs, max: 27}}")])
    try:
        made = SEARCHERS.make_of(cls, name, spec.algorithm.options, spec, path="options")
    except SpecError as error:
        raise SpecError([_with_owners(problem) for problem in error.problems]) from error
    if not callable(getattr(made, "ask", None)):
        raise SpecError([Problem("algorithm", f"{name} is not a searcher: it has no method ask(history, count)")])
    own = made if isinstance(made, Searcher) else AskingOnly(made)
    return ProposalFilter(spec, own)


def _with_owners(problem: Problem) -> Problem:
    """The problem; if it is an option that other algorithms have, these are named."""
    option = problem.path.removeprefix("options.")
    if not problem.text.startswith("is not an option of ") or "did you mean" in problem.text:
        return problem
    owners = [name for name in SEARCHERS if name != "optuna" and traits(name).card.has(option)]
    return problem._replace(text=f"{problem.text}; it is one of {', '.join(owners)}") if owners else problem


def about(spec: StudySpec) -> str:
    """The searcher's plan for the study, in one line; "" if it has none."""
    return searcher(spec).about()


def plan(spec: StudySpec) -> str:
    """The runs and the resource that a study will take, in one line; "" if it has no resource."""
    if spec.resource is None:
        return ""
    from hpo_engine.report import forecast

    return forecast.plan(spec, searcher(spec), known=spec.algorithm.name.partition(":")[0] in SEARCHERS)


def warnings(spec: StudySpec) -> list[str]:
    """Notes before a new study starts; limits from the command line are taken into account."""
    from hpo_engine.executors.sharing import Place, capacity
    from hpo_engine.report import forecast

    if not _runs_here(spec):
        return []
    place = Place.here(os.environ, gpus=bool(spec.resources.gpus))
    cores = place.cores.count
    notes = list(forecast.at_once(spec, capacity(spec.resources, place), cores, len(place.gpus)))
    if spec.submitted_code is not None:  # only a request was meant for another machine
        notes += forecast.warnings(spec, cores)
    return notes


def traits(algorithm: str, folder: str = ".") -> Traits:
    """The traits of an algorithm. Raises SpecError if there is no such algorithm."""
    cls = _searcher_class(algorithm, folder)
    if isinstance(cls, type) and issubclass(cls, Searcher):
        return replace(cls.traits, card=cls.card_of(algorithm))
    return Traits()


def _searcher_class(name: str, folder: str) -> Callable[..., Any]:
    """The class of an algorithm; the class of `optuna:SAMPLER` reads the name itself."""
    return SEARCHERS.load("optuna" if name.startswith("optuna:") else name, folder, "algorithm")


# -- stoppers ----------------------------------------------------------------------------------------------------------


def stopper(spec: StudySpec, watch: Watch | None = None) -> FirstOf:
    """All stoppers of the study together. `watch`: what running trials do, if that can be seen. Raises SpecError."""
    from hpo_engine.stoppers import BudgetStopper, FirstOf, Rule

    made = [STOPPERS.make(s.name, s.options, spec, folder=spec.model_dir, path="stop") for s in spec.stop]
    for rule in made:
        if isinstance(rule, Rule):
            rule.watch = watch
    return FirstOf([BudgetStopper(), *made])


def stopper_named(text: str, folder: str = ".", path: str = "stop") -> Named:
    """The stopper that a text such as `asha eta=3 grace=2` chooses, checked.

    Args:
        folder: what a path/file.py is relative to, and where users' modules are. path: the field that problems name.

    Raises:
        SpecError: it is not a name with options; no such stopper, no such option, or a value out of range.
    """
    from hpo_engine.studyfile.named import absolute, from_text

    try:
        chosen = from_text(text)
    except ValueError as error:
        raise SpecError([Problem(path, str(error))]) from error
    chosen = replace(chosen, name=absolute(chosen.name, os.path.abspath(folder)))
    try:
        STOPPERS.check(chosen.name, chosen.options, folder, path)
    except SpecError as error:
        raise SpecError([_in_text(problem, path) for problem in error.problems]) from error
    return chosen


_SET = re.compile(r"\s\+\s")  # between the rules of a set


def backtest(paths: StudyPaths, texts: Sequence[str], folder: str) -> Backtest:
    """What sets of stopping rules would have done in a study, in place of its own; see `report.backtest`.

    Args:
        texts: as `asha eta=3 + no_improvement`; none: each rule that ends trials, by itself.
        folder: see `stopper_named`.

    Raises:
        SpecError: no such rule, or no such option. JournalError: the log cannot be read.
    """
    from hpo_engine.report.backtest import Backtest
    from hpo_engine.report.replay import replay
    from hpo_engine.stoppers import FirstOf, Rule

    with closing(Journal(paths.db)) as journal:
        events = journal.read()
        history = journal.history()
    sets = {text: tuple(stopper_named(part, folder, "--stop") for part in _SET.split(text)) for text in texts}
    sets = sets or {name: (Named(name),) for name in _ending_trials()}
    guards = tuple(own for own in history.spec.stop if own in GUARDS)
    spec = replace(history.spec, model_dir=paths.model, stop=guards)
    replays, idle = {}, {}
    for text, chosen in sets.items():
        names = [each.name for each in chosen]
        kept = tuple(guard for guard in guards if guard.name not in names)
        rules = stopper(ruled := replace(spec, stop=(*kept, *chosen)))
        replays[text] = replay(events, ruled, rules)
        if why := rules.idle(replays[text].history, events[-1].at):
            idle[text] = why
    return Backtest(replay(events, spec, FirstOf([Rule()])), replays, idle)


def _ending_trials() -> list[str]:
    """The rules that end trials which could still have a result, and need no option."""
    from hpo_engine.stoppers import Rule

    guards = {guard.name for guard in GUARDS}
    classes = {name: STOPPERS.load(name, ".", "stop") for name in STOPPERS if name not in guards}
    return [
        name for name, cls in classes.items()
        if isinstance(cls, type) and issubclass(cls, Rule) and cls.end_trial is not Rule.end_trial
    ]  # fmt: skip


def _in_text(problem: Problem, path: str) -> Problem:
    """The problem of an option as one of the text that sets it."""
    option = problem.path.removeprefix(path).removeprefix(".")
    return Problem(path, f"{option} {problem.text}") if option else problem


# -- metric sources ----------------------------------------------------------------------------------------------------


def metric_sources(spec: StudySpec) -> list[Candidate]:
    """The sources that the study's metrics may come from, in their order. Raises SpecError if the study file names one
    that cannot be made; those that `auto` stands for are loaded when they are looked at."""
    from hpo_engine.contract.sources.candidates import OWN, Candidate, keys
    from hpo_engine.contract.sources.interface import TrialFiles

    given = [each for s in spec.metric_sources for each in (_automatic() if s.name == SOURCES_AUTO else [s])]
    sources = [source for i, source in enumerate(given) if source not in given[:i]]
    found = []
    for key, source in zip(keys([source.name for source in sources]), sources, strict=True):
        named, own = source in spec.metric_sources, source.name in OWN
        make = _maker(source, spec.model_dir)
        if named:
            make(TrialFiles(StudyPaths("/").trial(0), named=spec.metrics))
        found.append(Candidate(key, make, own=own, named=named))
    return found


def every_source(spec: StudySpec) -> list[Candidate]:
    """The study's sources, then all that `auto` stands for. Raises SpecError."""
    return metric_sources(replace(spec, metric_sources=(*spec.metric_sources, Named(SOURCES_AUTO))))


def _automatic() -> list[Named]:
    from hpo_engine.contract.sources.candidates import ORDER

    return [Named(name) for name in ORDER if name in METRIC_SOURCES.own]


def _maker(source: Named, folder: str) -> Callable[[TrialFiles], MetricSource]:
    """What makes a metric source; its options are taken once, not for each attempt."""
    path = "results"

    @cache
    def loaded() -> tuple[Callable[..., Any], dict[str, Any]]:
        cls = METRIC_SOURCES.load(source.name, folder, path)
        return cls, METRIC_SOURCES.take(cls, source.name, source.options, path)

    def make(trial: TrialFiles) -> MetricSource:
        cls, options = loaded()
        made: MetricSource = METRIC_SOURCES.build(cls, source.name, options, trial, path=path)
        return made

    return make


def metric_files(spec: StudySpec) -> list[str]:
    """The files in RESULT_DIR that the study's metrics are read from. Raises SpecError."""
    from hpo_engine.contract.sources.interface import TrialFiles

    nowhere = TrialFiles(StudyPaths("/").trial(0), named=spec.metrics)
    return [name for candidate in metric_sources(spec) for name in candidate.files(nowhere)]


# -- trackers ----------------------------------------------------------------------------------------------------------


def trackers(paths: StudyPaths, stream: TextIO, *, quiet: bool) -> tuple[ConsoleTracker, list[Tracker]]:
    """The tracker that shows the study on `stream`, and all trackers that write to it."""
    from hpo_engine.executors.machine import waits
    from hpo_engine.trackers.advice import Advice
    from hpo_engine.trackers.console import ConsoleTracker

    console = ConsoleTracker(stream, quiet=quiet, folder=paths.root, waits=lambda: waits(paths.root, os.environ))
    return console, [console, Advice(paths, lambda text: console.note(f"note: {text}"))]


def _chosen_trackers(spec: StudySpec, paths: StudyPaths) -> Iterator[Tracker]:
    """The trackers of the study file. One that cannot be made is left out, since a tracker must never harm a study."""
    for chosen in spec.trackers:
        try:
            yield TRACKERS.make(chosen.name, chosen.options, paths, folder=paths.model, path="trackers")
        except SpecError as error:
            _log.warning("tracker %s is switched off: %s", chosen.name, error.problems[0].text)


# -- engines -----------------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """UTC seconds that never jump: the wall clock when made, the monotonic one from then on."""

    base: float = 0.0

    def __post_init__(self) -> None:
        self.base = time.time() - time.monotonic()

    def __call__(self) -> float:
        return self.base + time.monotonic()


@dataclass
class OpenStudy:
    """A study that this process has locked: its lock, its event log, and its history up to now.

    `copied_from`: the folder that it is a copy of, if trials were running there ("": it is not a copy).
    """

    paths: StudyPaths
    lock: StudyLock
    journal: Journal
    history: History
    copied_from: str = ""

    def check(self) -> None:
        """Raises StudyLocked or StudyGone if this process has lost the study."""
        self.lock.check()
        self.journal.check()

    def __enter__(self) -> OpenStudy:
        return self

    def __exit__(self, *error: object) -> None:
        self.journal.close()
        self.lock.close()


def first_trials(spec: StudySpec, count: int) -> History:
    """What the study would try first, if none of these trials had a result before the last of them begins. Nothing is
    made. Raises SpecError, SearcherError.
    """
    from hpo_engine.core.proposing import Proposer
    from hpo_engine.core.recorder import Recorder
    from hpo_engine.core.rehearsal import Nowhere
    from hpo_engine.core.searcher_thread import InLine

    history = _unbegun(spec)
    recorder = Recorder(Nowhere(), history, ())
    proposer = Proposer(recorder, searcher(spec), InLine)
    while (left := count - recorder.history.next_id) > 0 and proposer.propose(left, 0.0):
        pass
    proposer.close()
    return recorder.history


def _unbegun(spec: StudySpec) -> History:
    from hpo_engine.searchers.prior import starts
    from hpo_engine.study.events import fold, opening

    return fold(opening(spec, 0.0, earlier=starts(spec) if spec.prior else ()))


def pace(paths: StudyPaths, history: History) -> Pace | None:
    """How long the runs of a study take and what its trials leave on the disk; None: none has ended well yet."""
    from hpo_engine.report.pace import ended_well, pace_of_history
    from hpo_engine.system.files import disk_bytes

    some = ended_well(history)[-_WEIGHED:]
    sizes = [sum(map(disk_bytes, paths.trial(i).folders)) for i in some]
    return pace_of_history(history, sum(sizes) // len(sizes) if sizes else 0)


_WEIGHED = 20  # trials whose files are counted


_ORDERS = 7  # in which configurations may turn out good or bad; odd, so that one is in the middle
_MANY = 300  # trials from which on the order hardly matters
_MOST_QUICK = 100  # trials of a searcher that is not quick for which there is time when a study begins


def rehearsed(
    spec: StudySpec, pace: Pace | None, history: History | None = None, *, quick: bool = False
) -> Rehearsed | None:
    """What a study will run, or what is left of one to run; None: it has no end, its searcher is a plugin's, or it
    takes too long to find out.

    Args:
        pace: of its runs (None: unknown; then seconds count units of the resource). history: of a study that has begun.
        quick: within moments.

    Raises:
        SpecError, SearcherError.
    """
    from hpo_engine.core.rehearsal import in_the_middle, rehearse, side_by_side
    from hpo_engine.report.pace import Pace

    made = searcher(spec)
    known = spec.algorithm.name.partition(":")[0] in SEARCHERS
    if not known or (spec.budget.most is None and made.traits.size is None):
        return None
    pace = Pace(0.0, 1.0) if pace is None else pace
    left_behind = pace.checkpoints or (spec.resource is not None and spec.resource.resume == "always")
    history = _unbegun(replace(spec, seed=spec.seed or 0)) if history is None else history
    if not made.traits.rations and not made.traits.carries_on:
        left = [n for n in (spec.budget.most, made.traits.size) if n is not None]
        count = max(0, min(left) - history.next_id) + len(history.open_ids)
        return side_by_side(spec.full_resource, count, spec.resources.parallel, pace.run_s)
    if quick and not made.traits.quick and (spec.budget.most or _MOST_QUICK) >= _MOST_QUICK:
        return None
    orders = range(_ORDERS if made.traits.quick and (spec.budget.most or 0) <= _MANY else 1)
    return in_the_middle([
        rehearse(history, made, pace.run_s, leaves_checkpoints=left_behind, order=order) for order in orders
    ])  # fmt: skip


def open_study(paths: StudyPaths, *, wait_s: float = 0.0, known: History | None = None) -> OpenStudy:
    """Locks a study and reads its log.

    Args:
        wait_s: how long to wait for another engine to finish.
        known: the intended study, as it was read before; another study that has taken its name is left alone.

    Raises:
        StudyLocked, StudyGone, JournalError.
    """
    from hpo_engine.executors.local import origin

    with ExitStack() as held:
        lock = StudyLock(paths.lock, wait_s)
        held.callback(lock.close)
        if not os.path.exists(paths.db):  # else a new one would be made
            raise StudyGone(f"{paths.db}: the event log was removed")
        if elsewhere := origin.own_files(paths):
            _log.warning(origin.not_here(paths, elsewhere))
        journal = Journal(paths.db, write=True)
        held.callback(journal.close)
        history = journal.history(known)
        if known is not None and known.opened_at != history.opened_at:
            raise StudyLocked(f"{paths.root}: the study was removed, and another one has its name; it is left alone")
        if copied_from := origin.origin(paths, history):
            _log.warning(origin.described(paths, history, copied_from))
        held.pop_all()
        return OpenStudy(paths, lock, journal, history, copied_from)


def engine_for(
    study: OpenStudy,
    clock: Callable[[], float],
    trackers: Sequence[Tracker] = (),
    *,
    changes: Mapping[str, Any] | None = None,
    retry: bool = False,
    say: Callable[[str], None] = _log.info,
    proposer: Searcher | None = None,
    poll_s: float = 0.5,
) -> Engine:
    """The engine of a study, to be resumed. Nothing is recorded if it cannot be made.

    Args:
        changes: new limits (SpecChanged). retry: run trials that failed, timed out or were lost again.
        say: called with one-line notices (how trials start, what they share).
        proposer: asked in place of the study's searcher. poll_s: as in Engine.

    Raises:
        JournalError, SpecError (the searcher or the machine cannot serve it).
    """
    from hpo_engine.contract import snapshot
    from hpo_engine.contract.copies import Copies
    from hpo_engine.contract.workspace import LocalWorkspace
    from hpo_engine.core.commands import Parts
    from hpo_engine.core.loop import Engine
    from hpo_engine.core.searcher_thread import Ask, Asker, InLine, InThread
    from hpo_engine.executors.local.activity import LocalActivity
    from hpo_engine.executors.local.bound import Rebinding

    paths, events = study.paths, _events(study.history, clock(), changes, retry=retry)
    history = reduce(apply, events, study.history)
    spec, user = history.spec, binding.user_of(os.environ)
    layout.lay_out_study(paths, user)  # a trial may have removed one of its folders
    _drop_old_requests(paths)
    view = snapshot.View.of(paths.model, source_dir=spec.model_dir)
    here = replace(spec, model_dir=paths.model)
    made = searcher(here) if proposer is None else proposer
    threads.keep_to_one(os.environ)
    bind = Rebinding(_binder(spec, paths, view.linked))
    executor = _executor(spec, paths, bind, view.linked, say)

    activity = LocalActivity(paths) if spec.executor.name == LOCAL else None

    def remake(new: StudySpec) -> Parts:
        running = engine.history.spec
        if (running.resources.cpus, running.resources.gpus) != (new.resources.cpus, new.resources.gpus):
            raise SpecError([Problem("trial", f"cpus and gpus cannot be changed {_WHILE}")])
        if running.trackers != new.trackers:
            raise SpecError([Problem("trackers", f"cannot be changed {_WHILE}")])
        resize = getattr(executor, "resize", None)
        if running.resources != new.resources and resize is None:
            raise SpecError([Problem("parallel", f"{new.executor.name} cannot change it {_WHILE}")])
        made, rules = changed_parts(running, new, paths, activity)
        bound = _binder(new, paths, view.linked)

        def adopt() -> None:
            bind.bind = bound
            if resize is not None:
                resize(_at_once(new))

        return Parts(made, rules, asker_of(made), adopt)

    def asker_of(made: Searcher) -> Callable[[Ask], Asker]:
        return InLine if made.traits.quick else lambda ask: InThread(ask, executor.wake)

    views = snapshot.Views(view, lambda lay: layout.view_of(spec, lay))
    engine = Engine(
        LocalWorkspace(paths, spec, views, user, metric_sources(here), Copies(executor.wake)),
        paths.inbox,
        study.journal,
        history,
        made,
        stopper(here, activity),
        executor,
        [*trackers, *_chosen_trackers(spec, paths)],
        poll_s=poll_s,
        asker=asker_of(made),
        copied_from=study.copied_from,
        check=study.check,
        remake=remake,
    )
    if events:
        study.journal.append(events, history)
    return engine


_WHILE = "while an engine runs the study: stop it, edit, resume"


def changed_parts(
    old: StudySpec, new: StudySpec, paths: StudyPaths, watch: Watch | None = None
) -> tuple[Searcher, FirstOf]:
    """The searcher and the stopper of a study that the user changes.

    Raises:
        SpecError: they cannot be made, or the searcher's plan for the trials so far does not fit the change.
    """
    here = replace(new, model_dir=paths.model)
    made, before = searcher(here), searcher(replace(old, model_dir=paths.model)).traits
    both = (old.algorithm.name, before), (new.algorithm.name, made.traits)
    planned = [name for name, traits in both if traits.rations or traits.listed or traits.carries_on]
    if old.algorithm != new.algorithm and planned:
        text = f"{planned[0]} follows a plan of its own, which is in its trials; begin a new study with warm_start"
        raise SpecError([Problem("algorithm", f"cannot be changed: {text}")])
    if old.space != new.space and before.listed:
        text = f"{old.algorithm.name} works through a list that follows from it; begin a new study"
        raise SpecError([Problem("space", f"cannot be changed: {text}")])
    if _runs_here(new):
        from hpo_engine.executors.sharing import Place, capacity

        capacity(new.resources, Place.here(os.environ, gpus=bool(new.resources.gpus)))
    return made, stopper(here, watch)


def read_changed(document: Document, base_dir: str) -> StudySpec:
    """The study that the changed document of one describes. Raises SpecError with every problem in it."""
    from hpo_engine.studyfile.native import parse_document

    spec = parse_document(document, base_dir=base_dir, algorithms=SEARCHERS.known(), registries=_REGISTRIES)
    return _checked(spec, os.environ, how_long=True)


def _at_once(spec: StudySpec) -> Resources:
    """What the study needs, without slots for trials that it cannot have."""
    most = min(n for n in (spec.resources.parallel, spec.budget.most) if n is not None)
    return replace(spec.resources, parallel=most)


def _binder(spec: StudySpec, paths: StudyPaths, linked: tuple[str, ...]) -> Bind:
    """Finds argv, environment and folders of attempts. `linked`: big files that trials share."""
    from hpo_engine.executors.local.bound import Binder

    base = {**os.environ, "USER": binding.user_of(os.environ)}
    there = redirect(binding.command(spec, sys.executable), base, spec.env, spec.model_dir, paths.model)
    return Binder(spec, paths, base, there, linked)


def _events(history: History, now: float, changes: Mapping[str, Any] | None, *, retry: bool) -> list[Event]:
    """The events that record what the user has changed."""
    events: list[Event] = [SpecChanged(now, dict(changes))] if changes else []
    if retry:
        events += [TrialReopened(now, trial.id) for trial in history.trials if trial.state in BAD]
    return events


def _drop_old_requests(paths: StudyPaths) -> None:
    """Drops requests to stop the study: they were meant for an earlier engine."""
    for path, request in inbox.pending(paths.inbox):
        if request is None or (request.do == "stop" and request.trial is None):
            inbox.done(path)
    inbox.clear_refusals(paths.inbox)


def _executor(
    spec: StudySpec, paths: StudyPaths, bind: Bind, linked: tuple[str, ...], say: Callable[[str], None]
) -> Executor:
    """Args:
    linked: big files that trials share.
    """
    from hpo_engine.executors.context import ExecutorContext
    from hpo_engine.executors.local.executor import LocalExecutor
    from hpo_engine.executors.local.processes import can_protect
    from hpo_engine.executors.machine import study_id
    from hpo_engine.executors.reasons import taking_reasons

    if linked and not can_protect():
        _log.warning(
            "big files are linked, not copied, and here only their modes keep trials from changing them: %s",
            ", ".join(linked),
        )
    context = ExecutorContext(
        _at_once(spec),
        os.environ,
        bind,
        say,
        errors=paths.engine_log,
        study=study_id(paths.root),
        name=spec.name,
    )
    name, options = spec.executor.name, spec.executor.options
    executor: Executor = EXECUTORS.make(name, options, context, folder=paths.model, path="executor")
    if isinstance(executor, LocalExecutor):
        each = executor.machine.threads()
        if each is not None and threads.OMP not in {**os.environ, **spec.env}:
            say(threads.described(each, *executor.machine.sharers()))
    return taking_reasons(executor)
