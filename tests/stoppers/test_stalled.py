"""Trials that hang are ended; those that compute silently, download, or cannot be seen are not."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.executors.local import activity, processes
from hpo_engine.executors.local.activity import LocalActivity
from hpo_engine.stoppers.rule import Activity
from hpo_engine.stoppers.stalled import StalledStopper
from hpo_engine.study.events import AttemptIntended, AttemptStarted, MetricsSeen, TrialEnded, TrialProposed, apply
from hpo_engine.study.history import History
from hpo_engine.study.objective import Row
from hpo_engine.study.trial import MOST_SEEN, Trial
from hpo_engine.testing.histories import SPACES, opened, spec_of
from tests.support.examples import some

IDLE = Activity(5.0, 1000, "files")
SPEC = spec_of(SPACES["one float"])


def begun(history: History, at: float) -> History:
    trial = history.next_id
    history = apply(history, TrialProposed(at, trial, {"x": 0.0}))
    history = apply(history, AttemptIntended(at, trial, 1, f"n{trial}"))
    return apply(history, AttemptStarted(at, trial, 1, 7))


def reports(history: History, trial: int, *times: float) -> History:
    for i, at in enumerate(times):
        history = apply(history, MetricsSeen(at, trial, (Row(i + 1, {"loss": 1.0}),)))
    return history


def silent(*times: float) -> History:
    """A trial that began at 0 and has reported at these times."""
    return reports(begun(opened(SPEC), 0.0), 0, *times)


def ended_at(history: History, sees: Callable[[float], Activity | None], **options: float) -> tuple[float, str] | None:
    """When the rule ends the first trial, asked twice a second for an hour, and why."""
    rule = StalledStopper(history.spec, **options)
    now = [history.last_at]
    rule.watch = lambda trial: sees(now[0])
    while now[0] < 3600:
        now[0] += 0.5
        if why := rule.stalled(history.trials[0], history, now[0]):
            return now[0], why
    return None


def test_a_trial_that_does_nothing_for_twenty_steps_is_ended() -> None:
    found = ended_at(silent(10, 20, 30, 40), lambda now: IDLE)
    assert found is not None and 240 <= found[0] <= 270
    assert found[1].startswith("stalled: no row for ") and "where one takes it 10 s" in found[1]
    assert found[1].endswith("its files did not change and its processes used 0.00 s of processor time")


def test_quick_steps_are_given_a_minute() -> None:
    found = ended_at(silent(1, 1.5, 2, 2.5), lambda now: IDLE)
    assert found is not None and 62 <= found[0] <= 70
    sooner = ended_at(silent(1, 1.5, 2, 2.5), lambda now: IDLE, min_seconds=5, times=4)
    assert sooner is not None and 7 <= sooner[0] <= 10


@pytest.mark.parametrize(
    ("what", "sees"),
    [
        ("it computes", lambda now: Activity(now * 0.05, 1000, "files")),
        ("it computes in turns", lambda now: Activity(now // 100, 1000, "files")),
        ("it downloads into a cache", lambda now: Activity(5.0, int(now * 50_000), "files")),
        ("it writes into its folder", lambda now: Activity(5.0, 1000, now // 100)),
        ("its processes come and go", lambda now: Activity(5.0 - now // 100, 1000, "files")),
        ("it is suspended", lambda now: Activity(5.0, 1000, "files", suspended=True)),
        ("nobody can see it", lambda now: None),
    ],
)
def test_a_silent_trial_that_does_anything_is_left_alone(what: str, sees: Callable[[float], Activity | None]) -> None:
    assert ended_at(silent(10, 20, 30, 40), sees) is None, what


def test_threads_that_only_wait_are_no_work() -> None:
    assert ended_at(silent(10, 20, 30, 40), lambda now: Activity(5 + now * 0.0005, int(now * 100), "files")) is not None


def test_an_engine_that_takes_over_watches_anew() -> None:
    history = silent(10, 20, 30, 40)
    rule = StalledStopper(SPEC)
    rule.watch = lambda trial: IDLE
    assert rule.stalled(history.trials[0], history, 5000.0) is None, "it has seen nothing yet"
    assert rule.stalled(history.trials[0], history, 5190.0) is None
    assert rule.stalled(history.trials[0], history, 5210.0) is not None


def test_a_report_ends_the_silence() -> None:
    history = silent(10, 20, 30, 40)
    rule = StalledStopper(SPEC)
    rule.watch = lambda trial: IDLE
    for now in range(100, 200, 10):
        assert rule.stalled(history.trials[0], history, now) is None
    history = reports(history, 0, 210)
    for now in range(211, 420, 10):
        assert rule.stalled(history.trials[0], history, now) is None, now
    assert rule.stalled(history.trials[0], history, 480) is not None


def test_before_its_own_steps_are_known_other_trials_tell_how_long_a_first_report_takes() -> None:
    assert ended_at(begun(opened(SPEC), 0.0), lambda now: IDLE) is None, "nothing is known"
    history = apply(reports(begun(opened(SPEC), 0.0), 0, 20), TrialEnded(21.0, 0, "completed", 1.0, exit={"code": 0}))
    history = begun(begun(history, 30.0), 30.0)
    rule = StalledStopper(SPEC)
    rule.watch = lambda trial: IDLE
    ends = [now for now in range(31, 1000) if rule.stalled(history.trials[1], history, now)]
    assert 430 <= ends[0] <= 475, "twenty times the 20 s that the first one took"
    one = reports(begun(opened(SPEC), 0.0), 0, 30)
    assert ended_at(one, lambda now: IDLE, times=2, min_seconds=1) is not None, "its own first report took 30 s"


def test_of_a_long_curve_the_latest_steps_count() -> None:
    times = [float(i) for i in range(1, 200)] + [200.0 + 10 * i for i in range(MOST_SEEN)]
    history = silent(*times)
    assert len(history.trials[0].seen_at) == MOST_SEEN and history.trials[0].seen_at[0] == 1.0
    found = ended_at(history, lambda now: IDLE)
    assert found is not None and "takes it 10 s" in found[1]


def test_an_executor_that_shows_nothing_is_told() -> None:
    history = apply(silent(1.0), TrialEnded(2.0, 0, "completed", 1.0, exit={"code": 0}))
    rule = StalledStopper(SPEC)
    assert rule.idle(opened(SPEC), 1.0) is None
    assert rule.idle(history, 3.0) == "stop: stalled cannot see what trials do: the executor local does not show it"
    rule.watch = lambda trial: IDLE
    assert rule.idle(history, 3.0) is None


@settings(max_examples=some(15), deadline=None)
@given(st.randoms(use_true_random=False))
def test_only_what_was_idle_ends_and_it_ends_soon(rng: random.Random) -> None:
    """Held against what really happened: work at random times, then none."""
    history, limit = silent(2, 4, 6, 8), 40.0
    work = sorted(rng.uniform(8, 300) for _ in range(rng.randrange(6)))
    kind = rng.choice(["cpu", "io", "files"])

    def sees(now: float) -> Activity:
        done = sum(at <= now for at in work)
        return Activity(float(done), 100_000 * done, "") if kind == "cpu" else (
            Activity(1.0, 100_000 * done, "") if kind == "io" else Activity(1.0, 0, done)
        )  # fmt: skip

    found = ended_at(history, sees, times=20, min_seconds=limit)
    assert found is not None
    before = max([8.0, *(at for at in work if at <= found[0])])
    assert found[0] - before >= limit, "it had worked in that time"
    gaps = zip([8.0, *work], [*work, 10_000.0], strict=True)
    first = next(begin for begin, end in gaps if end - begin >= limit * 1.15 + 1)
    assert found[0] <= first + limit * 1.15 + 1, "it was idle for long enough before"


# -- what the machine shows ----------------------------------------------------------------------------------------------


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that works as often as it is asked to."""
    script = (
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    end = time.process_time() + 0.05\n"
        "    while time.process_time() < end: pass\n"
        "    open(sys.argv[1], 'ab').write(b'x' * 50_000)\n"
        "    print('done', flush=True)\n"
    )
    path = str(tmp_path / "work")
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()


