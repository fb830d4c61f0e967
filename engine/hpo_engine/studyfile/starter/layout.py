"""The text of the study file: what was found in a script, and what else could stand there, each with a comment."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from hpo_engine.contract.placeholders import Form, literal
from hpo_engine.contract.snapshot.found import Amount
from hpo_engine.studyfile.starter.findings import Findings, stand_in
from hpo_engine.studyfile.starter.interface import Parameter
from hpo_engine.studyfile.starter.kinds import Kind, kind_of
from hpo_engine.studyfile.starter.plan import Entry
from hpo_engine.studyfile.starter.scalars import flow, scalar

COLUMNS = 80
_COMMENT_COLUMN = 42
_MOST_MORE = 12
_RESUMES = re.compile(
    r"(resume(_(from|path|ckpt|checkpoint|from_checkpoint|from_ckpt|training))?|(ckpt|checkpoint)(_(path|file))?|load_from)"
)
"""Options that name the checkpoint from which a script goes on."""


def lines(found: Findings) -> Iterator[str]:
    yield from _head(found)
    yield from _program(found)
    yield from _objective(found)
    yield from _search(found)
    yield from _space(found)
    yield from _places(found)
    yield from _tail(found)


def _head(found: Findings) -> Iterator[str]:
    yield "# What to run, what to tune, how long to search."
    yield "# Start it with: hpo-engine submit algo.yaml"
    parameters = (
        "gets its parameters as it always does" if found.placed else "finds its parameters in config.json there"
    )
    yield from _wrapped(
        "Each trial runs the command in a folder of its own, which looks like the script's folder. "
        f"The script {parameters}{_about_metrics(found)}"
    )
    usual = not (found.placed or found.reading.runner or found.metrics.found_elsewhere)
    if found.script.path.endswith(".py") and usual:
        yield "# (from hpo_trainees.report import config, report does both; it is one file,"
        yield "# which can be copied.)"
    for remark in found.remarks:
        yield "#"
        yield from _wrapped(f"NOTE: {remark}")
    yield ""


def _about_metrics(found: Findings) -> str:
    """How a sentence about the parameters goes on."""
    metrics = found.metrics
    if metrics.printed:
        return ", and its metrics are read in what it prints, as in: epoch 1: loss=0.3"
    if metrics.elsewhere:
        return f", and its metrics are read where it leaves them: {metrics.elsewhere}."
    if metrics.unread:
        return "; its metrics cannot be read yet (see the NOTE)."
    if found.placed and not metrics.known:
        return ". No metrics were found in it: it has to print them, as in epoch 1: loss=0.3, or leave them in a file."
    return ', and its metrics in val_dict_list.json, as in: [{"step": 1, "loss": 0.3}]'


def _program(found: Findings) -> Iterator[str]:
    folder, command = _command(found)
    yield from _line("# name: my-study", "default: the name of this folder")
    yield from _line(f"command: {scalar(command)}", "runs one trial, without a shell")
    if folder:
        yield from _line(f"model_dir: {scalar(folder)}", "the folder that trials run in")
    if found.reading.base:
        yield from _line(f"base_config: {scalar(found.reading.base)}", "the values of what is not in space")


def _objective(found: Findings) -> Iterator[str]:
    metrics = found.metrics
    objectives = ((metrics.objective, metrics.goal), *found.reading.further)
    names = [n for n in metrics.names if n.isprintable() and len(n) <= 30][:8]
    if len(objectives) > 1:
        yield "objectives:"
        for name, goal in objectives:
            yield from _line(f"  - {{metric: {scalar(name)}, goal: {goal}}}", "minimize or maximize")
        yield ""
        return
    yield "objective:"
    if len(names) > 1:
        yield from _wrapped(f"The script has: {', '.join(names)}", "  ")
    yield from _line(f"  metric: {scalar(metrics.objective)}", _about_metric(found))
    yield from _line(f"  goal: {metrics.goal}", "minimize or maximize")
    yield from _line("  # over: last", "its last value counts, not its best")
    yield ""


def _about_metric(found: Findings) -> str:
    if not found.metrics.known:
        return "CHECK: no metric was found"
    if found.metrics.said:
        return "what the script itself watches"
    return "a name that the script prints" if found.metrics.printed else "a name in the script's metrics"


def _search(found: Findings) -> Iterator[str]:
    yield from _line("algorithm: auto", "or one of: hpo-engine algorithms")
    yield from _line("options: {seed: 1}", "the same seed: the same trials")
    yield from _line("trials: 20", "in all; or unlimited")
    yield from _line("parallel: 1", "trials at a time")
    yield from _line("# time_limit: 1h", "of the whole study: 90s, 1h30m, 2d")
    yield from _line("# failures: {first: 3, in_a_row: 10}", "the study stops then; off: never")
    yield from _line("# early_stopping: rank", "ends trials that are not promising")
    yield from _line("# stop: [median, asha eta=3 grace=2]", "more such rules; one or a list")
    yield from _resource(found)
    yield ""
    yield from _line("# trial:", "what one trial gets")
    yield from _line("#   time_limit: 10m", "a run that takes longer is ended")
    yield from _line("#   on_time_limit: keep", "its metrics count; else it fails")
    yield from _line("#   retries: 1", "a run that failed is repeated once")
    yield from _line("#   cpus: 2", "cores; default: not managed")
    yield from _line("#   gpus: 1", "0.5: shared by two, 0: none")
    yield ""


def _resource(found: Findings) -> Iterator[str]:
    """How short trainings can decide which ones go on, if the script has an option for its length."""
    lengths = (p for p in found.plan.fixed if kind_of(p.name) is Kind.LENGTH)
    length = next((p for p in lengths if p.word or p.option), None)
    if length is None:
        return
    most = length.default if isinstance(length.default, int) and length.default > 1 else 10
    yield from _line(f"# resource: {flow({'name': length.name, 'max': most})}", "short runs; the best go on")
    words = [] if found.reading.form and length.option else [length.word]
    words += [_resuming(p) for p in found.reading.parameters if p.option and _RESUMES.fullmatch(p.name)][:1]
    if words:
        yield from _wrapped(f"(for that, add to command: {' '.join(words)})")


def _resuming(parameter: Parameter) -> str:
    return f"{parameter.option}{'' if parameter.option.endswith('=') else ' '}{{resume_from}}"


# -- the space -------------------------------------------------------------------------------------------------------


def _space(found: Findings) -> Iterator[str]:
    plan = found.plan
    yield from _line("space:", "the parameters" if found.placed else "the parameters: config.json of a trial")
    for entry in plan.searched:
        yield from _line(f"  {_field(found, entry)}", entry.why)
    if not plan.searched:
        yield from _line("  learning_rate: {float: [0.0001, 0.1], log: true}", "an example")
    lengths = [p for p in plan.fixed if kind_of(p.name) is Kind.LENGTH and p.default is not None]
    if plan.more or lengths:
        yield "  # The script has these too, with defaults that are kept:"
    for parameter in lengths:
        constant = Entry(parameter, parameter.default, "how long it trains")
        yield from _line(f"  # {_field(found, constant)}", constant.why)
    for entry in plan.more[:_MOST_MORE]:
        word = entry.parameter.word
        why = f"add {word} to command" if word and not entry.parameter.positional else entry.why
        yield from _line(f"  # {_field(found, entry)}", why)
    alone = [p.name for p in plan.fixed if p not in lengths] + [e.parameter.name for e in plan.more[_MOST_MORE:]]
    if alone:
        yield from _wrapped(f"Left alone: {', '.join(map(scalar, alone))}", "  ")
    if not (found.placed or found.reading.runner) or not plan.searched:
        yield from _examples({entry.parameter.name: entry.entry for entry in plan.searched})


def _examples(entries: dict[str, Any]) -> Iterator[str]:
    yield "  # Other kinds of parameters:"
    for name, example, why in (
        ("dropout", "{float: [0, 0.5], step: 0.05}", "0, 0.05, 0.1, ... 0.5"),
        ("width", "{power: 2, int: [5, 9]}", "32, 64, ... 512"),
        ("optimizer", "{choice: [adam, sgd]}", "one of these"),
        ("momentum", "{float: [0.5, 0.99], when: {optimizer: sgd}}", "only with sgd"),
        ("epochs", "5", "the same in every trial"),
    ):
        conditional = name != "momentum" or "sgd" in _choices(entries.get("optimizer", {"choice": ["sgd"]}))
        if name not in entries and conditional:
            yield from _line(f"  # {name}: {example}", why)


def _field(found: Findings, entry: Entry) -> str:
    return f"{scalar(entry.parameter.name)}: {flow(_spelled(entry, found.reading.form))}"


def _spelled(entry: Entry, form: str) -> Any:
    """The entry with its condition, and the option's own name if that differs from the one that `form` writes."""
    added: dict[str, Any] = {"when": dict(entry.parameter.when)} if entry.parameter.when else {}
    option = entry.parameter.option
    if option and not entry.parameter.word and option != _usual_option(entry.parameter.name, form):
        added["arg"] = option
    if not added:
        return entry.entry
    return {**(entry.entry if isinstance(entry.entry, dict) else {"constant": entry.entry}), **added}


