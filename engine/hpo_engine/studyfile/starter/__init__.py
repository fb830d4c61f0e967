"""The commented study file that `hpo-engine init train.py` writes: a start that runs, and what else could stand there.

Works on the script's text alone: nothing is run, and no disk is looked at.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import textwrap
from collections.abc import Iterator
from typing import Any

from hpo_engine.contract.paths import RESULT
from hpo_engine.errors import SpecError
from hpo_engine.studyfile.starter.ranges import propose
from hpo_engine.studyfile.starter.scan import Guesses, scan

_MAXIMIZED = re.compile(r"(?i)acc|auc|f1|score|precision|recall|r2|reward|iou|dice|bleu|rouge|map\b|psnr|ssim")
_METRIC = re.compile(rf"(?i)loss|err|mse|mae|perplexity|nll|val_|{_MAXIMIZED.pattern[4:]}")
_LOSSES = ("val_loss", "valid_loss", "validation_loss", "test_loss", "loss")
_COMMENT_COLUMN = 52
_MOST_PARAMS = 40


def starter(script_path: str, text_of_script: str) -> str:
    """A study file for a script.

    Args:
        script_path: as seen from the folder that the file will be in.
        text_of_script: what stands in it.

    Raises:
        SpecError: the path is not text that a file can contain.
    """
    try:
        script_path.encode()
    except UnicodeEncodeError:
        raise SpecError("the script's name is not UTF-8 text; rename it") from None
    found = scan(script_path, text_of_script)
    params = _params(found, text_of_script)
    lines = [*_head(script_path, found, text_of_script, params), *_space(found, params), *_tail()]
    return "\n".join(lines) + "\n"


def _head(script_path: str, found: Guesses, text: str, params: str) -> Iterator[str]:
    folder, command = _command(script_path)
    metric = _metric(found)
    goal = "maximize" if _MAXIMIZED.search(metric) and "loss" not in metric.lower() else "minimize"
    yield "# What to run, what to tune, how long to search. Start it with: hpo-engine submit algo.yaml"
    yield "# Each trial runs the command in a folder of its own, which looks like the script's folder."
    if found.printed:
        given = "The command gives it its parameters" if params else "It finds its parameters in config.json there"
        yield f"# {given}, and its metrics are read in what it prints:"
        yield "# epoch 1: loss=0.3"
    elif params:
        yield "# The command gives it its parameters. It writes its metrics to val_dict_list.json in its folder:"
    else:
        yield "# It finds its parameters in config.json there, and writes its metrics to val_dict_list.json:"
    if not found.printed:
        yield '# [{"step": 1, "loss": 0.3}]'
    if script_path.endswith(".py") and not params and not found.printed:
        yield "# (from hpo_trainees.report import config, report does both; it is one file, which can be copied)."
    for remark in _remarks(found, text):
        yield "#"
        yield from (f"# {line}" for line in textwrap.wrap(f"NOTE: {remark}", 110, break_on_hyphens=False))
    yield ""
    yield _line("# name: my-study", "default: the name of this folder")
    yield _line(
        f"command: {_placing(_scalar(command), params)}", "runs one trial; split as a shell would, but no shell runs"
    )
    if folder:
        yield _line(f"model_dir: {_scalar(folder)}", "the script's folder")
    if found.printed:
        yield _line("results: stdout", "where its metrics are: in its output")
    yield "objective:"
    yield _line(f"  metric: {_scalar(metric)}", _about_metric(found))
    yield _line(f"  goal: {goal}", "minimize or maximize")
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


def remarks(script_path: str, text_of_script: str) -> list[str]:
    """What has to be done to the script, a sentence or two each: the file has them as NOTEs."""
    return list(_remarks(scan(script_path, text_of_script), text_of_script))


def _remarks(found: Guesses, text: str) -> Iterator[str]:
    if params := _params(found, text):
        yield (
            f"the script seems to take its parameters as options of the command line: {params} in command writes those "
            "of space there. An option without a value, such as --amp, is written {amp?--amp}."
        )
    elif not found.params and "config.json" not in text:
        yield (
            "the script does not seem to read config.json yet; until it does, or command has its parameters, as in "
            "--lr {learning_rate}, every trial is the same."
        )
    if found.lightning and "ReportCallback" not in text and RESULT not in text:
        yield (
            "a Lightning script reports with callbacks=[ReportCallback()] in its Trainer "
            "(from hpo_trainees.lightning import ReportCallback)."
        )
    if found.batch_only:
        names = ", ".join(found.batch_only[:4])
        yield f"{names}: logged for single batches only; to report it for each epoch: self.log(..., on_epoch=True)."


def _params(found: Guesses, text: str) -> str:
    """The placeholder that writes the parameters as the script's options; "" if it reads config.json."""
    if not found.options or "config.json" in text:
        return ""
    return "{params:-}" if any("-" in flag.lstrip("-") for flag in found.flags.values()) else "{params}"


