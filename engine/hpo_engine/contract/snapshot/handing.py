"""Views for one trial after the other: a large folder that an ended trial has not touched is handed on to the next.

A view of thousands of files takes time to lay, and an inode a file. What no trial writes to need be laid only once for
each trial that runs at the same time: the ended trial keeps a link to the frozen folder in its place. A folder is
untouched if it and the copies in it are the very inodes that were laid, with the same status and change time, which no
trial can set back. What was laid is remembered by this process alone: a new engine hands on only what it laid itself.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress

from hpo_engine.contract.snapshot.view import Folder, View, lay_folder, link_to, open_result_dir, way_to
from hpo_engine.errors import LaunchError
from hpo_engine.failpoints import failpoint
from hpo_engine.system.files import open_folder

_EXCHANGE = 2  # RENAME_EXCHANGE, renameat2(2)
_KEPT = 15  # ended trials whose folders may be used, beside the last one: more than wait at a time
_Lay = Callable[[str], None]
_Mark = tuple[int, int]  # of a folder itself, and of the copies in it; hashes, as there may be many trials


class Views:
    """Lays views, and takes for them what trials that have ended left untouched.

    Args:
        view: None: of an empty folder; around: makes of what lays its small part something that lays more.
    """

    def __init__(self, view: View | None, around: Callable[[_Lay], _Lay] = lambda lay: lay) -> None:
        self._view, self._lay_small = view, around(self._put_small)
        folders = view.folders if view is not None else ()
        self._small = [folder for folder in folders if not folder.large]
        self._large = [folder for folder in folders if folder.large]
        self._marks: dict[str, dict[str, _Mark]] = {}  # RESULT_DIR -> large folder -> as laying left it
        self._ended: list[str] = []
        self._laid: set[str] = set()  # RESULT_DIRs that are whole already
        self._in_vain = False  # the last trial has written into all of them: better lay them ahead

    def begin(self, result_dir: str) -> None:
        """Does what can be done before the trial is due."""
        if self._view is None:
            return
        self._laid.discard(result_dir)
        self._marks.pop(result_dir, None)
        self._lay_small(result_dir)
        if self._in_vain:
            self._put_large(self._large, result_dir, {})
            self._laid.add(result_dir)

    def finish(self, result_dir: str) -> None:
        """Makes whole what `begin` has begun."""
        if self._view is None or not self._large:
            return
        if result_dir in self._laid:
            self._laid.remove(result_dir)
            return
        handed: dict[str, _Mark] = {}
        while self._ended and not handed:
            handed = self._hand_on(self._ended.pop(), result_dir)
            self._in_vain = not handed
        self._put_large([folder for folder in self._large if folder.name not in handed], result_dir, handed)

    def lay(self, result_dir: str) -> None:
        """Puts the whole view into a fresh RESULT_DIR. Raises as `View.lay`."""
        self.begin(result_dir)
        self.finish(result_dir)

    def carry_on(self, result_dir: str) -> None:
        """Takes a RESULT_DIR into use again: nothing of it is handed on, and what was, is laid there again."""
        self._marks.pop(result_dir, None)
        if result_dir in self._ended:
            self._ended.remove(result_dir)
        if self._view is None:
            return
        frozen, gone = way_to(self._view.frozen_dir, result_dir), set[str]()
        for folder in self._large:  # parents first
            parent = folder.name.rpartition("/")[0]
            if parent in gone or _leads_to(f"{result_dir}/{folder.name}") == link_to(folder.name, frozen):
                gone.add(folder.name)
        self._view.put([folder for folder in self._large if folder.name in gone], result_dir)

    def ended(self, result_dir: str) -> None:
        """No process writes there any more, and none will."""
        if result_dir in self._marks and (not self._in_vain or self._clean(result_dir)):
            self._in_vain = False
            self._ended.append(result_dir)
        else:
            self._marks.pop(result_dir, None)
        if len(self._ended) > _KEPT + 1:
            self._marks.pop(self._ended.pop(0), None)

    def _put_small(self, result_dir: str) -> None:
        if self._view is not None:
            self._view.put(self._small, result_dir)

    def _put_large(self, folders: list[Folder], result_dir: str, handed: dict[str, _Mark]) -> None:
        """Lays what was not handed on, and remembers how all of them are now: nothing of ours changes them later."""
        assert self._view is not None
        self._view.put(folders, result_dir)
        top = open_result_dir(result_dir)
        try:
            self._marks[result_dir] = handed | {folder.name: _mark(folder, top) for folder in folders}
        finally:
            os.close(top)

    def _hand_on(self, source: str, result_dir: str) -> dict[str, _Mark]:
        """Moves what the trial at `source` has left as it was; returns the folders that were moved, as they are now."""
        assert self._view is not None
        handed: dict[str, _Mark] = {}
        frozen = way_to(self._view.frozen_dir, source)
        into = open_result_dir(result_dir)
        try:
            clean = self._clean(source)
            marks = self._marks.pop(source, {})
            for folder in self._large if clean else ():
                name = folder.name
                if name.rpartition("/")[0] in handed:  # goes along
                    handed[name] = marks[name]
                elif name in clean and _move(folder, source, result_dir, link_to(name, frozen)):
                    # What moves gets another change time; what is in it keeps its own.
                    handed[name] = _status(name, into), marks[name][1]
                else:
                    lay_folder(into, name, folder.mode)  # others may be moved into it
        finally:
            os.close(into)
        return handed

    def _clean(self, source: str) -> set[str]:
        """The large folders there to which nothing was done, nor to anything in them."""
        marks = self._marks.get(source, {})
        try:
            top = open_result_dir(source)
        except (LaunchError, OSError):  # it was removed, or something else put there
            return set()
        try:
            clean = {folder.name for folder in self._large if _is_as_laid(folder, top, marks)}
        finally:
            os.close(top)
        for folder in reversed(self._large):
            if folder.name not in clean:
                clean.discard(folder.name.rpartition("/")[0])
        return clean


def _leads_to(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _is_as_laid(folder: Folder, top: int, marks: dict[str, _Mark]) -> bool:
    try:
        return marks.get(folder.name) == _mark(folder, top)
    except OSError:
        return False


def _mark(folder: Folder, top: int) -> _Mark:
    return _status(folder.name, top), hash(tuple([_status(copy.name, top) for copy in folder.copies]))


def _status(name: str, top: int) -> int:
    """All that `stat` tells but the time of the last reading.

    The change time tells what is done to a folder's names, modes, owners and attributes, and who sets other times back.
    The rest is for file systems whose clock stands still for some milliseconds.
    """
    seen = os.stat(name, dir_fd=top, follow_symlinks=False)
    return hash((seen[:7], seen.st_mtime_ns, seen.st_ctime_ns))  # mode, inode, device, links, owner, group, size


def _move(folder: Folder, source: str, result_dir: str, link: str) -> bool:
    """From one RESULT_DIR to the other, with a link in its place; False if that cannot be."""
    parent, _, name = folder.name.rpartition("/")
    fds: list[int] = []
    try:
        for place in (source, result_dir):
            fds.append(open_folder(os.path.dirname(place), f"{place}/{parent}".rstrip("/")))
        out, into = fds
        with suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=into)
        os.symlink(link, name, dir_fd=into)
        _exchange(name, out, into)
        failpoint("folder.handed")
        os.utime(name, ns=(folder.mtime_ns, folder.mtime_ns), dir_fd=into, follow_symlinks=False)
    except OSError:
        return False
    finally:
        for fd in fds:
            os.close(fd)
    return True


def _exchange(name: str, one: int, other: int) -> None:
    """What is called so in one folder is in the other one then: at once, so that no kill leaves either without.

    Raises:
        OSError: also where the kernel or the file system cannot do it.
    """
    import ctypes

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # glibc 2.28, musl 1.2.4
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    path = os.fsencode(name)
    if renameat2(one, path, other, path, _EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
