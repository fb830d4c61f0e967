"""What a training script gets from the engine: its config.json, its command line, its environment.

No reader sees half a file, and no link that a script planted is followed. Knows nothing of searching or running.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hpo_engine.contract.layout import opened
from hpo_engine.contract.paths import CONFIG, TrialPaths
from hpo_engine.contract.placeholders import as_word, literal
from hpo_engine.errors import LaunchError
from hpo_engine.study.spec import StudySpec
from hpo_engine.system import threads
from hpo_engine.system.files import put_in_place
from hpo_engine.system.writing import write_all

_UNREAD_NS = 10**9  # by which the access time of a config.json that nobody has read is earlier than its change


@dataclass(frozen=True)
class Resumed:
    """The earlier training that an attempt goes on from; its files are in RESULT_DIR.

    `resource`: how much had gone into it. `step`: of its last row (None: it had none). `checkpoint`: the newest one, by
    its path in RESULT_DIR (None: none is known).
    """

    resource: int = 0
    step: float | None = None
    checkpoint: str | None = None

    def path(self, paths: TrialPaths) -> str:
        """What HPO_RESUME_FROM names: the checkpoint, or else RESULT_DIR (absolute)."""
        return paths.result_dir if self.checkpoint is None else f"{paths.result_dir}/{self.checkpoint}"

    def variables(self, paths: TrialPaths) -> dict[str, str]:
        """What the script finds in its environment."""
        out = {"HPO_RESUME_FROM": self.path(paths), "HPO_RESUME_RESOURCE": str(self.resource)}
        return out if self.step is None else {**out, "HPO_RESUMED_STEP": as_word(self.step)}


def write_config(paths: TrialPaths, config: Mapping[str, Any]) -> None:
    """Writes the trial's config.json, replacing whatever is there.

    Raises:
        LaunchError: RESULT_DIR is not a real folder any more, or a value has no JSON form.
    """
    try:
        # ASCII: a script that opens it in the encoding of its locale, whatever that is, reads the same values.
        data = _text(config)
    except ValueError as error:
        raise LaunchError(f"trial {paths.trial_id}: {CONFIG} cannot hold these parameters: {error}") from None
    # Not fsynced: the event log holds the parameters durably, and every launch writes this file anew.
    with opened(paths, paths.result_dir) as fd:
        try:
            put(fd, CONFIG, data)
        except IsADirectoryError:
            raise LaunchError(f"{paths.config} is a folder: remove it") from None
        except OSError as error:
            error.filename = CONFIG  # not the name that it was to have for a moment
            raise


def _text(config: Mapping[str, Any]) -> bytes:
    return json.dumps(config, allow_nan=False, indent=2).encode() + b"\n"


def config_was_read(paths: TrialPaths, config: Mapping[str, Any] | None = None) -> bool | None:
    """Whether anybody has read the trial's config.json since it was written; None if the file system keeps no record.

    The kernel records the time of the last access unless it is mounted with noatime, which reading the file here shows.

    Args:
        config: what was written; a file with other contents, of another attempt, counts as read.
    """
    try:
        if not _unread(paths.config):
            return True
        fd = os.open(paths.config, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            wanted = None if config is None else _text(config)
            if wanted is not None and os.read(fd, len(wanted) + 1) != wanted:
                return True
            os.read(fd, 1)
        finally:
            os.close(fd)
        return None if _unread(paths.config) else False
    except OSError:
        return None


def _unread(path: str) -> bool:
    found = os.stat(path, follow_symlinks=False)
    return found.st_mtime_ns - found.st_atime_ns == _UNREAD_NS


def user_of(base: Mapping[str, str]) -> str:
    """The user's name as trials see it in USER; "user" if there is none, or it cannot name a folder."""
    user = base.get("USER", "")
    if not user:
        import getpass

        try:
            user = getpass.getuser()
        except (KeyError, OSError, ImportError):  # a uid without a name, as in many containers
            user = "user"
    return "user" if "/" in user or user in ("", ".", "..") else user


RUN_CONTEXT = "MLFLOW_RUN_CONTEXT"
"""The variable with the tags that MLflow gives to each run."""
ATTEMPT_TAG = "hpo_engine.attempt"
"""The tag by which an attempt's runs are known in a store that trials share."""
_ENGINES = ("HPO_ENGINE_", "HPO_FAILPOINT", "HPO_RESUME")  # an engine's own variables, which its trials do not get
PER_ATTEMPT = frozenset(
    (
        "RESULT_DIR", "LOG_DIR", "DLI_EXECID", "SUBID", "TRAINING_ID", "JOB_STATE_DIR", "PWD", "HPO_ATTEMPT",
        "HPO_RESUME_FROM", "HPO_RESUMED_STEP", "HPO_RESUME_RESOURCE", RUN_CONTEXT,
    )
)  # fmt: skip
"""The variables whose values differ from attempt to attempt."""
_RESERVED = PER_ATTEMPT - {RUN_CONTEXT} | {"DATA_DIR", "DLI_DATA_FS", "DLI_RESULT_FS"}
_SET_BY = {"DATA_DIR": "data_dir", "DLI_DATA_FS": "data_root"}  # fields of the study file


def reserved(name: str) -> str | None:
    """Why a study cannot have a variable of its own by this name; None if it can."""
    if name not in _RESERVED and not name.startswith(_ENGINES):
        return None
    return f"is set by the engine{f', to what {_SET_BY[name]} says' if name in _SET_BY else ''}; choose another name"


