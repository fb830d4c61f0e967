"""Views for one trial after the other: a large folder that an ended trial has not touched is handed on to the next.

A view of thousands of files takes time to lay, and an inode a file. What no trial writes to need be laid only once for
each trial that runs at the same time: the ended trial keeps a link to the frozen folder in its place. Whether a folder
was written to is known by its time, which laying has set; so are the copies in it. Nothing here is remembered but which
trials have ended: after a crash the next views are laid as the first ones were.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from engine.errors import LaunchError
from engine.failpoints import failpoint
from engine.files import open_folder
from engine.model.view import Folder, View, lay_folder, link_to, open_result_dir, way_to

_EXCHANGE = 2  # RENAME_EXCHANGE, renameat2(2)
_KEPT = 15  # ended trials whose folders may be used, beside the last one: more than wait at a time
_Lay = Callable[[str], None]


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
        self._ended: list[str] = []
        self._laid: set[str] = set()  # RESULT_DIRs that are whole already
        self._in_vain = False  # the last trial has written into all of them: better lay them ahead

    def begin(self, result_dir: str) -> None:
        """Does what can be done before the trial is due."""
        if self._view is None:
            return
        self._laid.discard(result_dir)
        self._lay_small(result_dir)
        if self._in_vain:
            self._view.put(self._large, result_dir)
            self._laid.add(result_dir)

    def finish(self, result_dir: str) -> None:
        """Makes whole what `begin` has begun."""
        if self._view is None or not self._large:
            return
        if result_dir in self._laid:
            self._laid.remove(result_dir)
            return
        left = self._large
        while self._ended and len(left) == len(self._large):
            left = self._hand_on(self._ended.pop(), result_dir)
            self._in_vain = len(left) == len(self._large)
        self._view.put(left, result_dir)

    def lay(self, result_dir: str) -> None:
        """Puts the whole view into a fresh RESULT_DIR. Raises as `View.lay`."""
        self.begin(result_dir)
        self.finish(result_dir)

    def ended(self, result_dir: str) -> None:
        """No process writes there any more, and none will."""
        if self._large and (not self._in_vain or self._clean(result_dir)):
            self._in_vain = False
            self._ended = [*self._ended[-_KEPT:], result_dir]

    def _put_small(self, result_dir: str) -> None:
        if self._view is not None:
            self._view.put(self._small, result_dir)

    def _hand_on(self, source: str, result_dir: str) -> list[Folder]:
        """Moves what the trial at `source` has left as it was; returns the folders that have to be laid."""
        assert self._view is not None
        handed, left = set[str](), list[Folder]()
        frozen = way_to(self._view.frozen_dir, source)
        into = open_result_dir(result_dir)
        try:
            clean = self._clean(source)
            for folder in self._large if clean else ():
                goes_along = folder.name.rpartition("/")[0] in handed
                link = link_to(folder.name, frozen)
                if goes_along or (folder.name in clean and _move(folder, source, result_dir, link)):
                    handed.add(folder.name)
                else:
                    left.append(folder)
                    lay_folder(into, folder.name, folder.mode)  # others may be moved into it
        finally:
            os.close(into)
        return left if clean else self._large

    def _clean(self, source: str) -> set[str]:
        """The large folders there in which nothing was written, made or removed, nor in any below."""
        try:
            top = open_result_dir(source)
        except (LaunchError, OSError):  # it was removed, or something else put there
            return set()
        try:
            clean = {folder.name for folder in self._large if _is_as_laid(folder, top)}
        finally:
            os.close(top)
        for folder in reversed(self._large):
            if folder.name not in clean:
                clean.discard(folder.name.rpartition("/")[0])
        return clean


def _is_as_laid(folder: Folder, top: int) -> bool:
    try:
        seen = os.stat(folder.name, dir_fd=top, follow_symlinks=False)
        if not stat.S_ISDIR(seen.st_mode) or seen.st_mtime_ns != folder.mtime_ns:
            return False
        for copy in folder.copies:
            seen = os.stat(copy.name, dir_fd=top, follow_symlinks=False)
            same = (copy.mtime_ns, len(copy.data), stat.S_IFREG | copy.mode, 1)
            if (seen.st_mtime_ns, seen.st_size, seen.st_mode, seen.st_nlink) != same:
                return False
    except OSError:
        return False
    return True


def _move(folder: Folder, source: str, result_dir: str, link: str) -> bool:
    """From one RESULT_DIR to the other, with a link in its place; False where that cannot be."""
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
