"""Every file name, environment name and format that the engine shares with a training script, and with its own folder.

Reads what scripts write with tolerance for their habits and none for tricks; writes so that no reader sees half a file.
Knows nothing of searching, running or the WMLA request. What a script wrote badly is a ContractError; a folder that
cannot be made as it must be is a LaunchError; a full disk or a study folder that is gone stays an OSError.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.errors import ContractError, LaunchError
from engine.study import Objective, Row, StudySpec

CONFIG = "config.json"
RESULT = "val_dict_list.json"
EMETRICS = "evaluation-metrics.txt"

MAX_BYTES = 16 << 20  # of a file that a script wrote and we read
MAX_ENTRIES = 200_000  # of a result file
MAX_LINES = 100_000  # of an emetrics file
_MAX_VALUES = 1_000_000  # in a file; together these keep the reading of any file under a second
_MAX_LINE = 1 << 20
_CHUNK = 256 << 10  # read of a growing file at one look


@dataclass(frozen=True)
class StudyPaths:
    """The folder of one study. `root` is absolute."""

    root: str

    @property
    def source(self) -> str:
        """The study file as submitted."""
        return f"{self.root}/algo.yaml"

    @property
    def db(self) -> str:
        return f"{self.root}/study.db"

    @property
    def lock(self) -> str:
        """Held (flock) by the engine that leads the study; says which one it is."""
        return f"{self.root}/engine.lock"

    @property
    def engine_log(self) -> str:
        return f"{self.root}/engine.log"

    @property
    def inbox(self) -> str:
        """Requests to the leading engine, one JSON file each."""
        return f"{self.root}/inbox"

    @property
    def model(self) -> str:
        """The frozen copy of the model folder."""
        return f"{self.root}/model"

    @property
    def logs(self) -> str:
        return f"{self.root}/logs"

    @property
    def results(self) -> str:
        return f"{self.root}/results"

    @property
    def trials(self) -> str:
        return f"{self.root}/trials"

    @property
    def dli(self) -> str:
        """What DLI_RESULT_FS names: `<dli>/$USER/batchworkdir` is a link to `results`."""
        return f"{self.root}/dli"

    def trial(self, trial_id: int) -> TrialPaths:
        return TrialPaths(self, trial_id)


@dataclass(frozen=True)
class TrialPaths:
    """The folders of one trial; those of an attempt take its number (from 1)."""

    study: StudyPaths
    trial_id: int

    @cached_property
    def name(self) -> str:
        """The trial's folder name, SUBID and DLI_EXECID."""
        return str(self.trial_id)

    @cached_property
    def result_dir(self) -> str:
        return f"{self.study.results}/{self.trial_id}"

    @cached_property
    def log_dir(self) -> str:
        return f"{self.study.logs}/{self.trial_id}"

    @cached_property
    def own(self) -> str:
        """The engine's own folder of the trial; no script writes here."""
        return f"{self.study.trials}/{self.trial_id}"

    @property
    def state_dir(self) -> str:
        """JOB_STATE_DIR; its `logs` is a link to the log folder."""
        return f"{self.own}/state"

    @property
    def config(self) -> str:
        return f"{self.result_dir}/{CONFIG}"

    @property
    def result_file(self) -> str:
        return f"{self.result_dir}/{RESULT}"

    def attempt(self, number: int) -> str:
        """Records of one attempt: `started`, `exit.json`, `output.log`; of an earlier one also `result` and `logs`."""
        return f"{self.own}/{number}"


# -- writing -----------------------------------------------------------------------------------------------------------


def write_atomic(path: str, data: bytes, *, durable: bool = False) -> None:
    """Writes a whole file so that a reader sees the old one or the new one.

    Args:
        durable: also survive a power loss (two fsyncs: milliseconds, where the plain write takes some 50 us).
    """
    folder, name = os.path.split(path)
    fd = os.open(folder or ".", _FOLDER)
    try:
        _put(fd, name, data, durable)
    finally:
        os.close(fd)


