"""What an upload may be like, and how one is refused that is not."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_engine.errors import SpecError

MiB = 1 << 20


class TooLarge(SpecError):
    """An upload that is larger than the limits, or would be once it is unpacked. REST: 413."""


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes; `body` counts the whole request, `model` one uploaded file as it is sent.

    Of a tar: `unpacked` counts the contents of its files, `members` its entries, `depth` the folders in a name, `path`
    and `component` the bytes of a name and of each part of it. `ratio`: how many times its size a compressed tar may
    expand to, once it has expanded to more than `free`.
    """

    body: int = 1025 * MiB
    model: int = 1024 * MiB
    text: int = 1 * MiB
    parts: int = 32
    headers: int = 8
    header: int = 4096
    unpacked: int = 1024 * MiB
    members: int = 10_000
    depth: int = 32
    path: int = 1024
    component: int = 255
    ratio: int = 200
    free: int = 16 * MiB


def size_text(count: int) -> str:
    """A size for a message: "1.5 MiB"."""
    if count < 1024:
        return f"{count} bytes"
    amount, units = count / 1024, iter(("KiB", "MiB", "GiB"))
    unit = next(units)
    while amount >= 1024 and unit != "GiB":
        amount, unit = amount / 1024, next(units)
    return f"{amount:.4g} {unit}"
