"""A project on the disk, as readers of scripts see it."""

from __future__ import annotations

import os
from itertools import islice

_MOST_BYTES = 512 * 1024
_MOST_NAMES = 2000


class Folder:
    """The folder `root`. Files outside it, by `..` or by a link, are not read."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)

    def read(self, path: str) -> str | None:
        whole = self._inside(path)
        if whole is None or not os.path.isfile(whole):
            return None
        try:
            with open(whole, "rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError:
            return None
        return None if len(content) > _MOST_BYTES or b"\0" in content else content.decode(errors="replace")

    def list(self, folder: str) -> list[str]:
        whole = self._inside(folder)
        if whole is None:
            return []
        try:
            with os.scandir(whole) as entries:
                names = [f"{e.name}/" if e.is_dir() else e.name for e in islice(entries, _MOST_NAMES)]
        except OSError:
            return []
        return sorted(names)

    def _inside(self, path: str) -> str | None:
        if "\0" in path:
            return None
        whole = os.path.realpath(os.path.join(self._root, path))
        return whole if os.path.commonpath([self._root, whole]) == self._root else None
