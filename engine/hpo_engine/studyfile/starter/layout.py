"""The text of the study file: what was found in a script, and what else could stand there, each with a comment."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hpo_engine.contract.paths import RESULT
from hpo_engine.studyfile.starter.interface import Parameter, Reading, Script
from hpo_engine.studyfile.starter.metrics import Metrics
from hpo_engine.studyfile.starter.ranges import propose
from hpo_engine.studyfile.starter.scalars import flow, scalar

_COMMENT_COLUMN = 52
_MOST_PARAMS = 40


@dataclass(frozen=True)
class Findings:
    """All that is known of a script. `place`: its path, relative to the study file."""

    place: str
    script: Script
    reading: Reading
    metrics: Metrics

    @property
    def placed(self) -> bool:
        """Whether the script gets its parameters elsewhere than from config.json."""
        return any(p.option or p.word or p.key or p.variable for p in self.reading.parameters)


def lines(found: Findings) -> Iterator[str]:
    yield from _head(found)
    yield from _space(found)
    yield from _tail()


def remarks(found: Findings) -> Iterator[str]:
    """What has to be done to the script, a sentence or two each."""
    yield from found.reading.notes
    if found.placed:
        yield (
            "the script seems to take its parameters as options of the command line: "
            f"{found.reading.form} in command writes those "
            "of space there. An option without a value, such as --amp, is written {amp?--amp}."
        )
    elif not found.reading.parameters and "config.json" not in found.script.text:
        yield (
            "the script does not seem to read config.json yet; until it does, or command has its parameters, as in "
            "--lr {learning_rate}, every trial is the same."
        )
    metrics, text = found.metrics, found.script.text
    if metrics.lightning and "ReportCallback" not in text and RESULT not in text:
        yield (
            "a Lightning script reports with callbacks=[ReportCallback()] in its Trainer "
            "(from hpo_trainees.lightning import ReportCallback)."
        )
    if metrics.batch_only:
        names = ", ".join(metrics.batch_only[:4])
        yield f"{names}: logged for single batches only; to report it for each epoch: self.log(..., on_epoch=True)."


def _head(found: Findings) -> Iterator[str]:
    metrics = found.metrics
    folder, command = _command(found)
    yield "# What to run, what to tune, how long to search. Start it with: hpo-engine submit algo.yaml"
    yield "# Each trial runs the command in a folder of its own, which looks like the script's folder."
    if metrics.printed:
        given = (
            "The command gives it its parameters" if found.placed else "It finds its parameters in config.json there"
        )
        yield f"# {given}, and its metrics are read in what it prints:"
        yield "# epoch 1: loss=0.3"
    elif found.placed:
        yield "# The command gives it its parameters. It writes its metrics to val_dict_list.json in its folder:"
    else:
        yield "# It finds its parameters in config.json there, and writes its metrics to val_dict_list.json:"
    if not metrics.printed:
        yield '# [{"step": 1, "loss": 0.3}]'
    if found.script.path.endswith(".py") and not found.placed and not metrics.printed:
        yield "# (from hpo_trainees.report import config, report does both; it is one file, which can be copied)."
    for remark in remarks(found):
        yield "#"
        yield from (f"# {line}" for line in textwrap.wrap(f"NOTE: {remark}", 110, break_on_hyphens=False))
    yield ""
    yield _line("# name: my-study", "default: the name of this folder")
    yield _line(f"command: {scalar(command)}", "runs one trial; split as a shell would, but no shell runs")
    if folder:
        yield _line(f"model_dir: {scalar(folder)}", "the script's folder")
    if metrics.printed:
        yield _line("results: stdout", "where its metrics are: in its output")
    yield "objective:"
    yield _line(f"  metric: {scalar(metrics.objective)}", _about_metric(metrics))
    yield _line(f"  goal: {metrics.goal}", "minimize or maximize")
    yield _line("  # over: last", "a trial counts by its last value, not its best")
    yield ""
    yield _line("algorithm: auto", "how to search; see: hpo-engine algorithms")
    yield _line("options: {seed: 1}", "the same seed proposes the same trials")
    yield _line("trials: 20", "in all; or unlimited, with a time_limit")
    yield _line("parallel: 1", "trials at a time")
    yield _line("# time_limit: 1h", "of the whole study: 90s, 10m, 1h30m, 2d")
    yield _line("# failures: {first: 3, in_a_row: 10}", "stops when so many trials fail alike; off: never")
    yield _line("# early_stopping: rank", "ends trials that are not promising while they run")
    yield ""
    yield _line("# trial:", "what one trial gets")
    yield _line("#   time_limit: 10m", "a run that takes longer is ended")
    yield _line("#   on_time_limit: keep", "what it has reported counts; default: it fails")
    yield _line("#   retries: 1", "a run that failed is repeated once")
    yield _line("#   cpus: 2", "cores; default: not managed")
    yield _line("#   gpus: 1", "0.5: two trials share one, 0: none; default: not managed")


def _space(found: Findings) -> Iterator[str]:
    yield ""
    form = found.reading.form
    yield _line(
        "space:",
        f"the parameters, which {form} writes" if found.placed else "the parameters, as config.json will hold them",
    )
    entries: dict[str, Any] = {}
    for parameter in found.reading.parameters[:_MOST_PARAMS]:
        entry, why = propose(parameter.name, parameter.default, parameter.type, list(parameter.choices) or None)
        entries[parameter.name] = _spelled(entry, parameter, form)
        yield _line(f"  {scalar(parameter.name)}: {flow(entries[parameter.name])}", why)
    if not entries:
        yield _line("  learning_rate: {float: [0.0001, 0.1], log: true}", "an example: put your own here")
    yield "  # Other kinds of parameters:"
    for name, example, why in (
        ("dropout", "{float: [0, 0.5], step: 0.05}", "0, 0.05, 0.1, ... 0.5"),
        ("width", "{power: 2, int: [5, 9]}", "32, 64, ... 512"),
        ("optimizer", "{choice: [adam, sgd]}", "one of these"),
        ("momentum", "{float: [0.5, 0.99], when: {optimizer: sgd}}", "only where optimizer is sgd"),
        ("epochs", "5", "the same in every trial"),
    ):
        conditional = name != "momentum" or "sgd" in _choices(entries.get("optimizer", {"choice": ["sgd"]}))
        if name not in entries and conditional:
            yield _line(f"  # {name}: {example}", why)


def _spelled(entry: Any, parameter: Parameter, form: str) -> Any:
    """The entry with the option's own name, if that differs from the one that `form` writes."""
    name = parameter.name.replace("_", "-") if form == "{params:-}" else parameter.name
    if not parameter.option or parameter.option == f"--{name}":
        return entry
    return {**(entry if isinstance(entry, dict) else {"constant": entry}), "arg": parameter.option}


