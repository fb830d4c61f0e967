"""The process that reads tars of strangers: `python -I -m hpo_engine.system.untar.child`.

Gets one JSON object per line, `{"tar": path, "into": folder or null, "script": name, "limits": [...], "cpu_s": n}`, and
answers each with one: `{"contents": [...]}`, or `{"bad": text, "large": bool}`, or `{"errno": n, "text": ...}`. Ends
when its input does. It may use only so much memory and processor time, and write no file larger than the limits.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any

from hpo_engine.system.untar.limits import BadTar, TarLimits
from hpo_engine.system.untar.writing import check, write

_MEMORY = 512 << 20  # bytes of address space
_FILES = 64


def main() -> None:
    """The process's whole life."""
    os.umask(0o022)
    for kind, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_NOFILE, _FILES), (resource.RLIMIT_CORE, 0)):
        _limit(kind, most)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    limits = TarLimits(*job["limits"])
    _limit(resource.RLIMIT_FSIZE, limits.unpacked)
    _limit(resource.RLIMIT_CPU, int(time.process_time() + job["cpu_s"]) + 1)  # the kernel counts whole seconds
    try:
        fd = os.open(job["tar"], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            contents = check(fd, job["script"], limits)
            if job["into"] is not None:
                write(fd, job["into"], contents.top, limits)
        finally:
            os.close(fd)
    except BadTar as error:
        return {"bad": str(error), "large": error.large}
    except MemoryError:
        return {"bad": "the tar takes too much memory to read", "large": True}
    except OSError as error:
        return {"errno": error.errno, "text": error.strerror}
    return {"contents": contents}


def _limit(kind: int, most: int) -> None:
    """Sets the soft limit, as far as the hard one permits."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    main()
