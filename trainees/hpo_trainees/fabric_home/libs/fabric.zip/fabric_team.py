"""The workers of one training: processes on this machine that each have a copy of the model.

They are forked, so nothing of a script has to be picklable. Where a fork cannot train (the process has already used a
GPU, or autograd), one process does the work of all of them, one part of each batch after the other: the gradients are
the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist

_PR_SET_PDEATHSIG = 1
_GRACE_S = 10.0


class _Left(Exception):
    """Another process of the team has gone."""


class Team:
    """The workers as one of their processes sees them.

    Attributes:
        rank: of this process, 0 is the one that the script runs in. size: processes.
        workers: as many parts each batch has; `size`, or more in a single process.
        device: where this process trains.
    """

    def __init__(self, rank: int, size: int, workers: int) -> None:
        self.rank, self.size, self.workers = rank, size, workers
        gpu = torch.cuda.is_available()
        self.device = torch.device("cuda", rank % torch.cuda.device_count()) if gpu else torch.device("cpu")

    @property
    def parts(self) -> range:
        """The parts of each batch that this process trains on."""
        return range(self.rank, self.workers, self.size)

    def sum(self, values: torch.Tensor) -> None:
        """Replaces the values by their sum over the processes."""
        if self.size > 1:
            with _team_work():
                dist.all_reduce(values)

    def share(self, values: torch.Tensor) -> None:
        """Replaces the values by those of the first process."""
        if self.size > 1:
            with _team_work():
                dist.broadcast(values, 0)


@contextlib.contextmanager
def _team_work() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise _Left from error


def given_workers(asked: int | None) -> int:
    """How many workers this trial may have: its GPUs, or what it was given of cores, and not more than `asked`."""
    given = torch.cuda.device_count() if torch.cuda.is_available() else int(os.environ.get("HPO_WORKERS") or 1)
    return max(1, min(given, asked or given))


def run(workers: int, work: Callable[[Team], Any]) -> Any:
    """Calls `work` in as many processes at once; returns what it has returned in this one.

    Raises:
        RuntimeError: it failed in another process, which has printed its traceback.
    """
    if workers == 1 or not _forks_can_train():
        if workers > 1:
            print(f"fabric: this process cannot be forked any more; it does the work of {workers} workers", flush=True)
        return work(Team(0, 1, workers))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork; and each worker has one core
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/store"
        sys.stdout.flush()
        sys.stderr.flush()
        children = [_forked(rank, workers, store, work) for rank in range(1, workers)]
        try:
            team = _joined(Team(0, workers, workers), store)
            result = work(team)
            dist.destroy_process_group()
        except _Left as left:
            failed = [rank for rank, code in _reaped(children, _GRACE_S).items() if code == 1]
            who = f"worker {failed[0]}" if failed else "a worker"
            raise RuntimeError(f"{who} of {workers} failed; see above") from left.__cause__
        except BaseException:
            _reaped(children, 0.0)
            raise
        finally:
            torch.set_num_threads(threads)
        _reaped(children, None)
        return result


def _forks_can_train() -> bool:
    """Whether a fork of this process could use autograd, and GPUs if there are any; found out by one that tries."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    pid = os.fork()
    if pid == 0:
        try:
            torch.set_num_threads(1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            torch.ones(1, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def _forked(rank: int, workers: int, store: str, work: Callable[[Team], Any]) -> int:
    """Starts a worker; returns its process id. Its exit code is 1 if it failed, 2 if another one did."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        torch.manual_seed(torch.initial_seed() + rank)  # else dropout would be the same in all of them
        work(_joined(Team(rank, workers, workers), store))
        dist.destroy_process_group()
        code = 0
    except _Left:
        code = 2
    except BaseException:
        print(f"fabric: worker {rank} of {workers} failed:", file=sys.stderr)
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # which tells the others, so after the traceback


def _joined(team: Team, store: str) -> Team:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all are on this machine
    backend = "nccl" if team.device.type == "cuda" and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, init_method=f"file://{store}", rank=team.rank, world_size=team.size)
    return team


def _reaped(children: list[int], patience_s: float | None) -> dict[int, int]:
    """Waits for all workers; returns their exit codes by rank.

    Args:
        patience_s: those that have not ended by then are killed; None: there is no limit.
    """
    codes: dict[int, int] = {}
    deadline = None if patience_s is None else time.monotonic() + patience_s
    for rank, pid in enumerate(children, 1):
        done, status = os.waitpid(pid, 0 if deadline is None else os.WNOHANG)
        while not done:
            if deadline is not None and time.monotonic() >= deadline:
                os.kill(pid, signal.SIGKILL)
                done, status = os.waitpid(pid, 0)
            else:
                time.sleep(0.02)
                done, status = os.waitpid(pid, os.WNOHANG)
        codes[rank] = os.waitstatus_to_exitcode(status)
    return codes
