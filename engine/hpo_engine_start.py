"""Where the console script begins: a module of its own, so that no file of the user's can take this package's place.

PYTHONPATH is for the trials. A `random.py`, `json.py` or `hpo_engine.py` in its folders, or in the current one, must
hide neither the standard library from the engine nor the engine itself. So these folders are searched last here; the
environment is left alone, and a trial's program sees PYTHONPATH as it was set.
"""

import os
import sys


def main() -> None:
    """The console script."""
    users = ("", os.path.dirname(sys.argv[0]), *os.environ.get("PYTHONPATH", "").split(os.pathsep))
    last = {os.path.abspath(folder) for folder in users}
    sys.path.sort(key=lambda folder: os.path.abspath(folder) in last)  # a stable sort: all else keeps its order
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import hpo_engine  # noqa: F401  (the one beside this file)

    del sys.path[0]
    from hpo_engine.cli import main as run

    run()


if __name__ == "__main__":
    main()
