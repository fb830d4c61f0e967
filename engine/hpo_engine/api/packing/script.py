"""Writes the script that runs a packed function, and what it reads."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any

from hpo_engine.api.packing.calling import Calling
from hpo_engine.api.packing.fingerprint import fingerprint
from hpo_engine.api.packing.pickling import pack
from hpo_engine.contract.paths import OWN_SCRIPT, is_below

SCRIPT, PICKLE, DATA, MANIFEST = OWN_SCRIPT

_TEXT = '''"""{title}, a Python function, as a training script. Written by hpo_engine.tune.

What the function imports is imported here, so that it is done once for all trials.
"""

import os
import sys

{paths}
{imports}
import cloudpickle

from hpo_trainees import function

function.main(__file__, globals(), run=__name__ == "__main__")
'''


_ALWAYS = ("__main__", "__mp_main__", "builtins", "cloudpickle", "hpo_trainees")


def write_script(
    folder: str, called: Callable[..., Any], title: str, calling: Calling, objectives: Sequence[str], model_dir: str
) -> None:
    """Writes the script of a function into `folder`.

    Args:
        title: the function's name; objectives: the metrics of the study, which a returned number counts as.
        model_dir: what trials have a view of; modules from there are imported from that view.

    Raises:
        SpecError: the function cannot be pickled.
    """
    with open(f"{folder}/{DATA}", "wb") as data:
        packed = pack(called, title, data)
    manifest = {
        "function": title,
        "by": calling.by,
        "objectives": list(objectives),
        "buffers": packed.buffers,
        "sources": packed.sources,
        "fingerprint": fingerprint(called),
    }
    modules = _importable(packed.modules)
    with open(f"{folder}/{PICKLE}", "wb") as pickle:
        pickle.write(packed.text)
    with open(f"{folder}/{MANIFEST}", "w", encoding="utf-8") as file:
        json.dump(manifest, file)
    paths = "\n".join(_appended(path, model_dir) for path in _search_path(modules))
    imports = "\n".join(f"import {name}" for name in modules)
    with open(f"{folder}/{SCRIPT}", "w", encoding="utf-8") as script:
        script.write(_TEXT.format(title=title, paths=paths, imports=imports))


def is_same(folder: str, other: str) -> bool:
    """Whether the functions that are packed in two folders do the same."""
    return bool(_read(folder) == _read(other))


def _read(folder: str) -> Any:
    try:
        with open(f"{folder}/{MANIFEST}", encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return None
    return found["fingerprint"], found["by"], found["objectives"]


def _importable(names: Collection[str]) -> list[str]:
    """Those that a new process can import, in the order in which this one has imported them; the rest, which functions
    import when they run, come last. Modules that exist only in this process are left out."""
    order = {name: k for k, name in enumerate(sys.modules)}
    found = {name for name in map(_public, names) if _is_module(name)}
    return sorted(found, key=lambda name: (order.get(name, len(order)), name))


def _public(name: str) -> str:
    """Private parts of a package are imported by it."""
    parts = name.split(".")
    return ".".join(parts[: next((k for k, part in enumerate(parts) if k and part.startswith("_")), len(parts))])


def _is_module(name: str) -> bool:
    top = name.partition(".")[0]
    if not all(part.isidentifier() for part in name.split(".")) or top in _ALWAYS:
        return False
    try:
        if (module := sys.modules.get(name)) is None:
            return importlib.util.find_spec(top) is not None
        spec = module.__spec__
    except (ImportError, AttributeError, ValueError):
        return False
    return spec is not None and (spec.has_location or spec.origin in ("built-in", "frozen"))


def _appended(path: str, model_dir: str) -> str:
    """The line that lets the script find modules in `path`."""
    if is_below(path, model_dir):
        below = os.path.relpath(path, model_dir)
        return f"sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), {below!r}))"
    return f"sys.path.append({path!r})"


def _search_path(modules: Collection[str]) -> list[str]:
    """The folders of sys.path from which modules were imported that are not installed."""
    installed = tuple({os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix)})
    found = []
    for top in {name.partition(".")[0] for name in modules}:
        module = sys.modules.get(top)
        places = [*getattr(module, "__path__", []), getattr(module, "__file__", None) or ""]
        folder = os.path.dirname(os.path.abspath(places[0])) if places[0] else ""
        if folder and not os.path.realpath(folder).startswith(installed):
            found.append(folder)
    here = [os.path.abspath(entry) for entry in sys.path]
    return sorted(set(found), key=lambda folder: here.index(folder) if folder in here else len(here))