def command(spec: StudySpec, python: str) -> tuple[str, ...]:
    """The words of the command, with placeholders. `python` or `python3` as its first word means `spec.interpreter`,
    or else `python`.

    Args:
        python: the interpreter that runs the engine, so that no virtual environment has to be activated.
    """
    first, *rest = spec.command
    return (literal(spec.interpreter or python) if first in ("python", "python3") else first, *rest)


def environment(
    spec: StudySpec,
    paths: TrialPaths,
    base: Mapping[str, str],
    nonce: str,
    gpus: Sequence[str],
    own: Mapping[str, str],
    resumed: Resumed | None = None,
    joining: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The environment of one attempt: `base` without the engine's own variables, the contract's variables, those of
    trackers (`joining`), `own`. Of the tags in MLFLOW_RUN_CONTEXT a run gets all.

    DLI_WORK_DIR and MODEL_PATH are RESULT_DIR, where the code is; values in `base` take precedence, except in WMLA
    requests. DATA_DIR and DLI_DATA_FS come from the spec, or else from `base`; if only one is known, the other gets the
    same value. If neither is known, both are RESULT_DIR: a script finds the files of its folder there, as it does by
    hand, and downloads stay with the trial (the frozen folder, the other candidate, must not be written to).

    HPO_METRIC and HPO_GOAL are the first objective: what a script's best checkpoint may go by.
    HPO_RESUME_FROM, HPO_RESUMED_STEP and HPO_RESUME_RESOURCE are set only if the attempt goes on from earlier training.

    Args:
        base: the caller's environment.
        nonce: identifies the attempt's processes; not even `own` changes it.
        own: the study's own variables, filled.
        resumed: the earlier training that the attempt goes on from.
        gpus: the attempt's devices; used only if `spec.resources.gpus` is set.
    """
    study, resources = paths.study, spec.resources
    env = {k: v for k, v in base.items() if not k.startswith(_ENGINES)}
    joining = joining or {}
    root, data = spec.data_root, spec.data_dir
    if root and data:
        data = os.path.join(root, data)
    if not root and not data:
        root, data = env.get("DLI_DATA_FS"), env.get("DATA_DIR")
    env |= {
        "RESULT_DIR": paths.result_dir,
        "LOG_DIR": paths.log_dir,
        "DATA_DIR": data or root or paths.result_dir,
        "DLI_DATA_FS": root or data or paths.result_dir,
        "DLI_RESULT_FS": study.dli,
        "USER": user_of(base),
        "DLI_EXECID": paths.name,
        "SUBID": paths.name,
        "TRAINING_ID": f"{spec.name}-{paths.name}",
        "JOB_STATE_DIR": paths.state_dir,
        "PWD": paths.result_dir,
        "HPO_METRIC": spec.objectives[0].metric,
        "HPO_GOAL": spec.objectives[0].goal,
    }
    for name in ("DLI_WORK_DIR", "MODEL_PATH"):  # without WMLA, the user may have given these names another meaning
        if spec.submitted_code is not None or base.get(name) in (None, base.get("RESULT_DIR")):
            env[name] = paths.result_dir
    env.setdefault("PYTHONUNBUFFERED", "1")
    if resources.gpus is not None:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(gpus) if resources.gpus else ""
        env.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    env |= threads.variables({**env, **joining, **own}, resources.cpus)
    if elastic := spec.dialect.get("elastic"):
        env |= _elastic(env, min(int(elastic), int(resources.gpus or resources.cpus or 1)))
    contexts = [variables[RUN_CONTEXT] for variables in (env, joining, own) if variables.get(RUN_CONTEXT)]
    env |= {**joining, **own, "HPO_ATTEMPT": nonce}
    if elastic:
        env["PYTHONPATH"] = ":".join(filter(None, (env.get("PYTHONPATH"), f"{env['FABRIC_HOME']}/libs/fabric.zip")))
    env[RUN_CONTEXT] = _run_context(contexts, nonce, env["TRAINING_ID"])
    return env if resumed is None else env | resumed.variables(paths)


def _elastic(env: Mapping[str, str], workers: int) -> dict[str, str]:
    """What scripts for elastic distributed training find: where `fabric_model` and `callbacks` are, the shared folder,
    and how many workers the trial has."""
    spec = importlib.util.find_spec("hpo_trainees")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    home = f"{folders[0]}/fabric_home" if folders else ""
    shared = env["DLI_DATA_FS"]
    return {
        "FABRIC_HOME": home, "DLI_IS_ELASTIC": "true", "DLI_SHARED_FS": shared, "DL_NFS_PATH": shared,
        "HPO_WORKERS": str(workers),
    }  # fmt: skip


def _run_context(given: Sequence[str], nonce: str, trial: str) -> str:
    """The tags that runs of MLflow get: those of each text, the later ones first, and which attempt made them."""
    tags: dict[str, Any] = {}
    for text in given:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            return text  # MLflow will complain about it, as it does without the engine
        tags |= found
    return json.dumps({**tags, ATTEMPT_TAG: nonce, "hpo_engine.trial": trial})


def put(folder: int, name: str, data: bytes, mode: int | None = None) -> None:
    """Replaces a file; readers see the old one or the new one. Its times say that nobody has read it yet."""
    # A random name cannot be planted, and two writers never share one.
    aside = f".{os.urandom(8).hex()}.tmp"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder)
    try:
        try:
            write_all(fd, data)
            if mode is not None:
                os.fchmod(fd, mode)
            changed = os.fstat(fd).st_mtime_ns  # an access time before it: the first read is sure to move that
            os.utime(fd, ns=(changed - _UNREAD_NS, changed))
        finally:
            os.close(fd)
        put_in_place(aside, name, folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=folder)
        raise
