"""Search plugins that were installed: each has a folder with a copy of its files and what was said about it.

Users have a folder of their own ($HPO_ENGINE_ALGORITHMS, or below $XDG_DATA_HOME); a service has one below its root.
A study keeps a copy of what it uses, so what is removed here is missed by new studies only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_engine.errors import Problem, SpecError, StudyExists, StudyLocked, StudyNotFound, nearest
from hpo_engine.failpoints import failpoint
from hpo_engine.space.params import json_text
from hpo_engine.study.spec import SearchPlugin
from hpo_engine.text.quoting import listed

FOLDER_VARIABLE = "HPO_ENGINE_ALGORITHMS"
FILE = "optimizer.py"
_ABOUT, _CODE = "about.json", "code"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_MOST_FILES, _MOST_BYTES = 10_000, 256 << 20
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".git", ".ipynb_checkpoints")
_CONDA_HOMES = ("~/miniconda3", "~/anaconda3", "~/miniforge3", "~/mambaforge", "/opt/conda", "/opt/anaconda3")


@dataclass(frozen=True)
class Installed:
    """A plugin, as it was installed.

    `path`: of the copy of its files. `python`: its interpreter ("": the engine's). `created`: UTC seconds. `creator`:
    who installed it. `remote_exec`: kept, without a meaning here.
    """

    name: str
    path: str
    python: str = ""
    conda_home: str = ""
    conda_env: str = ""
    remote_exec: bool = False
    log_level: str = ""
    creator: str = ""
    created: float = 0.0

    def plugin(self) -> SearchPlugin:
        return SearchPlugin(self.path, FILE, self.python, self.log_level, fingerprint(self.path))


def folder_of(env: Mapping[str, str]) -> str:
    """Where this user's plugins are."""
    if given := env.get(FOLDER_VARIABLE):
        return os.path.abspath(given)
    data = env.get("XDG_DATA_HOME") or os.path.join(env.get("HOME") or os.path.expanduser("~"), ".local/share")
    return os.path.join(data, "hpo-engine/algorithms")


def service_folder(root: str) -> str:
    """Where those of the service over the studies in `root` are."""
    return os.path.join(root, ".service/algorithms")


def service_variables(root: str, env: Mapping[str, str]) -> Mapping[str, str]:
    """Variables with which that service's plugins are found, and not those of the user who runs it. Not a copy: few of
    them are read for a request."""
    return ChainMap({FOLDER_VARIABLE: service_folder(root)}, env)  # type: ignore[arg-type]  # `env` is only read


def plugins(where: str) -> dict[str, Installed]:
    """The plugins in a folder, by name."""
    try:
        names = sorted(os.listdir(where))
    except OSError:
        return {}
    return {name: found for name in names if _NAME.fullmatch(name) and (found := _read(where, name)) is not None}


def find(where: str, name: str) -> Installed:
    """The plugin of that name, in any case. Raises StudyNotFound."""
    found = plugins(where)
    spelled = next((known for known in found if known.lower() == name.lower()), None)
    if spelled is None:
        raise StudyNotFound(f"no installed algorithm {json_text(name)}{nearest(name, found) if found else ''}")
    return found[spelled]


def _read(where: str, name: str) -> Installed | None:
    try:
        with open(os.path.join(where, name, _ABOUT), encoding="utf-8") as file:
            about = json.load(file)
        return Installed(**{**about, "name": name, "path": os.path.join(where, name, _CODE)})
    except (OSError, ValueError, TypeError):
        return None


def install(
    source: str,
    name: str,
    where: str,
    *,
    taken: Iterable[str],
    python: str = "",
    conda_home: str = "",
    conda_env: str = "",
    remote_exec: bool = False,
    log_level: str = "",
    creator: str = "",
    now: float,
    replace: bool = False,
    load: Callable[[str, SearchPlugin], None] | None = None,
) -> Installed:
    """Copies the plugin in the folder `source` to `where`, once its class has been loaded in its interpreter.

    Args:
        taken: names that algorithms have already, other than installed ones. replace: one of this name goes.

    Raises:
        SpecError: it is no plugin, or its name or interpreter will not do. StudyExists: the name is taken.
    """
    _check_name(name, taken)
    existing = next((known for known in plugins(where) if known.lower() == name.lower()), None)
    if existing is not None and not replace:
        raise StudyExists(f"an algorithm {existing} is installed already; remove it first, or replace it")
    if not os.path.isfile(os.path.join(source, FILE)):
        raise SpecError([Problem("", f"{source} has no {FILE}, so it is not a search plugin")])
    _check_size(source)
    interpreter = _interpreter(python, conda_home, conda_env)
    os.makedirs(where, mode=0o700, exist_ok=True)
    aside = os.path.join(where, f".new-{secrets.token_hex(4)}")
    try:
        shutil.copytree(source, f"{aside}/{_CODE}", ignore=_LEFT_OUT, ignore_dangling_symlinks=True)
        (load or _load)(name, SearchPlugin(f"{aside}/{_CODE}", FILE, interpreter, log_level))
        for folder, names, _ in os.walk(aside):  # what loading it has left
            for each in [n for n in names if n == "__pycache__"]:
                shutil.rmtree(os.path.join(folder, each), ignore_errors=True)
        about = {
            "python": interpreter, "conda_home": conda_home, "conda_env": conda_env, "remote_exec": remote_exec,
            "log_level": log_level, "creator": creator, "created": now,
        }  # fmt: skip
        with open(os.path.join(aside, _ABOUT), "w", encoding="utf-8") as file:
            json.dump(about, file)
            file.flush()
            os.fsync(file.fileno())
        if existing is not None:
            uninstall(existing, where)
        os.rename(aside, os.path.join(where, name))
        failpoint("algorithm.installed")
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return find(where, name)


def _load(name: str, plugin: SearchPlugin) -> None:
    from hpo_engine.isolation.plugin import trial_load  # every submit looks for plugins, and few install one

    trial_load(name, plugin)


def uninstall(name: str, where: str, used_by: Sequence[str] = ()) -> None:
    """Removes a plugin. Raises StudyNotFound; StudyLocked: the running studies `used_by` have it as their algorithm."""
    found = find(where, name)
    if used_by:
        raise StudyLocked(f"algorithm {found.name} is used by running studies: {listed(used_by, 5)}; stop them first")
    gone = os.path.join(where, f".gone-{secrets.token_hex(4)}")
    os.rename(os.path.join(where, found.name), gone)
    failpoint("algorithm.removed")
    shutil.rmtree(gone, ignore_errors=True)


def freeze(plugin: SearchPlugin, target: str) -> None:
    """Copies a plugin's folder for one study. Raises SpecError: it is too large, or cannot be read."""
    try:
        _check_size(plugin.folder)
        shutil.copytree(plugin.folder, target, ignore=_LEFT_OUT, ignore_dangling_symlinks=True)
    except (OSError, shutil.Error) as error:
        raise SpecError([Problem("algorithm", f"{plugin.folder} cannot be copied: {error}")]) from error


def fingerprint(folder: str) -> str:
    """A sha256 of the names and contents of the files in a plugin's folder."""
    total = hashlib.sha256()
    for path in _files(folder):
        total.update(os.path.relpath(path, folder).encode() + b"\0")
        with open(path, "rb") as file:
            total.update(hashlib.sha256(file.read()).digest())
    return total.hexdigest()


def _files(folder: str) -> Iterator[str]:
    for inside, folders, names in os.walk(folder):
        left_out = _LEFT_OUT(inside, [*folders, *names])
        folders[:] = sorted(name for name in folders if name not in left_out)
        paths = (os.path.join(inside, name) for name in sorted(names) if name not in left_out)
        yield from (path for path in paths if os.path.isfile(path))


def _check_size(folder: str) -> None:
    files = size = 0
    for path in _files(folder):
        files, size = files + 1, size + os.path.getsize(path)
        if files > _MOST_FILES or size > _MOST_BYTES:
            most = f"{_MOST_FILES:,} files and {_MOST_BYTES >> 20} MiB"
            raise SpecError([Problem("algorithm", f"{folder} is too large for a plugin: at most {most} are copied")])


def _check_name(name: str, taken: Iterable[str]) -> None:
    if not _NAME.fullmatch(name):
        text = "cannot name an algorithm: a letter, then at most 63 letters, digits, dots, hyphens and underscores"
        raise SpecError([Problem("name", f"{json_text(name)} {text}")])
    if any(name.lower() == known.lower() for known in taken):
        raise SpecError([Problem("name", f"{json_text(name)} is the name of another algorithm")])


def _interpreter(python: str, conda_home: str, conda_env: str) -> str:
    """The absolute path of the interpreter; "": the engine's. Raises SpecError if there is none."""
    if python:
        found = shutil.which(python)
        if found is None:
            raise SpecError([Problem("python", f"there is no interpreter {json_text(python)}")])
        return os.path.abspath(found)
    if not conda_env:
        return ""
    places = list(_conda_places(conda_home, conda_env))
    path = next((p for place in places if os.access(p := os.path.join(place, "bin/python"), os.X_OK)), None)
    if path is None:
        looked = f"looked in {listed(places, 3)}" if places else "no conda was found; name its folder (condaHome)"
        raise SpecError([Problem("condaEnv", f"there is no conda environment {json_text(conda_env)}: {looked}")])
    return path


def _conda_places(home: str, name: str) -> Iterator[str]:
    if os.path.isabs(name):
        yield name
        return
    of_shell = os.path.dirname(os.path.dirname(os.environ.get("CONDA_EXE", "")))
    for each in [home] if home else [of_shell, *map(os.path.expanduser, (*_CONDA_HOMES, "~/.conda"))]:
        if each and os.path.isdir(each):
            yield each if name == "base" else os.path.join(each, "envs", name)


def rest_object(found: Installed, timestamp: Callable[[float], str]) -> dict[str, Any]:
    """An installed plugin as WMLA's answers list it; `logLevel` is absent where it was not given."""
    out: dict[str, Any] = {
        "name": found.name, "type": "USER_PLUGIN", "remoteExec": found.remote_exec, "path": found.path,
        "condaHome": found.conda_home, "condaEnv": found.conda_env, "creator": found.creator,
        "createtime": timestamp(found.created),
    }  # fmt: skip
    return {**out, "logLevel": found.log_level} if found.log_level else out