def write_config(paths: TrialPaths, config: Mapping[str, Any]) -> None:
    """Writes the trial's config.json, whatever stands there.

    Raises:
        LaunchError: RESULT_DIR is not a real folder any more, or a value has no JSON form.
    """
    try:
        try:
            data = json.dumps(config, allow_nan=False, ensure_ascii=False, indent=2).encode()
        except UnicodeEncodeError:  # half a surrogate pair: only an escape can carry it
            data = json.dumps(config, allow_nan=False, indent=2).encode()
    except ValueError as error:
        raise LaunchError(f"trial {paths.trial_id}: {CONFIG} cannot hold these parameters: {error}") from None
    # Not fsynced: the event log holds the parameters durably, and every launch writes this file anew.
    with _folder(paths, paths.result_dir) as fd:
        try:
            _put(fd, CONFIG, data + b"\n", durable=False)
        except IsADirectoryError:
            raise LaunchError(f"{paths.config} is a folder: remove it") from None


def lay_out_study(paths: StudyPaths, user: str) -> None:
    """Makes the study's own folders (again, where they are there). `user` is what `user_of` says.

    `dli/<user>/batchworkdir` leads to `results`, so that $DLI_RESULT_FS/$USER/batchworkdir/$DLI_EXECID is RESULT_DIR;
    the link is relative, so that the study's folder can be moved.
    """
    for folder in (paths.results, paths.logs, paths.trials, paths.inbox, f"{paths.dli}/{user}"):
        os.makedirs(folder, exist_ok=True)
    _link("../../" + os.path.basename(paths.results), f"{paths.dli}/{user}/batchworkdir")


def lay_out(paths: TrialPaths) -> None:
    """Makes the trial's folders: RESULT_DIR, LOG_DIR, the engine's own, JOB_STATE_DIR. Again is harmless.

    Raises:
        LaunchError: a link or a file stands where a folder must be.
    """
    study, name = paths.study, paths.name
    for parent in (study.results, study.logs):
        with _folder(paths, parent) as fd:
            _make(fd, name, parent)
    with _folder(paths, study.trials) as fd:
        _make(fd, name, study.trials)
        inner = paths.state_dir[len(study.trials) + 1 :]
        _make(fd, inner, study.trials)
        _link("../../../" + paths.log_dir[len(study.root) + 1 :], inner + "/logs", fd)


def set_aside(paths: TrialPaths, attempt_number: int) -> None:
    """Moves RESULT_DIR and LOG_DIR of an ended attempt to `<own>/<attempt_number>/result` and `.../logs`.

    Can be called again after a crash at any point. A folder that was set aside before stays as it is: what was laid
    out since then is removed if empty, else moved to `result.1` (`.2`, ...). Links are moved, never followed.
    """
    aside = paths.attempt(attempt_number)
    with _folder(paths, paths.own) as own:
        _make(own, os.path.basename(aside), paths.own)
    with _folder(paths, aside) as into:
        for source, name in ((paths.result_dir, "result"), (paths.log_dir, "logs")):
            with _folder(paths, os.path.dirname(source)) as parent:
                _move(parent, paths.name, into, name)


def user_of(base: Mapping[str, str]) -> str:
    """The user's name as trials see it in USER; "user" where there is none that could name a folder."""
    user = base.get("USER", "")
    if not user:
        import getpass

        try:
            user = getpass.getuser()
        except (KeyError, OSError, ImportError):  # a uid without a name, as in many containers
            user = "user"
    return "user" if "/" in user or user in ("", ".", "..") else user


