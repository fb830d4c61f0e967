"""What the service bears: a real `hpo-engine serve` on loopback, with the client beside it on the same machine.

    python -m benchmarks.service [posts] [gets] [list] [kills] [shares] [browsers] [--short] [--json]

`posts`, `gets`: 1,000 connections, each asking again as soon as it has its answer. A POST is answered when it is on the
disk. `list`: one request for 1,000 studies. `kills`: 50 times kill -9 of the service under a load of submissions;
requests without an answer are sent again with their idempotency keys at the end. `shares`: 50 studies at once; the time
for which trials of each ran. `browsers`: a study of 10,000 trials whose engine works while 100 clients look once a
second. `--short`: a tenth of it and less, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
from pathlib import Path

from benchmarks.service.measures import MEASURES, SHORT, Rows, Size, measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measures", nargs="*", choices=[*MEASURES, []], help="all of them if none is named")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found: dict[str, Rows] = {}
    with tempfile.TemporaryDirectory(prefix="service-") as folder:
        for name in given.measures or MEASURES:
            found[name] = measured(name, Path(folder) / name, SHORT if given.short else Size())
            if not given.as_json:
                _print(found[name])
    if given.as_json:
        print(json.dumps({"cores": len(os.sched_getaffinity(0)), **found}))


def _print(rows: Rows) -> None:
    for what, value, aim in rows:
        print(f"{what:<85} {value:>14}  {aim}", flush=True)


if __name__ == "__main__":
    main()
