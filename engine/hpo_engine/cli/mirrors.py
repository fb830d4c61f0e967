"""Copies of studies at a server, which the verbs that read take for studies here."""

from __future__ import annotations

import atexit
import contextlib
import os
from typing import TYPE_CHECKING

import click

from hpo_engine.client.connection import Connection, ServerAway, part
from hpo_engine.client.mirror import Mirror, MirrorPaths, cache_folder
from hpo_engine.client.servers import found_server
from hpo_engine.errors import EngineError, StudyNotFound
from hpo_engine.text.tables import safe_text

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths


def connected(name: str) -> Connection:
    """The server of that address, or host. Raises SpecError."""
    return Connection(found_server(name, os.environ), again=_away)


def mirrored(server: str, study: str) -> MirrorPaths:
    """A copy of a study at a server, as it stands now. Raises StudyNotFound, and what a `Connection` raises."""
    return begun(mirror_of(connected(server), study)).paths


def mirror_of(connection: Connection, study: str) -> Mirror:
    """A copy of a study, up to date; removed in part when this process ends."""
    if os.sep in study:
        raise StudyNotFound(f'no study "{study}" at {connection.server.url}: name a study there, not a folder')
    mirror = Mirror(connection, study, cache_folder(os.environ))
    atexit.register(mirror.close)
    mirror.sync()
    return mirror


def begun(mirror: Mirror) -> Mirror:
    """Raises EngineError if the study waits for its turn, and there is nothing of it to see."""
    if not mirror.begun:
        raise EngineError(f"{mirror.study} is {mirror.state}: it has not begun yet; hpo-engine watch {mirror.study}")
    return mirror


def of(paths: StudyPaths) -> Mirror:
    """The copy that these paths belong to."""
    assert isinstance(paths, MirrorPaths)
    return paths.mirror


def refresh(paths: StudyPaths) -> None:
    """Brings the copy up to date, unless the server is away just now."""
    with contextlib.suppress(ServerAway):
        of(paths).sync()


def result_files(paths: StudyPaths, trial: int) -> frozenset[str]:
    """The names of the files in a trial's RESULT_DIR."""
    mirror = of(paths)
    found = mirror.connection.get(f"/studies/{part(mirror.study)}/trials/{trial}/files").json()
    return frozenset(each["name"] for each in found["files"] if not each["name"].startswith("logs/"))


def fetch_output(paths: StudyPaths, trial: int) -> None:
    """Brings what a trial has printed up to date, unless the server is away just now."""
    with contextlib.suppress(ServerAway):
        of(paths).fetch_output(trial)


def _away(text: str) -> None:
    click.echo(safe_text(f"hpo-engine: {text}; trying again"), err=True)