def environment(
    spec: StudySpec, paths: TrialPaths, base: Mapping[str, str], nonce: str, gpus: Sequence[str]
) -> dict[str, str]:
    """The environment of one attempt: `base`, less what is the engine's own; the contract's variables; `spec.env`.

    DATA_DIR and DLI_DATA_FS: what the spec says, else what `base` says; one of them unknown follows the other. Where
    nothing is known both are RESULT_DIR: reads below it find what the model folder has, as they would by hand, and
    downloads stay with the trial (the frozen model folder, the other candidate, must not be written to).

    Args:
        base: the caller's environment.
        nonce: the attempt's mark, by which its processes are found. Not even `spec.env` changes it.
        gpus: the devices it was given (used only if `spec.resources.gpus` says that they are managed).
    """
    study, resources = paths.study, spec.resources
    env = {k: v for k, v in base.items() if not k.startswith("HPO_ENGINE_") and k != "HPO_FAILPOINT"}
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
    }
    env.setdefault("PYTHONUNBUFFERED", "1")
    if resources.gpus is not None:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(gpus) if resources.gpus else ""
        env.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if resources.cpus is not None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            env.setdefault(name, str(resources.cpus))
    return {**env, **spec.env, "HPO_ATTEMPT": nonce}


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def _open_folder(root: str, path: str) -> int:
    """A descriptor of `path`, which lies below `root`; no link is followed below the root (which may be one)."""
    fd = os.open(root, _FOLDER)
    for name in path[len(root) + 1 :].split("/"):
        outer = fd
        try:
            fd = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=outer)
        except OSError as error:
            error.filename = path
            raise
        finally:
            os.close(outer)
    return fd


@contextmanager
def _folder(paths: TrialPaths, path: str) -> Iterator[int]:
    """`_open_folder` for writing into it."""
    try:
        fd = _open_folder(paths.study.root, path)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _no_folder(path) from None
        if error.errno == errno.ENOENT and path == paths.result_dir:
            raise LaunchError(f"{path} is gone: something removed it while the trial was made ready") from None
        raise
    try:
        yield fd
    finally:
        os.close(fd)


def _no_folder(path: str) -> LaunchError:
    return LaunchError(f"{path} is no folder (something else was put in its place): remove that and run again")


def _make(parent: int, name: str, shown: str) -> None:
    """A folder in the folder `parent`, whose path is `shown`."""
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise _no_folder(f"{shown}/{name}") from None


def _link(target: str, path: str, parent: int | None = None) -> None:
    with suppress(FileExistsError):
        os.symlink(target, path, dir_fd=parent)


def _move(parent: int, source: str, into: int, name: str) -> None:
    target, earlier = name, 0
    while _there(into, target):
        earlier += 1
        target = f"{name}.{earlier}"
    if earlier:
        with suppress(OSError):  # removed if it is an empty folder; anything else is kept
            os.rmdir(source, dir_fd=parent)
    with suppress(FileNotFoundError):  # moved already
        os.rename(source, target, src_dir_fd=parent, dst_dir_fd=into)


def _there(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _put(folder: int, name: str, data: bytes, durable: bool) -> None:
    # The name cannot be foreseen (nobody can plant it), and two writers never share one.
    aside = f".{os.urandom(8).hex()}.tmp"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder)
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(fd, left) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=folder)
        raise
    if durable:
        os.fsync(folder)


# -- reading one file --------------------------------------------------------------------------------------------------


class _Missing(ContractError):
    """There is no such file."""


class _Changed(ContractError):
    """The name led to another file a moment later: a script replaced it, or somebody plays tricks."""


class _Gone(ContractError):
    """The folder itself is not there, or not a folder."""


def safe_read(folder: str | int, name: str, limit: int = MAX_BYTES, *, called: str = "RESULT_DIR") -> bytes:
    """The bytes of a file that a script may have put there in bad faith; never waits, follows no link.

    Args:
        folder: its path, or a descriptor; called: what messages call it.
        limit: bytes; a larger file is refused before it is read.

    Raises:
        ContractError: says why in words.
    """
    if isinstance(folder, str):
        try:
            fd = os.open(folder, _FOLDER | os.O_NOFOLLOW)
        except OSError as error:
            raise _gone(called, error) from None
        try:
            return safe_read(fd, name, limit, called=called)
        finally:
            os.close(fd)
    for last in (False, False, False, False, True):
        try:
            fd, size = _open_file(folder, name, limit)
        except _Changed:
            if last:
                raise
            continue
        try:
            return _read_all(fd, name, size, limit)
        except OSError as error:
            raise _unreadable(name, error) from None
        finally:
            os.close(fd)
    raise AssertionError("not reached")


def _gone(called: str, error: OSError) -> ContractError:
    if error.errno == errno.ENOENT:
        return _Gone(f"{called} is gone")
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return _Gone(f"{called} is no folder any more (something else was put in its place)")
    return _Gone(f"{called} cannot be read ({error.strerror})")