def _usual_option(name: str, form: str) -> str:
    """How a placeholder for all parameters writes one, as `Parameter.option` has it."""
    how = Form.parse(form.strip("{}").partition(":")[2]) if ":" in form else Form()
    option = f"{how.prefix}{name.replace('_', '-') if how.dashes else name}"
    return option if how.prefix or how.joint == " " else f"{option}{how.joint}"


def _choices(entry: Any) -> list[Any]:
    return list(entry.get("choice", ())) if isinstance(entry, dict) else []


# -- the command, files and environment ------------------------------------------------------------------------------


def _command(found: Findings) -> tuple[str, str]:
    """(model_dir, "" for the file's own folder; command)."""
    path = os.path.normpath(found.place)
    folder = found.model_dir
    if os.path.isabs(path) or path.startswith(os.pardir + os.sep):
        folder, path = os.path.split(path)
    runner = _interpreter(path, found.script.text)
    before = found.reading.runner or ((runner,) if runner else ())
    words = [*before, path] if before else [path if os.sep in path else f"./{path}"]
    own = [shlex.quote(literal(word)) for word in words] + [shlex.quote(word) for word in found.reading.words]
    return folder, " ".join([*own, *_words(found)])


def _interpreter(path: str, text: str) -> str:
    """What runs a script; "" if it is run by itself. A shell script says in its first line which shell it is for."""
    suffix = os.path.splitext(path)[1].lower()
    shells = {".sh": "sh", ".bash": "bash", ".zsh": "zsh", ".ksh": "ksh"}
    if suffix in shells:
        named = re.match(r"#!\s*\S*?(?:/env\s+)?\b(ba|z|k|da)sh\b", text)
        return f"{named[1]}sh" if named and suffix == ".sh" else shells[suffix]
    return {".py": "python", ".js": "node", ".mjs": "node", ".r": "Rscript", ".jl": "julia"}.get(suffix, "")


