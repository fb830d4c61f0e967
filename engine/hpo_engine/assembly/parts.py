"""The parts that a spec names, made: its searcher, its stoppers, its metric sources and its trackers."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from hpo_engine.assembly.isolated import algorithms, isolated, names
from hpo_engine.assembly.registries import EXECUTORS, METRIC_SOURCES, SEARCHERS, STOPPERS, TRACKERS
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import Problem, SpecError
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.searchers.filter import ProposalFilter
from hpo_engine.searchers.interface import AskingOnly
from hpo_engine.study.spec import LOCAL, SOURCES_AUTO, Named, StudySpec

if TYPE_CHECKING:
    from hpo_engine.contract.sources.candidates import Candidate
    from hpo_engine.contract.sources.interface import MetricSource, TrialFiles
    from hpo_engine.core.ports import Listener
    from hpo_engine.isolation.home import Home
    from hpo_engine.stoppers import FirstOf
    from hpo_engine.stoppers.rule import Watch
    from hpo_engine.trackers.console import ConsoleTracker

_log = logging.getLogger(__name__)


def searcher(spec: StudySpec, home: Home | None = None) -> Searcher:
    """The study's searcher, in a ProposalFilter.

    Args:
        home: where a searcher in a process of its own keeps what it has to remember (None: nowhere).

    Raises:
        SpecError: unknown name or option, wrong value, a plugin that cannot be loaded.
    """
    if spec.isolation is not None:
        return ProposalFilter(spec, isolated(spec, home))
    return ProposalFilter(spec, in_process(spec))


def in_process(spec: StudySpec) -> Searcher:
    """The study's searcher itself, in this process. Raises SpecError as `searcher` does."""
    name, folder = spec.algorithm.name, spec.model_dir
    cls = searcher_class(name, folder)
    if isinstance(cls, type) and issubclass(cls, Searcher) and cls.traits.needs_resource and spec.resource is None:
        SEARCHERS.take(cls, name, spec.algorithm.options, "options")
        raise SpecError([Problem("resource", f"is missing: {name} needs one, as in {{name: epochs, max: 27}}")])
    try:
        made = SEARCHERS.make_of(cls, name, spec.algorithm.options, spec, path="options")
    except SpecError as error:
        raise SpecError([_with_owners(problem) for problem in error.problems]) from error
    if not callable(getattr(made, "ask", None)):
        raise SpecError([Problem("algorithm", f"{name} is not a searcher: it has no method ask(history, count)")])
    return made if isinstance(made, Searcher) else AskingOnly(made)


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


def traits(algorithm: str, folder: str = ".") -> Traits:
    """The traits of an algorithm. Raises SpecError if there is no such algorithm."""
    if algorithm not in names() and algorithm in algorithms(os.environ):
        from hpo_engine.isolation.plugin import PluginSearcher

        return PluginSearcher.traits
    cls = searcher_class(algorithm, folder)
    if isinstance(cls, type) and issubclass(cls, Searcher):
        return replace(cls.traits, card=cls.card_of(algorithm))
    return Traits()


def searcher_class(name: str, folder: str) -> Callable[..., Any]:
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


def trackers(paths: StudyPaths, stream: TextIO, *, quiet: bool) -> tuple[ConsoleTracker, list[Listener]]:
    """The tracker that shows the study on `stream`, and all trackers that write to it."""
    from hpo_engine.executors.machine import waits
    from hpo_engine.trackers.advice import Advice
    from hpo_engine.trackers.console import ConsoleTracker

    console = ConsoleTracker(stream, quiet=quiet, folder=paths.root, waits=lambda: waits(paths.root, os.environ))
    return console, [console, Advice(paths, lambda text: console.note(f"note: {text}"))]


def chosen_trackers(spec: StudySpec, paths: StudyPaths) -> Iterator[Listener]:
    """The trackers of the study file. One that cannot be made is left out, since a tracker must never harm a study."""
    for chosen in spec.trackers:
        try:
            yield TRACKERS.make(chosen.name, chosen.options, paths, folder=paths.model, path="trackers")
        except SpecError as error:
            _log.warning("tracker %s is switched off: %s", chosen.name, error.problems[0].text)


# -- executors ---------------------------------------------------------------------------------------------------------


def runs_here(spec: StudySpec) -> bool:
    """Whether trials are processes of this machine, so that its cores and GPUs limit them."""
    if spec.executor.name == LOCAL:
        return True
    from hpo_engine.executors.local.executor import LocalExecutor

    cls = EXECUTORS.load(spec.executor.name, spec.model_dir, "executor")
    return isinstance(cls, type) and issubclass(cls, LocalExecutor)