def _unreadable(name: str, error: OSError) -> ContractError:
    return ContractError(f"{name} cannot be read ({error.strerror})")


def _open_file(folder: int, name: str, limit: int) -> tuple[int, os.stat_result]:
    try:
        # Looked at before it is opened: opening alone can make a device act.
        _check(name, os.stat(name, dir_fd=folder, follow_symlinks=False), limit)
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise _Missing(f"{name} is missing") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ContractError(f"{name} is a link, not a file") from None
        raise _unreadable(name, error) from None
    try:
        # What is open must be what the name leads to *now*, by its only name: a hard link to a secret, opened and
        # then taken away, has one name left, but not this one.
        opened, now = os.fstat(fd), os.stat(name, dir_fd=folder, follow_symlinks=False)
        _check(name, now, limit)
        if (opened.st_dev, opened.st_ino) != (now.st_dev, now.st_ino):
            raise _Changed(f"{name} was replaced while it was read")
        return fd, opened
    except FileNotFoundError:
        os.close(fd)
        raise _Changed(f"{name} was taken away while it was read") from None
    except BaseException:
        os.close(fd)
        raise


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _check(name: str, found: os.stat_result, limit: int) -> None:
    mode = found.st_mode
    if stat.S_ISLNK(mode):
        raise ContractError(f"{name} is a link, not a file")
    if not stat.S_ISREG(mode):
        raise ContractError(f"{name} is not a regular file but {_KINDS.get(stat.S_IFMT(mode), 'something else')}")
    if found.st_nlink > 1:
        raise ContractError(f"{name} has other hard links; write a file of its own")
    if found.st_size > limit:
        raise _too_big(name, found.st_size, limit)


def _too_big(name: str, size: int, limit: int) -> ContractError:
    return ContractError(f"{name} is too big ({size:,} bytes, at most {limit:,})")


def _read_all(fd: int, name: str, found: os.stat_result, limit: int) -> bytes:
    parts, length = [], 0
    while part := os.read(fd, max(4096, found.st_size - length + 1)):
        parts.append(part)
        length += len(part)
        if length > limit:  # it grew meanwhile
            raise _too_big(name, length, limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)


# -- val_dict_list.json ------------------------------------------------------------------------------------------------


def parse_rows(data: bytes) -> tuple[Row, ...]:
    """The rows of a val_dict_list.json.

    A list of objects, or one object. The step is the first usable of step, steps, epoch, iteration (a number, or a
    number in a string); a row without one takes the step after the row before it, the first takes 1. Every other
    number is a metric, NaN and infinities too; true, strings, null and nested values are not. Entries that are no
    objects are passed over, unless all are. Of duplicate keys the last counts.

    Raises:
        ContractError: empty, torn, not JSON, too deep, too many entries, not a list of objects.
    """
    return _parse(data)[0]


def _parse(data: bytes) -> tuple[tuple[Row, ...], dict[str, str]]:
    """The rows, and what metrics that are no numbers are instead: {"loss": 'a string "0.3"'}."""
    found = _load(data)
    entries = found if isinstance(found, list) else [found]
    objects = [e for e in entries if type(e) is dict]
    if entries and not objects:
        raise ContractError(f'{RESULT} holds no objects: write a list such as [{{"step": 1, "loss": 0.3}}]')
    if len(objects) > MAX_ENTRIES:
        raise _too_many(RESULT, "entries", len(objects), MAX_ENTRIES)
    escapes = b"\\u" in data
    rows, strange, before = [], {}, 0.0
    for entry in objects:
        key, step = _step_of(entry)
        before = before + 1 if step is None else step
        try:
            values = {k: float(v) for k, v in entry.items() if type(v) in _NUMBERS and k != key}
        except OverflowError:
            values = {k: _float(v) for k, v in entry.items() if type(v) in _NUMBERS and k != key}
        if len(values) + (key is not None) < len(entry):
            strange.update({k: v for k, v in entry.items() if type(v) not in _NUMBERS and k != key})
        rows.append(Row(before, {_printable(k): v for k, v in values.items()} if escapes else values))
    return tuple(rows), {_printable(k): _describe(v) for k, v in strange.items()}


