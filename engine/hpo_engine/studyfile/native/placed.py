"""Whether the placeholders of a study file can be filled: those of its command, of its variables, of `params_env`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hpo_engine.contract.binding import reserved
from hpo_engine.contract.command import program_texts
from hpo_engine.contract.placeholders import PlaceholderError, Template
from hpo_engine.contract.placing import variable
from hpo_engine.space.params import Param
from hpo_engine.study.spec import ScriptFile
from hpo_engine.studyfile.common import Problems, env_problem
from hpo_engine.studyfile.native.form import StudyForm
from hpo_engine.text.quoting import listed, shown

_SHOWN = 5  # names in one line


_STARTS_PROGRAMS = ("PATH", "HOME", "USER", "SHELL", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME")


def names(form: StudyForm) -> set[str]:
    """What a trial's config.json may have from the study: parameters and the resource."""
    found = {name for params in (form.space or {}, *form.experiments) for name in params}
    return found | ({form.resource.name} if form.resource else set())


def check(
    form: StudyForm, params: tuple[Param, ...], files: Iterable[ScriptFile], failed: set[str], problems: Problems
) -> list[str]:
    """Reports placeholders that cannot be filled. Returns notes on those in a program's text, which stay as they are,
    and on parameters that are placed nowhere although others are.

    Args:
        failed: fields that are wrong themselves.
    """
    if failed & {"command", "space", "experiments", "env"}:
        return []
    known, everything = names(form), form.params_env is not None
    placed = {name for file in files for name in file.names}
    for path, template in _templates(form, known, problems):
        placed |= template.placed
        everything |= template.takes_all
        if path == "command":
            _check_program(form, known, params, problems)
    for name, other in _alike(form, known, problems):
        problems.add("params_env", f"{other} and {name} would both be {variable(form.params_env or '', name)}")
    texts = _in_texts(form, known)
    left = sorted(known - placed)
    if not placed or everything or not left:
        return texts
    few = listed([shown(name) for name in left], _SHOWN)
    return [*texts, f"{few}: only in config.json, unlike the others; {{params}} in command writes all that are left"]


def _in_texts(form: StudyForm, known: set[str]) -> list[str]:
    """A note on placeholders in the text of `sh -c TEXT` and the like."""
    words = [word for number, word in enumerate(form.command) if number in program_texts(form.command)]
    tokens = (f"{{{name}}}" for name in sorted(known | {"params"}))
    if (found := next((token for token in tokens if any(token in word for word in words)), None)) is None:
        return []
    return [
        f"command: {shown(found)} stays as it is, as no value becomes part of a program's text; hand it over as a "
        f'further word, as in [sh, -c, \'echo "$0"\', "{shown(found)}"]'
    ]


def _templates(form: StudyForm, known: set[str], problems: Problems) -> Iterator[tuple[str, Template]]:
    """The command, and each variable, with the path of its field."""
    try:
        yield "command", Template.parse(form.command, known)
    except PlaceholderError as error:
        problems.add("command", str(error))
    for name, text in form.env.items():
        try:
            yield f"env.{name}", Template.parse_text(text, known)
        except PlaceholderError as error:
            problems.add(f"env.{name}", str(error))


def _check_program(form: StudyForm, known: set[str], params: tuple[Param, ...], problems: Problems) -> None:
    program = Template.parse(form.command[:1], known)
    if program.may_vanish:
        problems.add("command", f"{shown(form.command[0])} may be no word at all, so that there is no program to run")
        return
    optional = [param.name for param in params if param.when and param.name in program.placed]
    if optional:
        problems.add("command", f"a trial without {shown(optional[0])} would have no program to run")


def _alike(form: StudyForm, known: set[str], problems: Problems) -> Iterator[tuple[str, str]]:
    """Parameters that `params_env` gives one variable; reports those that it gives none."""
    if form.params_env is None:
        return
    seen: dict[str, str] = {}
    for name in sorted(known):
        called = variable(form.params_env, name)
        if wrong := env_problem(called):
            problems.add("params_env", wrong)
            return
        if wrong := reserved(called) or _needed_to_start(called):
            problems.add("params_env", f"{shown(name)} would be in {called}, which {wrong}")
            return
        if seen.setdefault(called, name) != name:
            yield name, seen[called]


def _needed_to_start(name: str) -> str | None:
    return "programs need to start; choose another name" if name in _STARTS_PROGRAMS else None
