"""What an uploaded file is, by its content: clients name the part and the file as they like."""

from __future__ import annotations

from collections.abc import Callable

from hpo_engine.errors import SpecError
from hpo_engine.system.untar.headers import BLOCK, sum_fits

GZIP = b"\x1f\x8b"
_WANTED = "send a tar, plain or gzip (tar czf model.tgz -C FOLDER .), or a script"
_OTHERS = {
    b"PK\x03\x04": "a zip", b"BZh": "compressed with bzip2", b"\xfd7zXZ\x00": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd", b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"\x7fELF": "a program",
}  # fmt: skip


def kind_of(head: Callable[[int], bytes]) -> str:
    """ "tar" (plain or gzip) or "script".

    Args:
        head: gives the first bytes of the file.

    Raises:
        SpecError: it is something else.
    """
    start = head(BLOCK)
    for magic, called in _OTHERS.items():
        if start.startswith(magic):
            raise SpecError(
                f"the model is {called}; send a tar, plain or gzip (tar czf model.tgz -C FOLDER .), or a script"
            )
    if start.startswith(GZIP) or is_tar(start):
        return "tar"
    if b"\0" in start:
        raise SpecError("the model is neither a tar, plain or gzip, nor a script")
    return "script"


def is_tar(block: bytes) -> bool:
    """Whether a file's first 512 bytes are a tar header, or the zeros of an empty tar."""
    return len(block) == BLOCK and (not any(block) or block[257:262] == b"ustar" or sum_fits(block))
