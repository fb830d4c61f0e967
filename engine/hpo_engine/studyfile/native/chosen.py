"""What a study file chooses by name: the algorithm, the stoppers, the trackers, the metric sources, the executor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from hpo_engine.plugins.card import Card
from hpo_engine.plugins.registry import Registry
from hpo_engine.space.params import json_text
from hpo_engine.stoppers import AlikeStopper, RankStopper
from hpo_engine.study.spec import ALIKE, DIVERGED, MISNAMED, RANK, Isolation, Named
from hpo_engine.studyfile.common import Problems, algorithm_problem
from hpo_engine.studyfile.named import absolute
from hpo_engine.studyfile.native import values
from hpo_engine.studyfile.native.findings import report
from hpo_engine.studyfile.native.form import NamedForm, StudyForm

# Stoppers that fields of their own set, when `stop` lists one of them as well.
_ELSEWHERE = {
    RANK: ": early_stopping sets it; write its options there, or remove early_stopping",
    DIVERGED: ": every study has it; early_stopping: {diverged: off} turns it off, diverged bound=100 sets an option",
    ALIKE: ": every study has it; failures sets its options",
    MISNAMED: ": every study has it; failures: off turns it off",
}
_FORMER_OPTIONS = {"warm_up": "write min_rivals"}


def algorithm(
    form: StudyForm, base_dir: str, known: Iterable[str] | None, problems: Problems
) -> tuple[Named, int | None]:
    """The algorithm and the seed, which stands among its options."""
    options = dict(form.options)
    if form.algorithm is not None:
        for name, value in form.algorithm.options.items():
            if name in options:
                problems.add(f"algorithm.options.{name}", "is set by options, too")
            options[name] = value
    seed = _seed(options.pop("seed", None), problems)
    return Named(_algorithm(form, base_dir, known, problems), options), seed


def isolation(form: StudyForm) -> Isolation | None:
    """How the algorithm runs apart from the engine; None: it does not, unless it is a plugin of WMLA's form."""
    if form.algorithm is None or not (form.algorithm.isolated or form.algorithm.call_limit):
        return None
    return Isolation(form.algorithm.call_limit or Isolation.call_limit_s)


def _algorithm(form: StudyForm, base_dir: str, known: Iterable[str] | None, problems: Problems) -> str:
    name = form.algorithm.name if form.algorithm is not None else "grid" if form.experiments else "auto"
    known = None if known is None else list(known)
    if known is not None and name not in known:
        name = next((each for each in known if each.lower() == name.lower()), name)
    wrong = algorithm_problem(name, known)
    if wrong is None:
        name = absolute(name, base_dir)
        path = name.rpartition(":")[0]
        if path.endswith(".py") and not os.path.isfile(path):
            wrong = f"there is no file {json_text(path)}"
    if wrong:
        problems.add("algorithm", wrong)
    return name


def _seed(value: Any, problems: Problems) -> int | None:
    try:
        return TypeAdapter[int | None](values.Natural | None).validate_python(value)
    except ValidationError as error:
        report(error, "options.seed", StudyForm, problems)
        return None


def by_name(
    form: StudyForm, base_dir: str, folder: str, registries: Mapping[str, Registry], problems: Problems
) -> dict[str, Any]:
    """The executor and the lists of named things, by field; those that are given by path/file.py become absolute.

    Args:
        folder: where users' modules are.
        registries: by field, what there is; the names of other fields are not checked.
    """
    lists = {"stop": form.stop, "trackers": form.trackers, "results": form.results}
    if not form.results:
        problems.add("results", "must name at least one, as in [val_dict_list]")
    form.executor.name = absolute(form.executor.name, base_dir)
    executor = form.executor.named()
    if "executor" in registries:
        with problems.collected():
            registries["executor"].check(executor.name, executor.options, folder, "executor")
    chosen: dict[str, Any] = {"executor": executor}
    for field, forms in lists.items():
        for each in forms:
            each.name = absolute(each.name, base_dir)
        before = _stoppers(form, forms, problems) if field == "stop" else ()
        taken = [stopper.name for stopper in before]
        chosen["metric_sources" if field == "results" else field] = (
            *before,
            *_chosen(forms, field, taken, folder, registries.get(field), problems),
        )
    return chosen


def _stoppers(form: StudyForm, listed: Iterable[NamedForm], problems: Problems) -> list[Named]:
    """What `failures` and `early_stopping` come to; options at their default are left out. One that every study has is
    left out if it is `listed` in `stop` with options."""
    failures = _options(AlikeStopper.card, ALIKE, form.failures, "failures", problems)
    out = [] if set(failures.values()) == {None} and len(failures) == 2 else [Named(MISNAMED), Named(ALIKE, failures)]
    early = form.early_stopping
    if (early is None or early.diverged) and not any(each.name == DIVERGED and each.named().options for each in listed):
        out.append(Named(DIVERGED))
    if early is not None:
        options = _options(RankStopper.card, RANK, early, "early_stopping", problems)
        if early.rule is not None and (options or early.model_fields_set != {"diverged"}):
            out.append(Named(RANK, options))
    return out


def _options(card: Card, name: str, form: BaseModel, path: str, problems: Problems) -> dict[str, Any]:
    """The options among a form's keys that do not hold their default."""
    given = dict(form.model_extra or {})
    for word, advice in _FORMER_OPTIONS.items():
        if word in given:
            del given[word]
            problems.add(f"{path}.{word}", f'unknown key "{word}"; {advice}')
    taken: dict[str, Any] = {}
    with problems.collected():
        taken = card.take(name, given, path, ())
    return {option: value for option, value in taken.items() if value != card.options[option].default}


def _chosen(
    forms: Sequence[NamedForm],
    field: str,
    before: Iterable[str],
    folder: str,
    known: Registry | None,
    problems: Problems,
) -> Iterator[Named]:
    """Those of a list, whose paths are absolute by now. `before`: names that are there already. `folder`: where users'
    modules are. `known`: which there are (None: not checked)."""
    earlier = [Named(name) for name in before]
    for i, chosen in enumerate(form.named() for form in forms):
        path = f"{field}[{i}]"
        # A metric source may be there twice, with two files, and a rule with two scopes.
        twice = chosen in earlier if field in ("results", "stop") else chosen.name in [other.name for other in earlier]
        twice = twice or chosen.name in before
        earlier.append(chosen)
        if twice:
            problems.add(path, f"{json_text(chosen.name)} is already listed{_ELSEWHERE.get(chosen.name, '')}")
        elif known is not None:
            with problems.collected():
                known.check(chosen.name, chosen.options, folder, path)
        yield chosen
