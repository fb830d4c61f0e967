"""Whether a file was written to its end, by what its own format says. Of formats that do not say, every file is.

What a training that is killed while it writes leaves cannot be loaded: the one before that is the one to go on from.
"""

from __future__ import annotations

import os
from collections.abc import Callable

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ZIP, _ZIP_END, _ZIP_END_MOST = b"PK\x03\x04", b"PK\x05\x06", 22 + 65_535  # of torch.save, .keras, .npz
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MOST_HEADER = 100 << 20  # bytes, of safetensors; its own limit


def is_whole(path: str, size: int) -> bool:
    """False: it is empty or cut off, or cannot be read. `size`: of the file in bytes."""
    if not size:
        return False
    try:
        fd = os.open(path, _READ)
    except OSError:
        return False
    try:
        head = os.pread(fd, 64, 0)
        return all(check(fd, head, size, path) for check in _CHECKS)
    except OSError:
        return False
    finally:
        os.close(fd)


def _zip(fd: int, head: bytes, size: int, path: str) -> bool:
    """The directory of an archive comes last."""
    if not head.startswith(_ZIP):
        return True
    start = max(0, size - _ZIP_END_MOST)
    return _ZIP_END in os.pread(fd, size - start, start)


def _hdf5(fd: int, head: bytes, size: int, path: str) -> bool:
    """The superblock says where the file ends: versions 2 and 3 at byte 28, versions 0 and 1 (with a few bytes more in
    the latter) at byte 40 or 44; addresses of any other size are left alone."""
    if not head.startswith(_HDF5) or len(head) < 64:
        return True
    version = head[8]
    at, width = {0: (40, head[13]), 1: (44, head[13]), 2: (28, head[9]), 3: (28, head[9])}.get(version, (0, 0))
    return width != 8 or int.from_bytes(head[at : at + 8], "little") <= size


def _safetensors(fd: int, head: bytes, size: int, path: str) -> bool:
    """The header, JSON after its own length in 8 bytes, says where each tensor ends, counted from the header's end."""
    if not path.endswith(".safetensors"):
        return True
    import json

    length = int.from_bytes(head[:8], "little")
    if len(head) < 8 or length > min(size - 8, _MOST_HEADER):
        return False
    try:
        tensors = json.loads(os.pread(fd, length, 8))
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
        return 8 + length + max(ends, default=0) <= size
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


_CHECKS: tuple[Callable[[int, bytes, int, str], bool], ...] = (_zip, _hdf5, _safetensors)
