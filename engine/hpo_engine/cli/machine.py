"""Verbs that need no study, and the one that starts TensorBoard: init, schema, doctor, tensorboard."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import textwrap
from typing import Any

import click

from hpo_engine.cli.common import find as find_study
from hpo_engine.cli.common import json_option, output_width, root_option, study_argument, to_stdout
from hpo_engine.errors import EngineError, SpecError
from hpo_engine.reports.objects import dump
from hpo_engine.text.tables import next_lines

_LEAST_NOTE = 30  # columns for the notes of doctor, however narrow the terminal is


@click.command()
@click.argument("script", type=click.Path())
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS...]")
@click.option(
    "--output",
    "-o",
    default=None,
    metavar="FILE",
    help="File to write; - is stdout [algo.yaml in the folder that the trials run in].",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
def init(script: str, arguments: tuple[str, ...], output: str | None, force: bool) -> None:
    """Write a commented study file for SCRIPT.

    It is read, never run: the parameters that it takes from its command line, a configuration or its constants, and the
    metrics that it reports. Trials run in the project's folder if the script needs it or is run from there.

    ARGUMENTS are those of a usual run, as in: hpo-engine init train.py -- --config conf/base.yaml --epochs 20. Those
    that become parameters are the middle of their ranges; the others stay in the command.
    """
    from hpo_engine.studyfile.starter import look, starter
    from hpo_engine.studyfile.starter.report import summary

    if not os.path.isfile(script):
        raise SpecError(f"{script}: no such file")
    home = None if output is None else "" if output == "-" else os.path.dirname(output)
    found, root = look(script, arguments, home)
    text = starter(found)
    if output == "-":
        click.echo(text, nl=False)
        return
    path = output or os.path.relpath(os.path.join(root.folder, "algo.yaml"))
    if os.path.exists(path) and not force:
        raise SpecError(f"{path} exists; --force replaces it, --output FILE writes another file")
    try:
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        error.filename = os.path.abspath(path)
        raise
    to_stdout(f"wrote {path}")
    for line in summary(found, output_width()):
        to_stdout(line)
    if root.why:
        where = "this folder" if os.path.samefile(root.folder, ".") else os.path.relpath(root.folder)
        to_stdout(f"note: trials run from {where}, as {root.why}")
    for remark in found.remarks:
        to_stdout(f"note: {remark}")
    named = shlex.quote(path)
    steps = (
        (f"hpo-engine check {named}", "a few short trials: does all arrive?"),
        (f"hpo-engine submit {named}", "the study"),
    )
    for line in next_lines(steps, output_width() or 80):
        to_stdout(line)


@click.command()
@click.option("--output", metavar="VERB", help="Of what VERB prints with --json (watch: with --jsonl) instead.")
def schema(output: str | None) -> None:
    """Print the JSON Schema of the study file, for editors; or of a verb's output, for programs.

    Each output has a version of its own, in `$id`. It rises when a field goes or changes its meaning; new fields may
    come at any time.
    """
    if output is not None:
        from hpo_engine.errors import SpecError, nearest
        from hpo_engine.reports.outputs import OUTPUTS, schema_of

        if output not in OUTPUTS:
            raise SpecError(f'--output "{output}": no verb of that name prints JSON{nearest(output, OUTPUTS)}')
        click.echo(json.dumps(schema_of(output), indent=2))
        return
    from hpo_engine.studyfile.native import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Show what this machine offers to trials, and what is missing.

    (A study and its script are tried by `check`.)
    """
    facts = _facts()
    if as_json:
        click.echo(dump({name: {"value": value, "note": note} for name, value, note in facts}))
        return
    from hpo_engine.text.tables import table

    rows = [[name, _say(value), note] for name, value, note in facts]
    click.echo(table(["WHAT", "HERE", "NOTE"], _fitted(rows, output_width())))