def test_work_shows_in_processor_time_and_bytes(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None and child.stdout is not None
    before = sum(processes.processor_s(child.pid)), activity._io_bytes(child.pid)
    child.stdin.write("\n")
    child.stdin.flush()
    child.stdout.readline()
    after = sum(processes.processor_s(child.pid)), activity._io_bytes(child.pid)
    assert after[0] >= before[0] + 0.03 and after[1] >= before[1] + 50_000
    assert processes.processor_s(1 << 22) == (0.0, 0.0) and activity._io_bytes(1 << 22) == 0


def test_files_that_grow_come_or_go_show(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("x")
    (tmp_path / "link").symlink_to("/proc")
    stamps = [activity._stamp((str(tmp_path), str(tmp_path / "missing")))]
    for change in (
        lambda: (tmp_path / "a" / "file").write_text("xx"),
        lambda: (tmp_path / "a" / "more").write_text(""),
        lambda: os.utime(tmp_path / "a" / "more", (2e9, 2e9)),
        lambda: (tmp_path / "a" / "more").unlink(),
    ):
        change()
        stamps.append(activity._stamp((str(tmp_path), str(tmp_path / "missing"))))
    assert len(set(stamps)) == 5


def test_an_attempt_without_records_cannot_be_seen(tmp_path: Path) -> None:
    trial: Trial = begun(opened(SPEC), 0.0).trials[0]
    assert LocalActivity(StudyPaths(str(tmp_path)))(trial) is None
