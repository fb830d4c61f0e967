"""The life of an attempt: intended, laid out, launched, read while it runs, and judged when it has ended.

Whatever goes wrong with the machine on the way is kept apart from what a script did wrong, see `trouble`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from hpo_engine.contract.sources.interface import Reading
from hpo_engine.contract.sources.verdict import failure, or_seen, thin, verdict
from hpo_engine.core.outcome import judge, without_value
from hpo_engine.core.ports import Adoption, Ended, Executor, Launch, Started, Workspace
from hpo_engine.core.recorder import Recorder
from hpo_engine.core.trouble import Trouble
from hpo_engine.errors import ContractError, LaunchError
from hpo_engine.failpoints import failpoint
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    MetricsSeen,
    SourceUsed,
    TrialEnded,
)
from hpo_engine.study.objective import Row
from hpo_engine.study.rows import added, continued, same_rows
from hpo_engine.study.trial import Attempt, Exit, Outcome, StopCause, Trial, TrialState
from hpo_engine.system.faults import at_fault, described
from hpo_engine.text.tables import counted

_log = logging.getLogger(__name__)

_LOG_MIN = 1 << 12
_MAY_COUNT = (StopCause.DIVERGED, StopCause.CONVERGED, StopCause.TIME_LIMIT)
_LEFT_TOLD = 3


class _Judged(NamedTuple):
    """The end of an attempt, interpreted for its trial. `exit`: as recorded, with faults of the machine marked."""

    outcome: Outcome
    exit: Exit
    values: tuple[float, ...] | None


class Attempts:
    """Runs the attempts of one study.

    Args:
        check: raises if the study is no longer this engine's; called before each launch.
    """

    def __init__(
        self,
        recorder: Recorder,
        executor: Executor,
        workspace: Workspace,
        check: Callable[[], None],
    ) -> None:
        self._recorder, self._executor, self._workspace, self._check = recorder, executor, workspace, check
        self._trouble = Trouble()
        self._preparing: set[int] = set()  # trials whose files are being copied beside the loop
        self._trials: dict[str, int] = {}  # by nonce: those whose attempts the executor has
        self._unread: dict[str, Ended] = {}  # whose results could not be read, for want of descriptors say
        self._told_anew = False
        self._times_left = 0  # trials that have left processes behind

    # -- starting --------------------------------------------------------------------------------------------------

    def room(self, now: float) -> int:
        """How many attempts may start in this turn, given the state of the machine; see `Trouble.room`."""
        if self._preparing and self._trouble.lasts:  # whether there is room again shows when the copies are made
            return 0
        return self._trouble.room(now)

    def free(self, wanted: int) -> int:
        """How many of `wanted` more attempts can start now; those whose files are being copied have their room."""
        if not wanted:
            return 0
        preparing = len(self._preparing)
        free = self._executor.free(self._recorder.history.spec.resources, wanted + preparing)
        return max(0, free - preparing)

    def intend(self, trial_id: int, now: float) -> None:
        """Records that an attempt will start; call `start` once that is committed."""
        trial = self._recorder.history.trials[trial_id]
        attempt = Attempt(len(trial.attempts) + 1, secrets.token_hex(8), trial.params, resume=trial.resume)
        variables = self._recorder.environment(trial, attempt) or None
        self._recorder.record(AttemptIntended(now, trial_id, attempt.number, attempt.nonce, variables))

    def start(self, trial_id: int, now: float) -> None:
        """Lays the trial's folder out and launches the attempt that the log promises. If files have to be copied first
        and that takes long, `go_on` does so once they are."""
        history = self._recorder.history
        trial = history.trials[trial_id]
        assert trial.attempt is not None
        self._check()
        self._trouble.tries(trial.id)
        try:
            if trial_id not in self._preparing and any(a.exit and a.exit.machine for a in trial.attempts[:-1]):
                self._workspace.await_room()
            if not self._workspace.prepare(trial, history.whole_config(trial), history):
                self._preparing.add(trial_id)
                return
        except (ContractError, LaunchError, OSError) as error:
            # Its folder cannot be prepared (a link is in its place, say): the trial fails, the study continues. If the
            # disk is full, or the study's own folders have been changed, it is not the trial's fault.
            machine = at_fault(error) or not self._workspace.sound()
            if isinstance(error, OSError):
                if not machine:
                    raise
                error = LaunchError(described(error))
            self._ended(trial, Ended(trial.nonce, Exit(error=str(error), machine=machine)), now)
            return
        self._preparing.discard(trial_id)
        self._executor.launch(replace(self._launch_of(trial), resumed=self._workspace.resumed(trial, history)))

    def go_on(self, now: float) -> None:
        """Launches the attempts whose files have been copied."""
        for trial_id in sorted(self._preparing):
            self.start(trial_id, now)

    def stop(self, trial: Trial, cause: StopCause, now: float, *, kill: bool = False) -> None:
        """Ends the trial's attempt, see `Executor.stop`; at once if its files are still being copied."""
        if trial.id not in self._preparing:
            stop = self._recorder.history.trials[trial.id].stop
            self._executor.stop(trial.nonce, cause, kill=kill, reason="" if stop is None else stop.reason)
            return
        self._workspace.abandon(trial.id)
        self._ended(self._recorder.history.trials[trial.id], Ended(trial.nonce, Exit(stop_cause=cause)), now)

    def adopt(self, now: float) -> int:
        """Takes over trials that the log has as running, starts those that never began. Returns how many still run."""
        adopted, fresh = 0, []
        for trial in self._recorder.history.running:
            adoption = self._executor.adopt(self._launch_of(trial))
            failpoint("resume.adopted")
            adopted += adoption is Adoption.RUNNING
            if adoption is Adoption.NEVER:
                fresh.append(trial)
        for trial in fresh:
            if len(trial.attempts) == 1:  # it never ran: its folder is at most half prepared
                self._workspace.discard(trial.id)
            self.start(trial.id, now)  # (what an earlier attempt left is set aside there)
        return adopted

    def _launch_of(self, trial: Trial) -> Launch:
        spec, attempt = self._recorder.history.spec, trial.attempt
        assert attempt is not None
        self._trials[attempt.nonce] = trial.id
        return Launch(
            trial.id,
            attempt.number,
            attempt.nonce,
            spec.resources,
            spec.trial.time_limit_s,
            spec.trial.grace_s,
            max(_LOG_MIN, int(spec.trial.log_mb * (1 << 20))),
            spec.trial.preload,
            begun=attempt.started_at is not None,
            devices=attempt.devices,
            values=self._recorder.history.config(trial),
            variables=attempt.variables,
            shared=self._recorder.shared_variables,
        )

    # -- running ---------------------------------------------------------------------------------------------------

    def reap(self, now: float) -> None:
        """Records which attempts have started and which have ended."""
        for news in (*self._unread.values(), *self._executor.reap()):
            if (trial_id := self._trials.get(news.nonce)) is None:
                continue
            trial = self._recorder.history.trials[trial_id]
            if isinstance(news, Started):
                self._recorder.record(AttemptStarted(now, trial.id, len(trial.attempts), news.pid, news.devices))
                self._trouble.eased(trial.id, now)
                failpoint("attempt.started")
            else:
                self._ended(trial, news, now)

    def read_rows(self, now: float) -> None:
        """Records what running trials have reported since the last call."""
        used = self._recorder.history.sources_used
        for trial in self._recorder.history.running:
            if trial.id not in self._preparing and (fresh := self._workspace.fresh_rows(trial, used)):
                (rows, anew), provisional = fresh, self._workspace.provisional(trial.id)
                same = anew and same_rows(continued(trial.before, rows), trial.rows)
                if same and provisional == trial.provisional:
                    continue
                self._recorder.record(MetricsSeen(now, trial.id, self._thinned(rows), anew, provisional))
                failpoint("trial.metrics-seen")

    def _thinned(self, rows: Sequence[Row]) -> Sequence[Row]:
        return thin(rows, wanted=[aim.metric for aim in self._recorder.history.spec.objectives])

    # -- ended -----------------------------------------------------------------------------------------------------

    def _ended(self, trial: Trial, news: Ended, now: float) -> None:
        """running -> pending (it runs again) or an end state, by how it ended and what it wrote."""
        failpoint("attempt.reaped")
        unbegun = news.exit.machine or trial.id in self._preparing
        self._preparing.discard(trial.id)
        try:
            cut = not news.exit.clean
            used = self._recorder.history.sources_used
            reading = Reading() if unbegun else self._workspace.final_rows(trial, cut=cut, used=used)
        except OSError as problem:
            self._unread[news.nonce] = news
            text = f"the results of trial {trial.id} cannot be read: {problem.strerror}"
            self._met(trial.id, text, "they will be read again", now)
            return
        self._unread.pop(news.nonce, None)
        self._trials.pop(news.nonce, None)
        if news.exit.leftovers:
            self._left_behind(trial.id, news.exit.leftovers)
        exit_ = news.exit
        if trial.told_to_end and trial.stop is not None and not exit_.clean:  # whatever else ended it
            exit_ = replace(exit_, stop_cause=trial.stop.cause)
        if exit_.stop_cause in _MAY_COUNT:  # what it had reported may count
            reading = or_seen(reading, added(trial.base, trial.rows))
        rows = self._thinned(reading.rows)
        if rows and (trial.provisional or not same_rows(continued(trial.before, rows), trial.rows)):
            self._recorder.record(MetricsSeen(now, trial.id, rows, True))
        if (attempt := self._recorder.history.trials[trial.id].attempt) is not None and attempt.anew:
            self._began_anew(trial)
        failpoint("attempt.judged")
        judged = self._judge(trial, exit_, reading)
        if judged.values is not None and reading.key and reading.key not in used:
            self._recorder.record(SourceUsed(now, trial.id, reading.key, reading.source, reading.steps, reading.others))
        self._record_end(trial, judged, reading.digest, now)
        failpoint("trial.ended")
        self._note_machine(trial.id, judged.exit, now)
        if _log.isEnabledFor(logging.INFO):
            state, reason = judged.outcome.state.value, judged.outcome.reason
            _log.info("trial %d: attempt %d %s %s", trial.id, len(trial.attempts), state, reason)

    def _judge(self, trial: Trial, exit_: Exit, reading: Reading) -> _Judged:
        history, output = self._recorder.history, self._cause(trial, exit_)
        outcome = judge(history, trial, exit_, output)
        values = None
        if outcome.state is TrialState.COMPLETED:
            values, lacking = verdict(reading, history.spec.objectives, trial.id)
            if values is not None and trial.before:  # it has a value of its own: what counts is that of all its rows
                whole = replace(reading, rows=tuple(continued(trial.before, reading.rows)))
                values, _ = verdict(whole, history.spec.objectives, trial.id)
            if values is None:
                error = "" if reading.rows else self._workspace.error(trial.id, len(trial.attempts))
                lacking += f"; its output has: {error[:300]}" if error else ""
                if not reading.rows and (seen := len(added(trial.base, trial.rows))):
                    lacking += f" ({counted(seen, 'row')} read while it ran: what held them is gone or was emptied)"
                kind = failure(reading, history.spec.objectives)
                outcome = without_value(trial, exit_, outcome, kind, lacking)
        if outcome.state is TrialState.FAILED and self._workspace.was_uprooted(trial.id, history):
            exit_ = replace(exit_, lost=True, error="the study's folders were removed while it ran")
            outcome = judge(history, trial, exit_, output)
        elif why_full := self._out_of_room(trial, exit_, outcome, output or outcome.reason):
            exit_ = replace(exit_, machine=True, error=f"trial {trial.id} could not write: {why_full}")
            outcome = judge(history, trial, exit_, output)
        return _Judged(outcome, exit_, values)

    def _record_end(self, trial: Trial, judged: _Judged, digest: str | None, now: float) -> None:
        outcome, exit_, values = judged
        state, reason = outcome.state, outcome.reason
        failure = None if outcome.failure is None else outcome.failure.value
        if state is TrialState.PENDING:
            self._recorder.record(AttemptEnded(now, trial.id, len(trial.attempts), exit_.to_json(), reason, failure))
            return
        if state is TrialState.PAUSED:
            number, goes_on = len(trial.attempts), self._can_go_on(trial)
            self._recorder.record(
                AttemptEnded(now, trial.id, number, exit_.to_json(), reason, paused=True, goes_on=goes_on)
            )
            return
        value = values[0] if values else None
        values = values if self._recorder.history.spec.multi_objective else None
        good, limited = state is TrialState.COMPLETED, self._recorder.history.spec.checkpoints.disk_bytes is not None
        left = self._workspace.checkpoint(trial) if good or (limited and not exit_.unstarted) else None
        newest, taken_up = (None, None) if left is None else (left.newest if good else None, left.bytes or None)
        self._recorder.record(
            TrialEnded(
                now, trial.id, state.value, value, reason, exit_.to_json(), digest, values, failure, newest, taken_up
            )
        )
        if not (exit_.lost or exit_.error):
            self._workspace.over(trial.id)

    def _can_go_on(self, trial: Trial) -> bool:
        """Whether a trial that was paused can go on from what its attempt has left, instead of beginning anew."""
        resource = self._recorder.history.spec.resource
        if trial.goes_on or (resource is not None and resource.resume == "always"):
            return True
        left = self._workspace.checkpoint(trial)
        return left is not None and left.newest is not None

    def _cause(self, trial: Trial, exit_: Exit) -> str:
        """Why the attempt failed, according to its output; "" if that does not say."""
        if exit_.clean or exit_.lost or exit_.machine:
            return ""
        return self._workspace.cause(trial.id, len(trial.attempts), killed=exit_.signal is not None)

    def _left_behind(self, trial_id: int, count: int) -> None:
        """Warns the first few times only, since a script behaves alike in each trial."""
        self._times_left += 1
        if self._times_left > _LEFT_TOLD:
            return
        left = counted(count, "process", "processes")
        more = "; of later trials, only `hpo-engine show` tells" if self._times_left == _LEFT_TOLD else ""
        were = "it was" if count == 1 else "they were"
        _log.warning("trial %d left %s behind; %s killed%s", trial_id, left, were, more)

    def _began_anew(self, trial: Trial) -> None:
        """Warns once, since a script behaves alike in each trial."""
        if self._told_anew:
            return
        self._told_anew = True
        _log.warning(
            "trial %d was to go on from its checkpoint, but its steps begin anew: it has trained them all again, and "
            "the new rows replace the earlier ones; let the script load HPO_RESUME_FROM (in command: "
            "--ckpt_path {resume_from}), or write resume: never under resource",
            trial.id,
        )

    # -- faults of the machine -------------------------------------------------------------------------------------

    def _out_of_room(self, trial: Trial, exit_: Exit, outcome: Outcome, output: str) -> str:
        """Why a full disk may have caused the failure or the missing results ("": it did not)."""
        retry = outcome.state is TrialState.PENDING and not exit_.clean
        if exit_.stop_cause or exit_.lost or exit_.error or not (outcome.state is TrialState.FAILED or retry):
            return ""
        return self._workspace.out_of_room(trial.id, output, seen=exit_.full)

    def _note_machine(self, trial_id: int, exit_: Exit, now: float) -> None:
        if not exit_.machine:
            self._trouble.over(trial_id, now)
            return
        if not exit_.unstarted:
            self._trouble.cut_short(trial_id, str(exit_), now)
        self._met(trial_id, str(exit_), f"trial {trial_id} will be started again", now)

    def _met(self, trial_id: int, why: str, then: str, now: float) -> None:
        """Notes a fault of the machine."""
        alone = len(self._recorder.history.running) == len(self._unread)
        self._trouble.met(trial_id, why, then, now, alone=alone)