def _choices(entry: Any) -> list[Any]:
    return list(entry.get("choice", ())) if isinstance(entry, dict) else []


def _tail() -> Iterator[str]:
    yield ""
    yield _line("# metrics: {accuracy: maximize}", "shown beside the objective")
    yield _line('# env: {OMP_NUM_THREADS: "1"}', "environment of the trials")
    yield _line('# exclude: [checkpoints/, "*.ckpt"]', "what of the script's folder trials do not get")
    yield _line("# data_dir: .", "the trials' DATA_DIR, relative to this file")


def _line(text: str, comment: str) -> str:
    return f"{text:<{_COMMENT_COLUMN}} # {comment}" if comment else text


def _command(found: Findings) -> tuple[str, str]:
    """(model_dir, "" for the file's own folder; command)."""
    path = os.path.normpath(found.place)
    folder = ""
    if os.path.isabs(path) or path.startswith(os.pardir + os.sep):
        folder, path = os.path.split(path)
    runner = {".py": "python", ".sh": "sh", ".js": "node", ".mjs": "node"}.get(os.path.splitext(path)[1])
    words = [runner, path] if runner else [path if os.sep in path else f"./{path}"]
    form = [found.reading.form] if found.reading.form else []
    return folder, " ".join([shlex.join([*words, *found.reading.words]), *form])


def _about_metric(metrics: Metrics) -> str:
    names = [n for n in metrics.names if n.isprintable() and len(n) <= 30][:6]
    if metrics.printed:
        return f"a name that the script prints{', as ' + ', '.join(names) if len(names) > 1 else ''}"
    if len(names) < 2:
        return "a key of the rows in val_dict_list.json"
    return f"a key of val_dict_list.json; the script has: {', '.join(names)}"
