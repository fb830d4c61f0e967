"""The command line: arguments in, exit codes out. One function per verb, each in one of the modules beside this one.

Exit codes: 0 ok, 1 `check` found a problem, 2 bad input, 3 the study failed, 4 another engine runs it, 5 storage,
130 / 143 interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from hpo_engine.errors import EngineError, nearest
from hpo_engine.system.faults import described
from hpo_engine.text import streams
from hpo_engine.version import __version__

_STORAGE, _INTERNAL, _INTERRUPTED, _NO_READER = 5, 70, 130, 141
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_TOO_MANY = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_VERBS = {
    "submit": "runs", "check": "check", "plan": "plan", "list": "views", "show": "show", "best": "views",
    "explain": "explain",
    "report": "report", "logs": "output", "watch": "watcher", "stop": "ending", "resume": "runs", "retry": "runs",
    "edit": "edit", "replay": "replay", "enqueue": "enqueue", "cancel": "trials", "pause": "trials", "remove": "ending",
    "export": "views", "compare": "compare", "plot": "plot", "backtest": "backtest", "tensorboard": "machine",
    "init": "machine",
    "login": "login", "logout": "login", "algorithms": "algorithms", "schema": "machine", "doctor": "machine",
    "serve": "serve", "users": "users", "mcp": "mcp",
}  # fmt: skip

_HIDDEN = {"_engines": "hosting", "_check": "hosting"}  # for other parts of this package

_WHOLE = 1000  # letters; no sentence is longer


class _Verbs(click.Group):
    """Loads only the module of the verb that was named: `list` must not pay for `submit`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in {**_VERBS, **_HIDDEN} and not args[0].startswith("-"):
            ctx.fail(f'No such command "{args[0]}"{nearest(args[0], _VERBS)}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each verb with all of what it does; click cuts that at one line."""
        verbs = [(name, verb) for name in _VERBS if (verb := self.get_command(ctx, name)) is not None]
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.get_short_help_str(limit=_WHOLE)) for name, verb in verbs])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if (room := _VERBS.get(name) or _HIDDEN.get(name)) is None:
            return None
        module = import_module(f"hpo_engine.cli.{room}")
        verbs: tuple[click.Command, ...] = module.VERBS
        return next(verb for verb in verbs if verb.name == name)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hpo-engine")
@click.option("--debug", is_flag=True, help="Show tracebacks and a log on stderr.")
def cli(debug: bool) -> None:
    """Find good hyperparameters for a training script, in any language.

    Each trial is a run of the script, which gets its parameters as it always does; its metrics are read where it
    leaves them. Start with `hpo-engine init train.py`, then `hpo-engine check algo.yaml` and
    `hpo-engine submit algo.yaml`.
    """
    if debug:
        import logging

        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def main() -> None:
    """The console script."""
    streams.install()
    try:
        code = _run()
    except (Exception, KeyboardInterrupt) as error:
        code, complaint = _answer(error)
        if complaint and "--debug" in sys.argv and not isinstance(error, click.ClickException):
            raise
        _complain(complaint)
    if lost := streams.problem(sys.stdout):
        _complain(f"standard output: {lost.strerror}; lines of the display are lost, the study is not affected")
    _leave(code)


def _run() -> int:
    try:
        code = cli.main(standalone_mode=False, prog_name="hpo-engine")
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = 0
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _answer(error: BaseException) -> tuple[int, str]:
    """The exit code, and the message ("": none)."""
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return _INTERRUPTED, ""
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        return error.exit_code, error.format_message() + (f" (see {context.command_path} --help)" if context else "")
    if isinstance(error, EngineError):
        return error.exit_code, str(error)
    if isinstance(error, BrokenPipeError):
        return _NO_READER, ""  # nobody reads our output any more
    if isinstance(error, streams.OutputError):
        advice = "the output is not complete, but nothing else is lost: make room, then run the same command again"
        return _STORAGE, f"{error.filename}: {error.strerror}; {advice}"
    if isinstance(error, OSError):
        return _STORAGE, f"{' '.join(described(error).split())}{_advice(error)}"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "start new thread" in str(error)):
        return _STORAGE, f"{error or 'no memory'}; make room on the machine, then resume"
    from hpo_engine.plugins import raised

    whose = "a plugin failed" if raised.by_plugin(error) else "internal error"
    return _INTERNAL, f"{whose}: {raised.described(error)}; running trials continue; --debug shows the traceback"


def _advice(error: OSError) -> str:
    if error.errno in _TOO_MANY:
        return "; the machine has no room for more processes or files (see ulimit -a), make some, then resume"
    return "; free space or access is needed, then resume" if error.errno in _NO_ROOM else ""


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        streams.settle(stream)
    searcher_thread = sys.modules.get("hpo_engine.core.searcher_thread")
    if searcher_thread is not None and searcher_thread.thinking():
        # A searcher that is still computing in native code must not be torn down together with the interpreter.
        os._exit(code)
    sys.exit(code)


def _complain(text: str) -> None:
    from hpo_engine.cli.common import to_stderr

    with contextlib.suppress(OSError):  # nobody reads stderr either
        for line in text.splitlines():
            to_stderr(f"hpo-engine: {line}")
