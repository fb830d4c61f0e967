"""The files of a study's trials, in folders of this machine: laid out, read, and made again when they vanish.

Decides nothing about trials.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from hpo_engine.contract import binding, carrying, layout, stopnote
from hpo_engine.contract.binding import Resumed
from hpo_engine.contract.checkpoints import deleting, finding
from hpo_engine.contract.checkpoints.finding import Left
from hpo_engine.contract.copies import Copies
from hpo_engine.contract.foldercopy import Check
from hpo_engine.contract.outputlog import logfiles
from hpo_engine.contract.ownfiles import OwnFiles
from hpo_engine.contract.paths import StudyPaths, identity
from hpo_engine.contract.placing import values_of
from hpo_engine.contract.snapshot import Views
from hpo_engine.contract.sources import earlier
from hpo_engine.contract.sources.candidates import Candidate
from hpo_engine.contract.sources.found import Found
from hpo_engine.contract.sources.interface import Reading, TrialFiles
from hpo_engine.contract.sources.reports import Reports
from hpo_engine.errors import LaunchError, MachineError
from hpo_engine.failpoints import failpoint
from hpo_engine.study.history import History
from hpo_engine.study.merging import Past
from hpo_engine.study.objective import Row
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Origin, Trial, TrialState
from hpo_engine.system.faults import full, out_of_room, placed


class LocalWorkspace:
    """The Workspace of one study.

    Args:
        views: put the model folder's view into a fresh RESULT_DIR.
        user: what `binding.user_of` says.
        candidates: what the trials' metrics may be read from.
        copies: make large copies beside the loop.
    """

    def __init__(
        self,
        paths: StudyPaths,
        spec: StudySpec,
        views: Views,
        user: str,
        candidates: Sequence[Candidate],
        copies: Copies | None = None,
    ) -> None:
        self.paths, self._views, self._user, self._candidates = paths, views, user, candidates
        self._spec, self._files = spec, OwnFiles(spec, paths.model)
        self._has_log = os.path.exists(paths.db)
        self._copies = copies or Copies()
        self._ahead: set[int] = set()  # future trials whose folders are laid out already
        self._uprooted: set[int] = set()  # trials that were running when somebody removed results/, logs/ or trials/
        self._reports: dict[int, Reports] = {}  # of running trials

    @property
    def place(self) -> tuple[str, tuple[int, ...]]:
        return self.paths.root, identity(self.paths.root)

    def sound(self) -> bool:
        return layout.standing(self.paths)

    def recover(self, next_id: int) -> list[int]:
        return layout.set_aside_unknown(self.paths, next_id)

    # -- before an attempt -----------------------------------------------------------------------------------------

    def await_room(self) -> None:
        for folder in (self.paths.results, self.paths.logs, self.paths.trials):
            if full(folder):
                raise placed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), folder)

    def prepare(self, trial: Trial, config: Mapping[str, Any], history: History) -> bool:
        """Lays out the trial's folder for its latest attempt; False: files are still being copied, call it again.

        An attempt that continues from the trial's own files finds them as they are. For any other, what an earlier
        attempt left is set aside, and RESULT_DIR is fresh, or a copy of the files that the trial starts from.

        Raises:
            LaunchError: a link or a file stands where a folder must be, or the files to continue from are gone.
            MachineError: the study's folder is gone.
            OSError: see `faults.at_fault`.
        """
        self._reports.pop(trial.id, None)
        if _goes_on(trial):
            carrying.require_own(self.paths.trial(trial.id))
        try:
            return self._prepare(trial, config, history)
        except OSError as error:
            raise placed(error, self.paths.trial(trial.id).result_dir) from None

    def _prepare(self, trial: Trial, config: Mapping[str, Any], history: History) -> bool:
        try:
            return self._lay_out(trial, config, history)
        except (FileNotFoundError, LaunchError) as error:
            # Somebody may have removed results/, or all of it, a moment ago or while the study ran.
            there = layout.standing(self.paths) and os.path.lexists(self.paths.trial(trial.id).result_dir)
            if there and isinstance(error, LaunchError):
                raise
            self._make_again(history, but=trial.id)
            layout.lay_out(self.paths.trial(trial.id))  # there is to be a place where earlier attempts are set aside
            return self._lay_out(trial, config, history)

    def _lay_out(self, trial: Trial, config: Mapping[str, Any], history: History) -> bool:
        paths, number = self.paths.trial(trial.id), len(trial.attempts)
        goes_on = _goes_on(trial)
        copy = self._copy_of(trial, history)
        if copy is not None and not self._copies.made((trial.id, number), copy):
            return False
        if number > 1 and not goes_on:
            _make_way(self.paths, trial)
            failpoint("trial.aside")
        if trial.id in self._ahead and trial.origin is None:
            self._ahead.remove(trial.id)
            self._views.finish(paths.result_dir)
        else:
            self._ahead.discard(trial.id)
            layout.lay_out(paths)
            if number > 1:
                os.makedirs(paths.attempt(number), exist_ok=True)
            if goes_on:
                self._drop_kept(trial, history)
                self._reports_of(trial).carry_on(number - 1)
                self._views.carry_on(paths.result_dir)
            elif trial.origin is not None:
                carrying.place(paths)
                self._views.carry_on(paths.result_dir)
            else:
                self._views.lay(paths.result_dir)
        if goes_on or trial.origin is not None:
            with layout.opened(paths, paths.result_dir) as folder:
                stopnote.remove(folder)
        failpoint("trial.laid-out")
        resumed = self.resumed(trial, history)
        resume_from = None if resumed is None else resumed.path(paths)
        if self._spec.files:
            self._files.write(paths, values_of(self._spec, paths, history.config(trial), resume_from))
        if self._spec.resume_key is not None and resume_from is not None:
            config = {**config, self._spec.resume_key: resume_from}
        binding.write_config(paths, config)
        failpoint("trial.config-written")
        if goes_on or trial.origin is not None:
            self._record_earlier(trial)
        return True

    def _record_earlier(self, trial: Trial) -> None:
        """Records what the attempt finds that looks like reports, so that none of it is taken for its own."""
        files = self._files_of(trial)
        patterns = [pattern for each in self._candidates for pattern in each.make(files).patterns]
        found = [*Found(files, patterns).all()] if patterns else []
        if self._spec.seeks_checkpoints:
            found += finding.files_of(files.paths.result_dir, self._spec.checkpoints)
        if found or patterns:
            earlier.record(files.paths, files.attempt, found)

    def _copy_of(self, trial: Trial, history: History) -> Callable[[Check], None] | None:
        """What makes the copy that has to be whole before the trial's attempt can begin; None: it needs none."""
        paths, origin = self.paths.trial(trial.id), trial.origin
        if _goes_on(trial):  # RESULT_DIR is used again: what trials that have not ended start from must not be lost
            done = trial.done
            needed = done in trial.kept or any(t.origin == Origin(trial.id, done) for t in history.open)
            begun = self._copies.has((trial.id, len(trial.attempts)))  # it is made whatever became of those trials
            if begun or (needed and not carrying.is_kept(paths, done) and not _has_gone_on(trial, done)):
                return partial(carrying.keep, paths, done)
            return None
        if origin is None:
            return None
        layout.lay_out(paths)
        latest = not _has_gone_on(history.trials[origin.trial], origin.attempt)
        other = self.paths.trial(origin.trial)
        reports = [name for each in self._candidates for name in each.files(TrialFiles(paths))]
        return partial(carrying.copy_from, paths, other, origin.attempt, latest, reports)

    def _drop_kept(self, trial: Trial, history: History) -> None:
        """Removes copies of what earlier attempts left, kept for others to start from: the latest one is enough, unless
        a trial that may run again has started from an earlier one."""
        needed = {t.origin.attempt for t in history.trials if t.origin and t.origin.trial == trial.id and _may_run(t)}
        for attempt in trial.kept:
            if attempt < trial.done and attempt not in needed:
                carrying.drop(self.paths.trial(trial.id), attempt)

    def resumed(self, trial: Trial, history: History) -> Resumed | None:
        if trial.resume is None:
            return None
        checkpoint = None
        if self._spec.seeks_checkpoints:
            known = _known_checkpoint(trial, history)
            there = known is not None and os.path.lexists(f"{self.paths.trial(trial.id).result_dir}/{known}")
            checkpoint = known if there else finding.newest(self._files_of(trial), self._spec.checkpoints)
        return Resumed(history.inherited(trial), history.resumed_step(trial), checkpoint)

    def abandon(self, trial_id: int) -> None:
        self._copies.cancel(trial_id)

    def revise(self, spec: StudySpec) -> None:
        self._spec, self._files = spec, OwnFiles(spec, self.paths.model)

    def close(self) -> None:
        self._copies.close()

    def discard(self, trial_id: int) -> None:
        shutil.rmtree(self.paths.trial(trial_id).result_dir, ignore_errors=True)

    # -- ahead of a trial ------------------------------------------------------------------------------------------

    def next_ahead(self, history: History) -> int | None:
        """The trial to come whose folder can be laid out while others run; None if there is no need of any."""
        first, most = history.next_id, len(history.open_ids)
        last = first + min([most, *(left for left in (history.trials_left, history.runs_left) if left is not None)])
        return next((i for i in range(first, last) if i not in self._ahead), None)

    def lay_ahead(self, trial_id: int) -> None:
        """Lays a trial's folder out before it is due, so that a slot that gets free waits for less."""
        paths = self.paths.trial(trial_id)
        try:
            layout.lay_out(paths)
            self._views.begin(paths.result_dir)
        except (LaunchError, OSError):
            return  # it will be tried again, and told, when the trial is due
        self._ahead.add(trial_id)

    def clear_ahead(self) -> None:
        for trial_id in self._ahead:
            paths = self.paths.trial(trial_id)
            for folder in (paths.result_dir, paths.log_dir, paths.own):
                shutil.rmtree(folder, ignore_errors=True)
        self._ahead.clear()

    # -- results and output ----------------------------------------------------------------------------------------

    def fresh_rows(self, trial: Trial, used: Sequence[str] = ()) -> tuple[tuple[Row, ...], bool] | None:
        first = trial.id not in self._reports  # then it tells all rows, also those that an earlier engine saw
        if first:
            self._reports[trial.id] = self._reports_of(trial)
        fresh = self._reports[trial.id].fresh(used)
        return None if fresh is None else (fresh[0], fresh[1] or first)

    def provisional(self, trial_id: int) -> bool:
        return trial_id in self._reports and self._reports[trial_id].provisional

    def final_rows(self, trial: Trial, *, cut: bool, used: Sequence[str] = ()) -> Reading:
        reading = self._reports_of(trial).final(cut=cut, used=used)
        self._reports.pop(trial.id, None)
        return reading

    def _reports_of(self, trial: Trial) -> Reports:
        files = self._files_of(trial)
        growth = (trial.proposal.resource or 0) / trial.trained if trial.trained else None
        past = Past(trial.base, trial.before, growth, files.objectives)
        return Reports(files, self._candidates, past, files.objectives)

    def _files_of(self, trial: Trial) -> TrialFiles:
        return TrialFiles.of(self.paths.trial(trial.id), trial, self._spec)

    def checkpoint(self, trial: Trial) -> Left | None:
        return finding.left(self._files_of(trial), self._spec.checkpoints) if self._spec.seeks_checkpoints else None

    def delete_checkpoints(self, trial: Trial) -> None:
        deleting.delete(self._files_of(trial), self._spec.checkpoints, trial.ended_at)

    def error(self, trial_id: int, attempt: int) -> str:
        return logfiles.error(self.paths.trial(trial_id).attempt(attempt))

    def cause(self, trial_id: int, attempt: int, *, killed: bool) -> str:
        return logfiles.why(self.paths.trial(trial_id).attempt(attempt), killed=killed)

    def out_of_room(self, trial_id: int, output: str, *, seen: bool) -> str:
        paths = self.paths.trial(trial_id)
        return out_of_room((paths.result_dir, paths.log_dir, paths.own), output, seen)

    # -- after an attempt ------------------------------------------------------------------------------------------

    def over(self, trial_id: int) -> None:
        self._uprooted.discard(trial_id)
        self._views.ended(self.paths.trial(trial_id).result_dir)

    def was_uprooted(self, trial_id: int, history: History) -> bool:
        if not layout.standing(self.paths):
            self._make_again(history)
        uprooted = trial_id in self._uprooted
        self._uprooted.discard(trial_id)
        return uprooted

    def _make_again(self, history: History, but: int | None = None) -> None:
        """Makes the study's own folders that are missing. What running trials had in them is lost.

        Raises:
            MachineError: the study's folder itself is gone.
        """
        if not os.path.isdir(self.paths.root) or (self._has_log and not os.path.exists(self.paths.db)):
            raise MachineError(f"{self.paths.root} is gone: something removed the study while it ran")
        self._ahead.clear()
        if not layout.standing(self.paths):
            self._uprooted |= {trial.id for trial in history.running if trial.id != but}
        layout.lay_out_study(self.paths, self._user)


