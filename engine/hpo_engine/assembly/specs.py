"""Study files, read and checked against what serves them: the registries, the searcher, this machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo_engine.assembly.isolated import algorithms, with_plugin
from hpo_engine.assembly.parts import metric_files, runs_here, searcher, stopper
from hpo_engine.assembly.registries import BY_FIELD
from hpo_engine.contract.paths import absolute
from hpo_engine.errors import Problem, SpecError
from hpo_engine.space.params import json_text
from hpo_engine.study.spec import StudySpec

if TYPE_CHECKING:
    from hpo_engine.studyfile.document import Document


def load_spec(path: str, env: Mapping[str, str], *, elsewhere: Collection[str] = ()) -> tuple[StudySpec, str]:
    """The study file at `path`, native or WMLA's, and its text. Raises SpecError with every problem in it.

    Args:
        elsewhere: see `spec_of`.
    """
    from hpo_engine.studyfile import document

    text = document.read_text(path)
    doc = document.read_document(text, path)
    return spec_of(doc, text, os.path.dirname(absolute(path)), env, elsewhere=elsewhere)


def spec_of(
    doc: Document,
    text: str,
    base_dir: str,
    env: Mapping[str, str],
    *,
    model_dir: str | None = None,
    user: str | None = None,
    name: str | None = None,
    elsewhere: Collection[str] = (),
) -> tuple[StudySpec, str]:
    """The study that a document describes, native or WMLA's, and the text to keep of it (without secrets).

    Args:
        text: that of the document. base_dir: what its relative paths are relative to.
        model_dir: where the script's folder is, whatever the document says (an upload).
        user: who submits it (None: this process's user).
        name: of a study whose document names none (None: the name of the file, or of its folder).
        elsewhere: algorithms that only the machine has on which the study will run. A study with one of them is not
        checked against what serves it.

    Raises:
        SpecError: with every problem in it.
    """
    from hpo_engine.studyfile import document
    from hpo_engine.studyfile.common import default_name, is_wmla

    known = {**dict.fromkeys(elsewhere, ""), **algorithms(env)}
    if is_wmla(doc.data):
        from hpo_engine.studyfile import wmla

        spec = wmla.parse_request(doc, base_dir=base_dir, model_dir=model_dir, env=env, plugins=known, user=user)
        if spec.resources.gpus or spec.dialect.get("elastic"):
            from hpo_engine.executors.devices import count_cores, find_gpus

            spec = wmla.fitted(spec, len(find_gpus(env)) if spec.resources.gpus else 0, count_cores())
        hidden = wmla.without_secrets(doc)
        text = text if hidden is None else document.dump(hidden)
        if not doc.data.get("hpoName"):  # the same file must find its study again, so no generated name here
            spec = replace(spec, name=name or default_name(doc.file, base_dir))
    else:
        from hpo_engine.studyfile.native import parse_document

        spec = parse_document(
            doc, base_dir=base_dir, model_dir=model_dir, algorithms=known, registries=BY_FIELD, name=name
        )
    if spec.algorithm.name in elsewhere and spec.algorithm.name not in algorithms(env):
        return spec, text
    spec = with_plugin(spec, env)
    try:
        return _checked(spec, env, how_long="trials" in doc.data or "runs" in doc.data or is_wmla(doc.data)), text
    except SpecError as error:
        problems = [p._replace(path=_wmla_path(p.path)) if is_wmla(doc.data) else p for p in error.problems]
        raise SpecError([p._replace(line=_line(doc, p.path)) for p in problems], doc.file) from None


def read_changed(document: Document, base_dir: str, known: StudySpec | None = None) -> StudySpec:
    """The study that the changed document of one describes. Raises SpecError with every problem in it.

    Args:
        known: the study before the change; the plugin that it has a copy of need not be installed any more.
    """
    from hpo_engine.studyfile.native import parse_document

    there = [*algorithms(os.environ), *([] if known is None else [known.algorithm.name])]
    spec = parse_document(document, base_dir=base_dir, algorithms=there, registries=BY_FIELD)
    spec = with_plugin(spec, os.environ, known)
    return _checked(spec, os.environ, how_long=True)


_WMLA_PATHS = {
    "algorithm": "algoDef.algorithm",
    "options": "algoDef.algoParams",
    "resource": "algoDef.algoParams",
    "trial.gpus": "modelSpec.args",
}


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
    if runs_here(spec) and (spec.resources.cpus is not None or spec.resources.gpus):
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
