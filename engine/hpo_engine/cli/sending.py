"""`submit --server`: the study file and its folder, on their way to a server."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from hpo_engine.cli.common import note, to_stderr
from hpo_engine.client.packing import Package, form, packed
from hpo_engine.text.tables import counted, size_text

if TYPE_CHECKING:
    from hpo_engine.client.connection import Connection
    from hpo_engine.study.spec import StudySpec

_BAR_BYTES = 1 << 20  # a progress bar is for more than that


def send(
    connection: Connection,
    file: str,
    spec: StudySpec,
    given: Mapping[str, int | None],
    seed: int | None,
    *,
    quiet: bool,
) -> None:
    """Submits a study. When it returns, the server does not lose it any more, and has it once.

    Args:
        spec: what the file says, with `given` (limits) and `seed` from the command line.

    Raises:
        SpecError: the server refuses it, or its folder cannot be sent. StudyExists. ServerAway.
    """
    from hpo_engine import assembly
    from hpo_engine.contract.paths import runs_root

    stale = assembly.metric_files(spec)
    package = packed(spec.model_dir, excluded=[runs_root(None, os.environ)], stale=stale, patterns=spec.exclude)
    for text in package.notes:
        note(text)
    if not quiet:
        what = f"{counted(len(package.files), 'file')}, {size_text(package.size)}"
        to_stderr(f"hpo-engine: sends {spec.model_dir} ({what}) to {connection.server.url}")
    _post(connection, file, text_of(file, spec, given, seed), package, bar=not quiet and sys.stderr.isatty())


def _post(connection: Connection, file: str, text: str, package: Package, *, bar: bool) -> None:
    from hpo_engine.errors import SpecError

    headers = {"Idempotency-Key": secrets.token_hex(16)}  # sent again after a lost answer, it is the same study
    with click.progressbar(
        length=package.size, label="sent", file=sys.stderr, hidden=not (bar and package.size > _BAR_BYTES)
    ) as shown:
        try:
            connection.request(
                "POST", "/studies", body=form(text, package, shown.update), headers=headers, safe=True, patience_s=600.0
            )
        except SpecError as error:
            raise SpecError(error.problems, file) from None


def text_of(file: str, spec: StudySpec, given: Mapping[str, int | None], seed: int | None) -> str:
    """The study file as it is sent: with the study's name in it, the limits from the command line, and without
    `model_dir`, which is the folder that is sent with it."""
    from hpo_engine.client.texts import sent_text
    from hpo_engine.studyfile import document

    return sent_text(document.read_text(file), file, spec, given, seed)
