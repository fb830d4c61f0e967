"""Studies on disk: a folder is created (completely or not at all), read, compared with a file, and removed.

Knows the folder and its event log; starts no engine and no trial.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from hpo_engine.contract import binding, git, layout
from hpo_engine.contract.command import script_of
from hpo_engine.contract.needed import refuse_missing
from hpo_engine.contract.paths import CONFIG, OWN_SCRIPT, SERVICE, StudyPaths, is_below, is_study, locate
from hpo_engine.contract.snapshot.redirect import redirect
from hpo_engine.errors import EngineError, JournalError, Problem, SpecError, StudyExists, StudyNotFound
from hpo_engine.failpoints import failpoint
from hpo_engine.store.database import is_ours
from hpo_engine.store.journal import Journal, read_history
from hpo_engine.store.lock import StudyLock, hold_folder
from hpo_engine.study.events import fold, opening
from hpo_engine.study.history import History
from hpo_engine.study.projection import Projection
from hpo_engine.study.spec import (
    SOURCES_AUTO,
    Isolation,
    LinkedFile,
    Named,
    Params,
    PriorTrial,
    Resources,
    SearchPlugin,
    StudySpec,
)
from hpo_engine.study.trial import StopCause, Trial, TrialState
from hpo_engine.studyfile.common import read_base_config
from hpo_engine.system.faults import placed
from hpo_engine.text.quoting import listed, shortened

_NEW = ".new-"
_MAY_DIFFER = ("budget", "notes", "dialect", "submitted_code", "prior", "base", "linked", "isolation")  # of a StudySpec
_LIMITS = ("trials", "runs", "time_limit", "parallel", "dialect", "submitted_code")  # of a study file


class Script(NamedTuple):
    """A script that is made for one study, from a Python function.

    `folder`: where it is, on the same file system as the study; its files (`OWN_SCRIPT`) are moved into the study's
    copy of the script's folder. `exclude`: patterns of what trials do not get of that folder.
    """

    folder: str
    exclude: Sequence[str] = ()


def read(paths: StudyPaths) -> History:
    """The study's history; the rows of its trials are read when they are first used. Raises JournalError."""
    return read_history(paths.db)


def with_prior(spec: StudySpec, root: str) -> tuple[StudySpec, list[str]]:
    """The study with the trials of the earlier studies in `warm_start`, as they are now, and notes for the user.

    Raises:
        SpecError: an earlier study does not exist, or cannot be read.
    """
    from hpo_engine.searchers.observations import Observer
    from hpo_engine.searchers.prior import reduced

    prior, notes, problems = list[PriorTrial](), list[str](), list[Problem]()
    studies = 0
    for i, name in enumerate(spec.warm_start):
        path = f"warm_start[{i}]"
        try:
            paths = locate(name, root)
            history = Projection().of(read(paths))  # its trials as its own space has them by now
        except (StudyNotFound, JournalError) as error:
            itself = name == spec.name and isinstance(error, StudyNotFound)
            is_module = name.isidentifier() and "did you mean" not in str(error)
            hint = "; modules to import before trials start belong in trial.preload" if is_module else ""
            problems.append(Problem(path, "is this study itself; name an earlier one" if itself else f"{error}{hint}"))
            continue
        done = [t for t in history.trials if t.state is TrialState.COMPLETED]
        told = reduced(studies, spec.space, done, Observer(history.spec.space).read(history).losses.tolist())
        notes += [f"{path}: {history.spec.name} {text}" for text in _doubts(history, spec, len(done), told)]
        prior += told
        studies += bool(told)
    if problems:
        raise SpecError(problems)
    return replace(spec, prior=tuple(prior)), notes


def _doubts(history: History, spec: StudySpec, done: int, told: Sequence[PriorTrial]) -> list[str]:
    """Notes on an earlier study."""
    old, new = (", ".join(f"{a.goal} {a.metric}" for a in study.objectives) for study in (history.spec, spec))
    if not done:
        return ["has no completed trial, so it has no effect"]
    if not told:
        return ["has no parameter in common with this study, so it has no effect"]
    if old != new:
        return [f"was to {old}, this one is to {new}; only the order of its trials counts"]
    return []