def _placing(command: str, params: str) -> str:
    """The command, a scalar of YAML, with the placeholder as its last word."""
    quote = '"' if command.startswith('"') else ""
    return f"{command.removesuffix(quote)} {params}{quote}" if params else command


def _spelled(entry: Any, name: str, flag: str, params: str) -> Any:
    """The entry with the option's own name, if that differs from the one that `params` writes."""
    if not params or flag == f"--{name.replace('_', '-') if params == '{params:-}' else name}":
        return entry
    return {**(entry if isinstance(entry, dict) else {"constant": entry}), "arg": flag}


def _space(found: Guesses, params: str) -> Iterator[str]:
    yield ""
    yield _line(
        "space:",
        f"the parameters, which {params} writes" if params else "the parameters, as config.json will hold them",
    )
    entries = {}
    for name in list(found.params)[:_MOST_PARAMS]:
        entries[name], why = propose(name, found.params[name], found.types.get(name), found.choices.get(name))
        entries[name] = _spelled(entries[name], name, found.flags.get(name, f"--{name}"), params)
        yield _line(f"  {_scalar(name)}: {_entry(entries[name])}", why)
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


def _command(script_path: str) -> tuple[str, str]:
    """(model_dir, "" for the file's own folder; command)."""
    path = os.path.normpath(script_path)
    folder = ""
    if os.path.isabs(path) or path.startswith(os.pardir + os.sep):
        folder, path = os.path.split(path)
    runner = {".py": "python", ".sh": "sh", ".js": "node", ".mjs": "node"}.get(os.path.splitext(path)[1])
    words = [runner, path] if runner else [path if os.sep in path else f"./{path}"]
    return folder, shlex.join(words)


def _metric(found: Guesses) -> str:
    names = found.metrics
    for wanted in _LOSSES:
        if wanted in names:
            return wanted
    likely = [n for n in names if _METRIC.search(n)]
    return next(iter(likely or names), "loss")


def _about_metric(found: Guesses) -> str:
    names = [n for n in found.metrics if n.isprintable() and len(n) <= 30][:6]
    if found.printed:
        return f"a name that the script prints{', as ' + ', '.join(names) if len(names) > 1 else ''}"
    if len(names) < 2:
        return "a key of the rows in val_dict_list.json"
    return f"a key of val_dict_list.json; the script has: {', '.join(names)}"


# -- YAML ----------------------------------------------------------------------------------------------------------

_PLAIN = re.compile(
    r"(?!(?i:null|true|false|yes|no|on|off|y|n|\.nan|\.inf)$)[A-Za-z_./][A-Za-z0-9_./]*(?:[ -]+[A-Za-z0-9_./-]+)*"
)


def _scalar(value: Any) -> str:
    """A scalar as YAML, in quotes where a person or YAML 1.1 could read something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and not re.fullmatch(r"[.0-9eE]+", value):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def _entry(entry: Any) -> str:
    if isinstance(entry, dict):
        return "{" + ", ".join(f"{key}: {_entry(value)}" for key, value in entry.items()) + "}"
    if isinstance(entry, list):
        return "[" + ", ".join(_entry(value) for value in entry) + "]"
    return _scalar(entry)