@click.command()
@study_argument
@root_option
@click.option("--port", default=6006, show_default=True, type=click.IntRange(0, 65535))
@click.option("--host", default="127.0.0.1", show_default=True)
def tensorboard(study: str, root: str | None, port: int, host: str) -> None:
    """Start TensorBoard on STUDY's trials, and on what their scripts write into event files."""
    from importlib.util import find_spec

    from hpo_engine.store.journal import read_summary

    paths = find_study(study, root)
    read_summary(paths.db)  # a log that the other verbs refuse is refused
    if find_spec("tensorboard") is None:
        raise EngineError("TensorBoard is not installed in this environment; pip install tensorboard")
    argv = [sys.executable, "-c", _SERVE, paths.root, "--port", str(port), "--host", host]
    sys.stdout.flush()
    os.execv(sys.executable, argv)


_SERVE = """\
import sys
del sys.path[0]  # nothing of the current folder's
from hpo_engine.trackers.logdir import follow
from tensorboard.main import run_main
sys.argv += ["--logdir", follow(sys.argv.pop(1))]
run_main()
"""
VERBS = (init, schema, doctor, tensorboard)


def _facts() -> list[tuple[str, Any, str]]:
    import sqlite3

    from hpo_engine.executors.devices import count_cores, find_gpus
    from hpo_engine.executors.ledger import described
    from hpo_engine.executors.local.processes import can_protect, proc_problem

    gpus = find_gpus(os.environ)
    cgroup, problem = _writable_cgroup(), proc_problem()
    old_sqlite = "works; the WAL bug that 3.51.3 fixes needs two writers, and a study has one"
    return [
        ("python", sys.version.split()[0], sys.executable),
        ("cores", count_cores(), f"{os.cpu_count()} in the machine"),
        ("memory", _memory(), ""),
        ("gpus", list(gpus), "" if gpus else "none found: no nvidia-smi, and CUDA_VISIBLE_DEVICES names none"),
        ("ledger", *described(os.environ)),
        ("disk", f"{shutil.disk_usage(os.getcwd()).free / 2**30:.0f} GiB free", os.getcwd()),
        ("sqlite", sqlite3.sqlite_version, "" if sqlite3.sqlite_version_info >= (3, 51, 3) else old_sqlite),
        ("/proc", "mounted" if not problem else "unusable", problem),
        ("pidfd", hasattr(os, "pidfd_open"), "a signal cannot reach another process that has got the same process id"),
        ("process tree", "subreaper", "all processes that a trial starts are ended with it"),
        ("cgroup2", cgroup or "not writable", "not needed: trials are ended without cgroups"),
        ("read-only links", can_protect(), "trials cannot write to big files that they share"),
        *((f"package {name}", _version(name) or "missing", hint) for name, hint in _PACKAGES),
    ]  # fmt: skip


def _fitted(rows: list[list[str]], width: int | None) -> list[list[str]]:
    """The rows with notes broken between words, so that they fit into `width` columns (None: no limit)."""
    if width is None:
        return rows
    room = max(_LEAST_NOTE, width - 2 - sum(max(len(row[i]) for row in rows) + 2 for i in (0, 1)) + 2)
    out: list[list[str]] = []
    for name, value, note in rows:
        first, *rest = textwrap.wrap(note, room, break_long_words=False, break_on_hyphens=False) or [""]
        out += [[name, value, first], *(["", "", line] for line in rest)]
    return out


_PACKAGES = (
    ("torch", "for hpo_trainees.lightning and the digits example"),
    ("lightning", "for hpo_trainees.lightning and the digits example"),
    ("tensorboard", "for hpo-engine tensorboard"),
)


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _writable_cgroup() -> str | None:
    """The cgroup2 folder of this process, if it may make children there."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = next(line.strip()[3:] for line in file if line.startswith("0::"))
        with open("/proc/self/mounts", encoding="utf-8") as file:
            mount = next(line.split()[1] for line in file if line.split()[2] == "cgroup2")
    except (OSError, StopIteration, IndexError):
        return None
    path = mount + own
    return path if os.access(path, os.W_OK) else None


def _say(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value)