_NUMBERS = frozenset((int, float))  # not bool
_STEPS = ("step", "steps", "epoch", "iteration")
_BOM = b"\xef\xbb\xbf"


def _load(data: bytes) -> Any:
    if data.count(b"[") + data.count(b"{") > MAX_ENTRIES + 1000:
        raise _too_many(RESULT, "entries", data.count(b"[") + data.count(b"{"), MAX_ENTRIES)
    if (values := data.count(b",")) > _MAX_VALUES:
        raise _too_many(RESULT, "values", values, _MAX_VALUES)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:2]:
        raise ContractError(f"{RESULT} is not UTF-8 but UTF-16 text, or binary: write it as UTF-8")
    start = len(_BOM) if data.startswith(_BOM) else 0
    try:
        text = data[start:].decode()
    except UnicodeDecodeError as error:
        if error.end == len(data) - start and error.reason == "unexpected end of data":
            raise ContractError(f"{RESULT} is torn at byte {len(data)}") from None
        raise ContractError(f"{RESULT} is not UTF-8 text (byte {start + error.start})") from None
    if not text.strip():
        raise ContractError(f"{RESULT} is empty")
    try:
        return _json(text, data)
    except json.JSONDecodeError as error:
        raise ContractError(f"{RESULT} {_fault(text, error, data, start)}") from None
    except (RecursionError, ValueError, MemoryError) as error:
        why = "is nested too deeply" if isinstance(error, RecursionError) else f"cannot be read ({error})"
        raise ContractError(f"{RESULT} {why}") from None


_IS_DIGIT = bytes(48 if 48 <= i < 58 else 32 for i in range(256))
_LONG = 400  # digits; Python refuses integers of thousands, or takes minutes, and 1e400 is infinite anyway


def _json(text: str, data: bytes) -> Any:
    """`json.loads` that takes NaN and Infinity, and integers of any length in linear time."""
    if len(data) >= _LONG and b"0" * _LONG in data.translate(_IS_DIGIT):
        return json.loads(text, parse_int=_int)
    return json.loads(text)


def _int(text: str) -> float:
    if len(text) <= _LONG:
        return int(text)
    return -math.inf if text.startswith("-") else math.inf


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


_CUT = ("true", "false", "null", "NaN", "Infinity", "-Infinity", ".", "e+", "e-", "E+", "E-")


def _fault(text: str, error: json.JSONDecodeError, data: bytes, start: int) -> str:
    """What is wrong with the text; "torn" if more text could have made it whole."""
    at = start + len(text[: error.pos].encode())
    if error.msg.startswith("Extra data"):
        return f"has more text after its end (from byte {at})"
    rest = text[error.pos :].strip()
    cut = not rest or error.msg.startswith("Unterminated") or any(word.startswith(rest) for word in _CUT)
    if cut or ("escape" in error.msg and len(rest) < 6):
        return f"is torn at byte {len(data)}"
    return f"is not JSON (byte {at}: {error.msg})"


def _too_many(name: str, what: str, count: int, limit: int) -> ContractError:
    return ContractError(f"{name} has too many {what} ({count:,}, at most {limit:,}): report less often")


def _step_of(entry: Mapping[str, Any]) -> tuple[str | None, float | None]:
    for key in _STEPS:
        if key in entry and (step := _step(entry[key])) is not None:
            return key, step
    return None, None


def _step(value: Any) -> float | None:
    """A step as an int where it is one; None for what is no step (NaN, true, words, beyond 64 bits)."""
    if type(value) is str:
        try:
            value = float(value) if len(value) <= 40 else None
        except ValueError:
            return None
    if type(value) not in _NUMBERS or not -(2**63) < value < 2**63:
        return None
    return int(value) if value == int(value) else float(value)


def _describe(value: Any) -> str:
    if isinstance(value, str):
        return f"a string {_quoted(value)}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "an object" if isinstance(value, dict) else "a number"


