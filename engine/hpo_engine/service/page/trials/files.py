"""The files that a trial has left in RESULT_DIR, each under an id made here: no path comes from a browser."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse

from hpo_engine.contract.paths import TrialPaths
from hpo_engine.errors import ContractError, StudyNotFound
from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.page.rendering import HEADERS, PageRoute, segment
from hpo_engine.service.page.trials.finding import found
from hpo_engine.system.files import open_file, open_folder
from hpo_engine.text.tables import safe_text

router = APIRouter(route_class=PageRoute)
MOST_FILES, _DEEP = 500, 12
_LARGEST = 1 << 50
_CHUNK = 1 << 20


class Listed(NamedTuple):
    """A regular file below RESULT_DIR. `path` is relative to it; times are UTC seconds, `size` in bytes."""

    id: str
    path: str
    size: int
    changed_at: float


def listed(paths: TrialPaths, most: int = MOST_FILES) -> list[Listed]:
    """The files of a trial by their paths, at most `most` of them; links, pipes and devices are left out."""
    try:
        root = open_folder(paths.study.root, paths.result_dir)
    except OSError:
        return []
    try:
        found = []
        for one in _below(root, "", 0):
            found.append(one)
            if len(found) >= most:
                break
    finally:
        os.close(root)
    return sorted(found, key=lambda one: (one.path.count("/"), one.path))


def _below(folder: int, prefix: str, depth: int) -> Iterator[Listed]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        try:
            at = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(at.st_mode):
                path = prefix + name
                digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
                yield Listed(digest, path, at.st_size, at.st_mtime)
            elif stat.S_ISDIR(at.st_mode) and depth < _DEEP:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                try:
                    yield from _below(inner, f"{prefix}{name}/", depth + 1)
                finally:
                    os.close(inner)
        except OSError:  # it went while we looked
            continue


@router.get("/studies/{name}/trials/{number:int}/files/{file_id}")
def file(
    name: str,
    number: int,
    file_id: str,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
) -> Response:
    """One of the listed files, to be saved: nothing that a script wrote is shown as a page."""
    study = found(desk, caller, name)
    study.trial(number)
    paths = study.paths.trial(number)
    one = next((each for each in listed(paths) if each.id == file_id), None)
    if one is None:
        raise StudyNotFound(f"trial {number} has no such file (any more)")
    folder, _, last = f"{paths.result_dir}/{one.path}".rpartition("/")
    try:
        inner = open_folder(paths.study.root, folder)
        try:
            fd, at = open_file(inner, last, _LARGEST)
        finally:
            os.close(inner)
    except (OSError, ContractError):
        raise StudyNotFound(f"{safe_text(one.path)} cannot be read") from None
    headers = {
        **HEADERS, "Content-Disposition": f"attachment; filename*=UTF-8''{segment(safe_text(last))}",
        "Content-Length": str(at.st_size),
    }  # fmt: skip
    return StreamingResponse(_content(fd, at.st_size), headers=headers, media_type="application/octet-stream")


def _content(fd: int, size: int) -> Iterator[bytes]:
    """As many bytes as were announced: the file may grow meanwhile."""
    with os.fdopen(fd, "rb") as content:
        while size and (data := content.read(min(_CHUNK, size))):
            size -= len(data)
            yield data