def _goes_on(trial: Trial) -> bool:
    return trial.attempt is not None and trial.attempt.resume == trial.id


def _may_run(trial: Trial) -> bool:
    """Whether its first result, for which its origin is needed, may still come: it is open, or failed."""
    return not trial.results and trial.state is not TrialState.COMPLETED


def _known_checkpoint(trial: Trial, history: History) -> str | None:
    """That of the result whose files were copied for a trial that starts from another one. None of a trial's own: an
    attempt that was interrupted since may have left a newer one."""
    if trial.goes_on or trial.origin is None:
        return None
    results = history.trials[trial.origin.trial].results
    return next((result.checkpoint for result in results if result.attempt == trial.origin.attempt), None)


def _has_gone_on(trial: Trial, attempt: int) -> bool:
    """Whether a later attempt than this one may have begun in the trial's RESULT_DIR."""
    return any(a.may_have_run for a in trial.attempts[attempt:])


def _make_way(study: StudyPaths, trial: Trial) -> None:
    """Sets aside what the last attempt that ran has left."""
    earlier = trial.attempts[:-1]
    ran = [a.number for a in earlier if a.exit is None or not a.exit.unstarted]
    if ran and ran[-1] == earlier[-1].number:
        layout.set_aside(study.trial(trial.id), ran[-1])
    else:  # the one before never began: what it has laid out is nothing to keep
        layout.make_way(study.trial(trial.id), ran[-1] if ran else 0)