def _quoted(text: str) -> str:
    """Fit for a line of text: short, and without control characters."""
    short = text if len(text) <= 60 else text[:57] + "..."
    return json.dumps(short, ensure_ascii=not short.isprintable())


def _printable(name: str) -> str:
    """Without half surrogate pairs, which no file, log or terminal takes."""
    return name.encode("utf-8", "replace").decode()


# -- evaluation-metrics.txt --------------------------------------------------------------------------------------------


def parse_emetrics(data: bytes) -> tuple[Row, ...]:
    """The rows of an evaluation-metrics.txt, one JSON object a line; lines that are none (a torn last one) are skipped.

    Metrics of the group `test` keep their names, those of another group take its name in front: `train_loss`. Where
    nothing of `test` is there, the validation group's or else the training group's also count under their plain
    names: they are all that the script tells. An entry joins the row before it of its group if it has the same step
    and other metrics.

    Raises:
        ContractError: too many lines or values.
    """
    if (count := data.count(b"\n")) > MAX_LINES:
        raise _too_many(EMETRICS, "lines", count, MAX_LINES)
    if (count := data.count(b"[") + data.count(b"{")) > _MAX_VALUES:
        raise _too_many(EMETRICS, "values", count, _MAX_VALUES)
    entries = list(_entries(data.split(b"\n")))
    groups = {entry.group: None for entry in entries}
    gathered = _Rows()
    gathered.main = next((g for g in ("test", "validation", "valid", "val", "train", *groups) if g in groups), "test")
    gathered.add(entries)
    return tuple(gathered.rows)


@dataclass(frozen=True)
class _Entry:
    group: str
    step: float | None
    values: Mapping[str, float]


