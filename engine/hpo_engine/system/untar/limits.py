"""What a tar may hold, and the error of one that holds something else."""

from __future__ import annotations

from typing import NamedTuple


class BadTar(Exception):
    """The tar is refused: one line that names the member. `large`: because of its size."""

    def __init__(self, text: str, *, large: bool = False) -> None:
        self.large = large
        super().__init__(text)


class TarLimits(NamedTuple):
    """Sizes in bytes: `unpacked` counts the contents of all files, `meta` one header's further fields.

    `members` counts files and folders, `depth` the parts of a name, `path` and `component` the bytes of a name and of
    each part of it. `ratio`: how many times its size a compressed tar may expand to, once that is more than `free`.
    """

    unpacked: int = 1 << 30
    members: int = 10_000
    depth: int = 32
    path: int = 1024
    component: int = 255
    ratio: int = 200
    free: int = 16 << 20
    meta: int = 1 << 20