def stop_unled_trial(paths: StudyPaths, trial: Trial, *, kill: bool, cause: StopCause = StopCause.USER) -> None:
    """Asks a trial that runs without an engine to stop; the next engine records it.

    If the study is a copy, and the trial runs in the original folder, nothing is asked.
    """
    from hpo_engine.executors.local import records

    if (attempt := trial.attempt) is not None:
        folder = paths.trial(trial.id).attempt(attempt.number)
        why = "paused by the user" if cause is StopCause.PAUSE else "stopped by the user"
        records.ask_to_stop(folder, attempt.nonce, cause, kill=kill, reason=why)


def create(
    spec: StudySpec,
    source: str,
    root: str,
    now: float,
    say: Callable[[str], None] = lambda note: None,
    *,
    metric_files: Sequence[str] = (),
    script: Script | None = None,
    passing: bool = False,
) -> StudyPaths:
    """Makes the folder of a new study under another name, then renames it, so that it is complete or absent.

    Args:
        say: called with each note on the copy of the model folder; the notes are kept with the study, too.
        metric_files: those that a run by hand may have left in the model folder, see `assembly.metric_files`.
        script: one that is made for this study.
        passing: the model folder will not stay (an upload): all of it is copied, and the study's own copy is named as
            the model folder from now on.

    Raises:
        StudyExists: the name is taken. SpecError: the model folder cannot be copied, or base_config cannot be read.
    """
    if spec.seed is None:
        spec = replace(spec, seed=secrets.randbelow(2**31))
    if spec.base_config is not None:
        spec = replace(spec, base=base_of(spec))
    try:
        os.makedirs(root, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise SpecError(f"--root {root}: not a folder") from None
    _sweep_new(root)
    final = os.path.join(root, spec.name)
    aside, held = _made_aside(root)
    try:
        failpoint("study.folder-made")
        settled = StudyPaths(final).model if passing else ""
        notes = _fill(StudyPaths(aside), spec, source, root, now, metric_files, script, settled)
        _place(aside, final)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        # The hidden name would mean nothing to the user.
        if isinstance(error, JournalError):
            raise JournalError(str(error).replace(aside, final)) from error
        if isinstance(error, OSError):
            placed(error, final, needed=error.__dict__.get("needed", 0))
            error.filename = error.filename.replace(aside, final)
        raise
    finally:
        os.close(held)
    for note in notes:
        say(note)
    return StudyPaths(final)


@contextlib.contextmanager
def scratch(root: str) -> Iterator[str]:
    """A hidden folder beside the studies for one that nobody keeps; removed at the end, or if this process is killed by
    the next one that makes a study there. What has been moved out of it stays. Raises SpecError, OSError."""
    above = not os.path.lexists(root)
    try:
        os.makedirs(root, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise SpecError(f"--root {root}: not a folder") from None
    _sweep_new(root)
    folder, held = _made_aside(root)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)
        if above:
            with contextlib.suppress(OSError):  # somebody has made a study in it meanwhile
                os.rmdir(root)


def _fill(
    paths: StudyPaths,
    spec: StudySpec,
    source: str,
    root: str,
    now: float,
    stale: Sequence[str],
    script: Script | None,
    settled: str,
) -> list[str]:
    """Fills the folder of a new study. Returns notes on the copy of the model folder. `settled`: what the study calls
    its model folder once it has its name ("": as it is)."""
    from hpo_engine.contract import snapshot

    asked = git.Asked(spec.model_dir, os.environ, root)  # which answers while the folder is copied
    patterns = [*spec.exclude, *(script.exclude if script is not None else ())]
    most = {"big_bytes": sys.maxsize} if settled else {}
    excluded = [] if settled else _not_copied(spec.model_dir, root)
    found = snapshot.freeze(spec.model_dir, paths.model, exclude_paths=excluded, stale=stale, patterns=patterns, **most)
    refuse_missing(spec, found)
    if spec.isolation is not None and spec.isolation.plugin is not None:
        from hpo_engine.isolation import installed

        installed.freeze(spec.isolation.plugin, paths.plugin)
    if script is not None:
        found.unused = [pattern for pattern in found.unused if pattern in spec.exclude]
        hidden = snapshot.Patterns(script.exclude)
        found.excluded = {name: amount for name, amount in found.excluded.items() if not hidden.verdict(name, False)}
        for name in os.listdir(script.folder):
            os.replace(f"{script.folder}/{name}", f"{paths.model}/{name}")
    if script_of(spec.command) == OWN_SCRIPT[0] and not os.path.exists(f"{paths.model}/{OWN_SCRIPT[0]}"):
        text = f"{OWN_SCRIPT[0]} is made from a Python function; submit the study where it was, by hpo_engine.tune"
        raise SpecError([Problem("command", text)])
    redirected = redirect(binding.command(spec, sys.executable), os.environ, spec.env, spec.model_dir, paths.model)
    notes = [*snapshot.notes(found), *_note_on_config(spec), *redirected.notes]
    linked = tuple(LinkedFile(file.name, file.size, file.mtime_ns) for file in found.linked)
    spec = replace(spec.noted(*notes), linked=linked)
    if settled:
        spec = rebased(spec, spec.model_dir, settled)
    failpoint("study.frozen")
    layout.lay_out_study(paths, binding.user_of(os.environ))
    with open(paths.source, "w", encoding="utf-8") as file:
        file.write(source)
    journal = Journal(paths.db, write=True)
    events = opening(spec, now, source, _starts(spec), asked.code())
    journal.append(events, fold(events))
    journal.close()
    return notes


def _not_copied(model_dir: str, root: str) -> list[str]:
    """The folder of the studies; or, if the script is in it, what is in that folder besides: studies, and what a
    service keeps there."""
    if os.path.realpath(model_dir) != os.path.realpath(root):
        return [root]
    studies = [name for name in os.listdir(root) if is_study(StudyPaths(f"{root}/{name}"))]
    return [f"{root}/{name}" for name in os.listdir(root) if name in (*studies, SERVICE) or name.startswith(_NEW)]


def rebased(value: Any, old: str, new: str) -> Any:
    """A study, or a part of one, with the folder `new` wherever it names `old` or what is below that."""
    if isinstance(value, str):
        return new + value[len(old) :] if is_below(value, old) else value
    if isinstance(value, Mapping):
        return {key: rebased(each, old, new) for key, each in value.items()}
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple([rebased(each, old, new) for each in value])
    if isinstance(value, list):
        return [rebased(each, old, new) for each in value]
    if isinstance(value, StudySpec | Named | Isolation | SearchPlugin):
        return replace(value, **{f.name: rebased(getattr(value, f.name), old, new) for f in fields(value) if f.init})
    return value


def _place(aside: str, final: str) -> None:
    """Gives a complete study its name. Raises StudyExists: the name is taken."""
    try:
        os.rename(aside, final)
    except OSError as error:
        if os.path.lexists(final):
            raise StudyExists(f"{final} exists; choose another --name, or remove it") from error
        raise
    failpoint("study.placed")


def _starts(spec: StudySpec) -> Sequence[tuple[int, Params]]:
    """Configurations of earlier studies to try first, each with the index of its study."""
    if not spec.prior:
        return []
    from hpo_engine.searchers.prior import starts  # numpy: not without earlier studies

    return starts(spec)


def _made_aside(root: str) -> tuple[str, int]:
    """A new folder under a hidden name, and a descriptor that protects it from `_sweep_new`."""
    while True:
        aside = os.path.join(root, f"{_NEW}{os.getpid()}-{secrets.token_hex(4)}")
        try:
            os.mkdir(aside)
        except OSError as error:
            error.filename = root
            raise
        with contextlib.suppress(FileNotFoundError):  # swept before it was protected
            if (held := hold_folder(aside)) is not None:
                return aside, held


def base_of(spec: StudySpec) -> dict[str, Any]:
    """The contents of the file that `base_config` names."""
    return read_base_config(os.path.join(spec.model_dir, spec.base_config or ""))


def _note_on_config(spec: StudySpec) -> list[str]:
    """Notes on a config.json in the model folder, which each trial replaces with its own."""
    from hpo_engine.contract import snapshot

    try:
        with open(os.path.join(spec.model_dir, CONFIG), encoding="utf-8-sig") as file:
            config = json.load(file)
    except (OSError, ValueError, RecursionError):
        return []
    note = snapshot.dropped_config(
        config, [*spec.base, *(p.name for p in spec.space.params), *([spec.resource.name] if spec.resource else [])]
    )
    return [note] if note else []


def remove(paths: StudyPaths) -> None:
    """Deletes the study's folder. Raises StudyLocked while an engine runs it, EngineError while a trial runs."""
    from hpo_engine.executors.local import records

    if os.path.islink(paths.root):
        raise EngineError(f"{paths.root} is a link; remove the folder that it points to")
    ours = all(os.path.exists(p) for p in (paths.source, paths.results, paths.trials, paths.logs))
    if not (ours or is_ours(paths.db)):
        raise SpecError(f"{paths.root} is not a study; nothing was removed")
    lock = StudyLock(paths.lock, can_wait=False)
    try:
        with contextlib.suppress(JournalError):  # a damaged study may be removed, too
            for trial in read(paths).running:
                attempt = trial.attempt
                assert attempt is not None
                folder = paths.trial(trial.id).attempt(attempt.number)
                if records.fate(folder, attempt.nonce)[0] is records.Fate.ALIVE:
                    raise EngineError(f"trial {trial.id} of {paths.root} still runs; stop the study first")
        gone = f"{os.path.dirname(paths.root)}/{_NEW}removed-{secrets.token_hex(4)}"
        os.rename(paths.root, gone)
        failpoint("study.removed")
        shutil.rmtree(gone)
    finally:
        lock.close()


def _sweep_new(root: str) -> None:
    """Removes what killed submits and removals have left unfinished.

    A process that works on such a folder holds a lock on it, because /proc may not show a process in a container.
    """
    for name in os.listdir(root):
        pid = name[len(_NEW) :].split("-")[0] if name.startswith(_NEW) else ""
        if pid == "removed" or (pid.isdigit() and not os.path.exists(f"/proc/{pid}")):
            path = os.path.join(root, name)
            with contextlib.suppress(OSError):
                if (held := hold_folder(path)) is not None:
                    shutil.rmtree(path, ignore_errors=True)
                    os.close(held)


def edited(paths: StudyPaths, spec: StudySpec) -> list[str]:
    """Files of the model folder that differ from the study's copy, and base_config if it differs.

    The study file, whose new limits count, is left out; so are files that were empty, such as a log that the shell
    writes.
    """
    changed = _changed_plugin(spec)
    if not os.path.isdir(spec.model_dir):
        return changed
    for folder, _, names in os.walk(paths.model):
        for name in names:
            copy = os.path.join(folder, name)
            relative = os.path.relpath(copy, paths.model)
            if relative in OWN_SCRIPT:  # its maker compares it
                continue
            try:
                same = os.path.islink(copy) or filecmp.cmp(copy, os.path.join(spec.model_dir, relative))
            except OSError:  # it is gone
                same = False
            if not same and os.path.getsize(copy) and not filecmp.cmp(copy, paths.source, shallow=False):
                changed.append(relative)
    if spec.base_config is not None and spec.base_config not in changed:
        try:
            same = base_of(spec) == spec.base
        except SpecError:
            same = False
        changed += [] if same else [spec.base_config]
    return sorted(changed)


def _changed_plugin(spec: StudySpec) -> list[str]:
    """The folder of the study's search plugin, if its files have changed since."""
    plugin = spec.isolation.plugin if spec.isolation is not None else None
    if plugin is None or not os.path.isdir(plugin.folder):
        return []
    from hpo_engine.isolation import installed

    return [] if installed.fingerprint(plugin.folder) == plugin.sha256 else [f"the plugin in {plugin.folder}"]


def linked_problem(paths: StudyPaths, spec: StudySpec) -> str | None:
    """One line on big linked files that were removed or changed since the study began; None if all are the same."""
    gone, changed = [], []
    for file in spec.linked:
        target = os.path.realpath(os.path.join(paths.model, file.name))
        try:
            seen = os.stat(target)
        except OSError:
            gone.append(target)
            continue
        if (seen.st_size, seen.st_mtime_ns) != (file.size, file.mtime_ns):
            changed.append(target)
    parts = [f"missing: {listed(gone, 3)} (put back what trials need)"] if gone else []
    parts += [f"changed since: {listed(changed, 3)} (later trials see it as it is now)"] if changed else []
    return f"of the big files that the study links to, {'; '.join(parts)}" if parts else None


def differences(old: StudySpec, new: StudySpec) -> list[str]:
    """One line for each field in which the two studies differ; limits do not count."""
    if (old.metric_sources, new.metric_sources) == (StudySpec.metric_sources, (Named(SOURCES_AUTO),)):
        new = replace(new, metric_sources=old.metric_sources)  # of a file that names none
    if old.resource and new.resource and (old.resource.resume, new.resource.resume) == ("never", "auto"):
        new = replace(new, resource=replace(new.resource, resume="never"))  # of a file of a version without `resume`
    if old == replace(
        new, **{name: getattr(old, name) for name in _MAY_DIFFER}, resources=_like(old, new), seed=old.seed
    ):
        return [f"seed: {old.seed} -> {new.seed}"] if new.seed not in (None, old.seed) else []
    from hpo_engine.studyfile.native import to_native  # pydantic: only on the way to an error

    left, right = (to_native(replace(spec, seed=None)) for spec in (old, new))
    out = list(_lines(left, right, _LIMITS))
    return out + ([f"seed: {old.seed} -> {new.seed}"] if new.seed not in (None, old.seed) else [])


def changes(old: StudySpec, new: StudySpec) -> list[str]:
    """One line for each field of the study file that is different after a change, limits too."""
    from hpo_engine.studyfile.native import to_native

    return list(_lines(to_native(old), to_native(new), ()))


def _lines(left: Mapping[str, Any], right: Mapping[str, Any], but: Collection[str]) -> Iterator[str]:
    """One line for each key of two study files that differs."""
    for key in dict.fromkeys([*left, *right]):
        if key == "space":
            yield from _space_differences(left.get(key, {}), right.get(key, {}))
        elif key not in but and left.get(key) != right.get(key):
            yield f"{key}: {' -> '.join(_brief(*(_shown(key, doc) for doc in (left, right))))}"


def _shown(key: str, document: Mapping[str, Any]) -> str:
    """A field as a study file has it; rules are shown without quotes."""
    value = document.get(key, [])
    if key == "require" and value:
        return value if isinstance(value, str) else "; ".join(value)
    return _json(value) if key in document else "none"


def _like(old: StudySpec, new: StudySpec) -> Resources:
    return replace(new.resources, parallel=old.resources.parallel)


def _space_differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line for each parameter that differs, as in a study file."""
    left, right = ({name: _json(entry) for name, entry in space.items()} for space in (old, new))
    sides = [(name, left.get(name, "none"), right.get(name, "none")) for name in dict.fromkeys([*left, *right])]
    changed = [f"space.{name}: {' -> '.join(_brief(was, now))}" for name, was, now in sides if was != now]
    return changed or (["space: the order of the parameters"] if list(left) != list(right) else [])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _brief(*texts: str) -> list[str]:
    """The texts, shortened; long ones begin just before they differ."""
    begin = len(os.path.commonprefix(texts)) - 40 if max(map(len, texts)) > 120 else 0
    cut = [f"...{text[begin:]}" if begin > 0 else text for text in texts]
    return [shortened(text, 120) for text in cut]