def _entries(lines: Iterable[bytes]) -> Iterator[_Entry]:
    for line in lines:
        if b'"values"' not in line or len(line) > _MAX_LINE:
            continue
        try:
            entry = _json(line.removeprefix(_BOM).decode(), line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(entry, dict) or not isinstance(entry.get("values"), dict):
            continue
        times, group = entry.get("etimes"), entry.get("grouplabel")
        step = None
        if isinstance(times, dict):
            step = next((s for key in ("iteration", *_STEPS) if (s := _step(_typed(times.get(key)))) is not None), None)
        values = {_printable(k): v for k, raw in entry["values"].items() if (v := _typed(raw)) is not None}
        if values:
            yield _Entry(_printable(group)[:60] if isinstance(group, str) and group else "test", step, values)


def _typed(raw: Any) -> float | None:
    """The number in {"type": 3, "value": "0.31"}; a plain number will do, too."""
    if isinstance(raw, dict):
        if str(raw.get("type")) not in ("2", "3"):  # int, float; else it is a string
            return None
        raw = raw.get("value")
        if isinstance(raw, str):
            try:
                return float(raw) if len(raw) <= 400 else None
            except ValueError:
                return None
    return _float(raw) if type(raw) in _NUMBERS else None


class _Rows:
    """The rows that entries make; `main` is the group whose metrics have their plain names."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.main = "test"
        self._steps: dict[str, float] = {}  # of each group's latest row

    def add(self, entries: Iterable[_Entry]) -> None:
        """Appends; rows that stood there before are left as they are."""
        latest: dict[str, dict[str, float]] = {}  # the values of each group's latest row, if it is one of these entries
        for entry in entries:
            group, values = entry.group, dict(entry.values)
            if group != "test":
                values = {f"{group}_{k}": v for k, v in values.items()} | (values if group == self.main else {})
            before = self._steps.get(group, 0)
            if group in latest and entry.step == before and latest[group].keys().isdisjoint(values):
                latest[group].update(values)
                continue
            self._steps[group] = step = before + 1 if entry.step is None else entry.step
            latest[group] = values
            self.rows.append(Row(step, values))


# -- live --------------------------------------------------------------------------------------------------------------


class MetricsReader:
    """Reads one trial's growing files while it runs: three stats where nothing changed, and never an error.

    What is torn, empty or a trick counts as not there yet. `evaluation-metrics.txt` counts as long as
    `val_dict_list.json` has shown no row. The verdict never comes from here but from `final_rows`.
    """

    def __init__(self, paths: TrialPaths) -> None:
        self._root, self._result_dir = paths.study.root, paths.result_dir
        self._streams = (_Stream(self._root, f"{paths.log_dir}/{paths.name}"), _Stream(self._root, paths.log_dir))
        self._files = (paths.result_file, *(stream.path for stream in self._streams))
        self._seen: list[_Signature | None] = [None] * len(self._files)
        self._results: Sequence[Row] = ()
        self._given: Sequence[Row] = ()
        self._not_before = 0.0

    def fresh(self) -> tuple[tuple[Row, ...], bool] | None:
        """The rows since the last call and False, or all rows and True where earlier ones changed; None: no news."""
        now = [_signature(path) for path in self._files]
        if now == self._seen or (self._not_before and time.monotonic() < self._not_before):
            return None
        started = time.monotonic()
        # A file written a moment ago may change again without a new time stamp: look again next time.
        edge = time.time_ns() - _TICK_NS
        seen = [None if s is None or edge < s[2] <= edge + _TICK_NS else s for s in now]
        if now[0] is not None and now[0] != self._seen[0]:
            self._read_results()
        for i, stream in enumerate(self._streams, 1):
            if not self._results and now[i] is not None and now[i] != self._seen[i] and stream.read():
                seen[i] = None  # there is more of it
        self._seen = seen
        took = time.monotonic() - started
        self._not_before = started + 20 * took if took > 0.02 else 0.0  # a big file must not hold up the other trials
        return self._since_last()

    def _read_results(self) -> None:
        try:
            fd = _open_folder(self._root, self._result_dir)
            try:
                rows = parse_rows(safe_read(fd, RESULT))
            finally:
                os.close(fd)
        except (ContractError, OSError, MemoryError):
            return
        if rows:
            self._results = rows

    def _since_last(self) -> tuple[tuple[Row, ...], bool] | None:
        rows = self._results or next((s.rows for s in self._streams if s.rows), ())
        if not rows:
            return None
        given, self._given = self._given, tuple(rows)
        if len(rows) < len(given) or not all(map(_same, given, rows)):
            return self._given, True
        return (self._given[len(given) :], False) if len(rows) > len(given) else None


_Signature = tuple[int, int, int]
_TICK_NS = 20_000_000  # of the clock that stamps files


def _signature(path: str) -> _Signature | None:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _same(a: Row, b: Row) -> bool:
    """Equality by which NaN is NaN."""
    if a is b:
        return True
    x, y = a.values, b.values
    return a.step == b.step and x.keys() == y.keys() and all(x[k] == y[k] or (x[k] != x[k] and y[k] != y[k]) for k in x)


class _Stream:
    """Follows one evaluation-metrics.txt from where the last read ended. A row that was read once stays as it is."""

    def __init__(self, root: str, folder: str) -> None:
        self.path = f"{folder}/{EMETRICS}"
        self._root, self._folder = root, folder
        self._restart(0)

    @property
    def rows(self) -> Sequence[Row]:
        return self._gathered.rows

    def _restart(self, inode: int) -> None:
        self._inode, self._offset, self._tail, self._lines = inode, 0, b"", 0
        self._gathered = _Rows()

    def read(self) -> bool:
        """Takes in what was appended; True if there is more to read."""
        try:
            folder = _open_folder(self._root, self._folder)
            try:
                fd, found = _open_file(folder, EMETRICS, MAX_BYTES)
            finally:
                os.close(folder)
            try:
                if found.st_ino != self._inode or found.st_size < self._offset:
                    self._restart(found.st_ino)
                data = os.pread(fd, _CHUNK, self._offset)
            finally:
                os.close(fd)
        except (ContractError, OSError):
            return False
        self._offset += len(data)
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()[: _MAX_LINE + 1]
        self._lines += len(lines)
        if self._lines > MAX_LINES:
            return False
        self._gathered.add(_entries(lines))
        return bool(data) and self._offset < found.st_size


# -- the verdict -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """What a trial's files said, read once after all its processes ended.

    `source`: the file that the rows come from (""; none). `problem`: what is wrong; with rows, only a note (the other
    file had them). `strange`: metrics that are no numbers, and what they are. `digest`: sha256 of the file's bytes.
    """

    rows: tuple[Row, ...] = ()
    source: str = ""
    problem: str | None = None
    strange: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the rows have, in order of appearance."""
        return tuple({name: None for row in self.rows for name in row.values})


def final_rows(paths: TrialPaths) -> Reading:
    """Reads the trial's results. Call it when no process of the trial is left.

    `val_dict_list.json` counts wherever it has a row. Where it is missing, empty of rows or broken,
    `evaluation-metrics.txt` counts: its lines are each whole, however the script ended (what was broken stays as the
    note). Where RESULT_DIR itself is gone nothing counts: the trial's folder is not what was laid out.
    """
    root, problem = paths.study.root, ""
    try:
        data = _read_below(root, paths.result_dir, RESULT, "RESULT_DIR")
        rows, strange = _parse(data)
        if rows:
            return Reading(rows, RESULT, None, strange, _digest(data))
        problem = f"{RESULT} has no entries"
    except _Gone as error:
        return Reading(problem=str(error))
    except _Missing:
        pass
    except ContractError as error:
        problem = str(error)
    also = ""
    for folder in (f"{paths.log_dir}/{paths.name}", paths.log_dir):
        try:
            data = _read_below(root, folder, EMETRICS, "LOG_DIR")
            if rows := parse_emetrics(data):
                note = f"{problem}; {EMETRICS} was used instead" if problem else None
                return Reading(rows, EMETRICS, note, {}, _digest(data))
            also = also or f"{EMETRICS} has no metrics"
        except (_Missing, _Gone):
            pass
        except ContractError as error:
            also = str(error)
    if problem:
        return Reading(problem=problem)
    return Reading(problem=f"wrote no {RESULT} in RESULT_DIR ({also or f'and no {EMETRICS} in LOG_DIR'})")


def verdict(reading: Reading, objective: Objective, trial_id: int) -> tuple[float | None, str]:
    """The trial's value (None: it has none) and what there is to say about it in one line ("" if nothing)."""
    value = objective.pick(reading.rows)
    if value is not None:
        return value, f"trial {trial_id}: {reading.problem}" if reading.problem else ""
    return None, f"trial {trial_id}: {_why_none(reading, objective.metric)}"


def _why_none(reading: Reading, metric: str) -> str:
    rows, name, source = reading.rows, _quoted(metric), reading.source
    if not rows:
        return reading.problem or "has no results"
    note = f" ({reading.problem})" if reading.problem else ""
    if having := [row.values[metric] for row in rows if metric in row.values]:
        where = f"any of {len(having)} rows" if len(having) > 1 else "the only row"
        return f"{name} is not finite in {where} of {source} (last: {having[-1]}){note}"
    if metric in reading.strange:
        return f"{name} is {reading.strange[metric]} in {source}, not a number{note}"
    if not reading.metrics:
        return f"no metric {name} in {source}; it has no numbers at all ({_span(rows)}){note}"
    names = [_quoted(m) for m in reading.metrics[:8]]
    more = f" and {len(reading.metrics) - 8} more" if len(reading.metrics) > 8 else ""
    return f"no metric {name} in {source}; it has {', '.join(names)}{more} ({_span(rows)}){note}"


def thin(rows: Sequence[Row], limit: int = 10_000) -> tuple[Row, ...]:
    """At most `limit` (>= 2) of the rows, evenly spread, the first and the last among them."""
    if len(rows) <= limit:
        return tuple(rows)
    return tuple(rows[i * (len(rows) - 1) // (limit - 1)] for i in range(limit))


def _read_below(root: str, folder: str, name: str, called: str) -> bytes:
    try:
        fd = _open_folder(root, folder)
    except OSError as error:
        raise _gone(called, error) from None
    try:
        return safe_read(fd, name, called=called)
    finally:
        os.close(fd)


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _span(rows: Sequence[Row]) -> str:
    low, high = min(row.step for row in rows), max(row.step for row in rows)
    return f"step {low}" if low == high else f"steps {low}-{high}"