def _words(found: Findings) -> Iterator[str]:
    """The words of the command, quoted for it, that give the script its parameters."""
    searched = [entry.parameter for entry in found.plan.searched]
    given = {parameter.name: value for parameter, value in found.plan.given}
    yield from _positional(found, {p.name for p in searched}, given)
    for parameter, value in found.plan.given:
        if parameter.option and not parameter.positional:
            yield from _option_words(parameter.option, value)
    for parameter in searched:
        if parameter.word and not parameter.positional:
            yield parameter.word if " " not in parameter.word else shlex.quote(parameter.word)
    if found.reading.form and any(p.option and not p.word for p in searched):
        yield found.reading.form


def _positional(found: Findings, searched: set[str], given: dict[str, str]) -> Iterator[str]:
    """Up to the last one that is searched or needed; those before it with their defaults."""
    all_of_them = [p for p in found.reading.parameters if p.positional]
    wanted = [k for k, p in enumerate(all_of_them) if p.name in searched or p.required]
    for parameter in all_of_them[: max(wanted, default=-1) + 1]:
        if parameter.name in searched:
            yield parameter.word
        else:
            value = given.get(parameter.name) or parameter.default
            yield shlex.quote(stand_in(parameter) if value is None else str(value))


def _option_words(option: str, value: str) -> Iterator[str]:
    if option.endswith("="):
        yield shlex.quote(f"{option}{value}")
    else:
        yield from (option, shlex.quote(value) if value != "{result_dir}" else value)


def _places(found: Findings) -> Iterator[str]:
    """`files` and `env` for the parameters that reach the script by them."""
    searched = [entry.parameter for entry in found.plan.searched]
    keys: dict[str, dict[str, str]] = {}
    for parameter in searched:
        if parameter.key:
            keys.setdefault(parameter.key[0], {})[parameter.key[1]] = parameter.name
    if keys:
        yield ""
        yield "files:  # keys of the trial's own copies, and the parameters that they get"
        for path, places in keys.items():
            yield f"  {scalar(path)}:"
            yield from (f"    {scalar(key)}: {scalar(name)}" for key, name in places.items())
    variables = {p.variable: f"{{{p.name}}}" for p in searched if p.variable}
    if found.python_path:
        variables["PYTHONPATH"] = "."
    if variables:
        yield ""
        yield "env:  # variables of the trial"
        yield from (f"  {scalar(name)}: {scalar(text)}" for name, text in variables.items())


def _tail(found: Findings) -> Iterator[str]:
    yield ""
    yield from _line("# metrics: {accuracy: maximize}", "shown beside the objective")
    if not found.python_path and not any(entry.parameter.variable for entry in found.plan.searched):
        yield from _line('# env: {OMP_NUM_THREADS: "1"}', "environment of the trials")
    if found.leftovers.found:
        yield "exclude:  # what earlier runs left in the folder, which trials do not get"
        for one in found.leftovers.found[:_MOST_MORE]:
            yield from _line(f"  - {scalar(one.pattern)}", str(Amount(one.files, one.size)))
    else:
        yield from _line('# exclude: [checkpoints/, "*.ckpt"]', "files that trials do not get")
    yield from _line("# data_dir: .", "the trials' DATA_DIR")


# -- lines -----------------------------------------------------------------------------------------------------------


def _line(text: str, comment: str) -> Iterable[str]:
    """A field with its comment behind it, or above it if the line is too long."""
    if len(text) + len(comment) + 3 <= COLUMNS:
        column = min(_COMMENT_COLUMN, COLUMNS - len(comment) - 3)
        return [f"{text:<{column}} # {comment}"]
    indent = text[: len(text) - len(text.lstrip())]
    return [*_wrapped(f"{comment[:1].upper()}{comment[1:]}:", indent), text]


def _wrapped(text: str, indent: str = "") -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(
        text, COLUMNS, initial_indent=start, subsequent_indent=start, break_on_hyphens=False, break_long_words=False
    )
