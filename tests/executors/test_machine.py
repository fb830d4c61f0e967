"""Who gets which cores and GPUs: one study alone, and several that share a machine."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.executors import ledger, ledgerfolder, sharing
from hpo_engine.executors.devices import Cores
from hpo_engine.executors.machine import Machine
from hpo_engine.executors.sharing import Place
from hpo_engine.study.spec import Resources
from tests.support.examples import some


class Computer:
    """A machine with so many cores and GPUs, a ledger of its own, and a clock moved by hand."""

    def __init__(self, folder: Path, cores: int = 8, gpus: tuple[str, ...] = ()) -> None:
        self.env = {ledgerfolder.VARIABLE: str(folder)}
        self.place = Place(Cores((1 << cores) - 1), {name: f"GPU-{name}" for name in gpus})
        self.now = 1000.0
        self.machines: list[Machine] = []

    def study(self, name: str, resources: Resources, place: Place | None = None) -> Study:
        made = Machine(resources, place or self.place, name, name, self.env, lambda: self.now)
        self.machines.append(made)
        return Study(made, resources, name)

    def close(self) -> None:
        for made in self.machines:
            made.close()


class Study:
    """Starts trials as an engine does: first asks for how many there is room, then takes."""

    def __init__(self, made: Machine, resources: Resources, name: str) -> None:
        self.machine, self.resources, self.name = made, resources, name
        self.running: dict[str, tuple[str, ...]] = {}
        self._count = 0

    @property
    def free(self) -> int:
        return self.machine.free(self.resources, 99)

    def start(self) -> tuple[str, ...] | None:
        nonce = f"{self.name}x{self._count}"
        gpus = self.machine.take(nonce, self.resources)
        if gpus is not None:
            self._count += 1
            self.running[nonce] = gpus
        return gpus

    def fill(self) -> int:
        """Starts as many as there is room for; how many run then."""
        while self.free and self.start() is not None:
            pass
        return len(self.running)

    def end(self, number: int = 0) -> None:
        nonce = list(self.running)[number]
        del self.running[nonce]
        self.machine.give_back(nonce)
        self.machine._ledger.flush()  # the end of a turn


@pytest.fixture
def computer(tmp_path: Path) -> Iterator[Computer]:
    made = Computer(tmp_path / "ledger")
    yield made
    made.close()


def on(tmp_path: Path, cores: int, gpus: tuple[str, ...] = ()) -> Computer:
    return Computer(tmp_path / "ledger", cores, gpus)


# -- one study ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "gpus", "cores", "free"),
    [
        (Resources(3), (), 1, 3),
        (Resources(3), ("0",), 1, 3),
        (Resources(8, cpus=2), (), 8, 4),
        (Resources(3, cpus=2), (), 8, 3),
        (Resources(8, cpus=3), (), 8, 2),
        (Resources(8, cpus=8), (), 8, 1),
        (Resources(8, gpus=0), ("0",), 8, 8),
        (Resources(8, gpus=1), ("0", "1"), 8, 2),
        (Resources(1, gpus=1), ("0", "1"), 8, 1),
        (Resources(8, gpus=2), ("0", "1", "2", "3", "4"), 8, 2),
        (Resources(8, gpus=0.5), ("0", "1"), 8, 4),
        (Resources(8, gpus=0.5), ("0", "1"), 1, 4),
        (Resources(8, gpus=0.3), ("0",), 8, 3),
        (Resources(99, gpus=0.1), ("0", "1"), 8, 20),
        (Resources(99, gpus=1 / 3), ("0",), 8, 3),
        (Resources(8, gpus=0.7), ("0", "1"), 8, 2),
        (Resources(8, cpus=4, gpus=0.5), ("0", "1"), 8, 2),
    ],
)
def test_as_many_fit_as_the_scarcest_allows(
    tmp_path: Path, resources: Resources, gpus: tuple[str, ...], cores: int, free: int
) -> None:
    study = on(tmp_path, cores, gpus).study("a", resources)
    assert study.free == study.machine.at_once == free
    for left in range(free - 1, -1, -1):
        assert study.start() is not None
        assert study.free == left
    for number in range(free):
        study.end()
        assert study.free == number + 1


def test_whole_gpus_are_not_shared_and_parts_go_to_the_least_used(tmp_path: Path) -> None:
    def given(need: float, *gpus: str, count: int = 2) -> list[tuple[str, ...] | None]:
        study = on(tmp_path / str(need), 9, gpus).study("a", Resources(9, gpus=need))
        return [study.start() for _ in range(count)]

    assert given(0, "0") == [(), ()]
    assert given(1, "3", "7") == [("3",), ("7",)]
    assert given(2, "0", "1", "2", "3") == [("0", "1"), ("2", "3")]
    assert given(0.5, "0", "1", count=4) == [("0",), ("1",), ("0",), ("1",)]


@pytest.mark.parametrize(
    ("resources", "gpus", "path", "words"),
    [
        (Resources(cpus=9), (), "trial.cpus", "9 cores per trial, but this machine has 8"),
        (Resources(gpus=1), (), "trial.gpus", "1 per trial, but this machine has no GPUs"),
        (Resources(gpus=0.5), (), "trial.gpus", "0.5 per trial, but this machine has no GPUs"),
        (Resources(gpus=3), ("1", "4"), "trial.gpus", r"3 per trial, but this machine has 2 GPUs \(1, 4\)"),
    ],
)
def test_trial_that_never_fits_is_refused_at_once(
    tmp_path: Path, resources: Resources, gpus: tuple[str, ...], path: str, words: str
) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        on(tmp_path, 8, gpus).study("a", resources)
    assert [p.path for p in caught.value.problems] == [path]


def test_what_an_earlier_engine_gave_out_is_held_also_over_a_lower_limit(tmp_path: Path) -> None:
    study = on(tmp_path, 8, ("0", "1", "2")).study("a", Resources(2, gpus=1))
    for nonce, gpu in (("x", "2"), ("y", "0"), ("z", "gone")):
        study.machine.hold(nonce, study.resources, (gpu,))
    assert study.free == 0
    study.machine.give_back("z")
    assert study.free == 0
    study.machine.give_back("y")
    assert study.free == 1
    assert study.start() == ("0",)
    study.end()
    study.machine.give_back("x0")
    study.machine.give_back("never")
    assert study.free == 1


@settings(max_examples=some(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([None, 1, 2, 3]), st.sampled_from([None, 0.25, 1 / 3, 0.5, 1, 2]), st.integers(1, 6)),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 30)), max_size=60),
)
def test_nothing_is_given_out_twice(
    tmp_path_factory: pytest.TempPathFactory,
    needs: list[tuple[int | None, float | None, int]],
    moves: list[tuple[int, bool, int]],
) -> None:
    here = Computer(tmp_path_factory.mktemp("ledger"), 4, ("0", "1", "2"))
    studies = [here.study(f"s{i}", Resources(n, cpus, gpus)) for i, (cpus, gpus, n) in enumerate(needs)]
    begin = studies[0].free
    for which, starts, number in moves:
        study = studies[which % len(studies)]
        here.now += 1
        if starts:
            assert not study.free or study.start() is not None, "what is free can be taken"
        elif study.running:
            study.end(number % len(study.running))
        gpus = dict.fromkeys(here.place.gpus, 0.0)
        for other in studies:
            assert len(other.running) <= other.resources.parallel
            for names in other.running.values():
                assert len(set(names)) == len(names)
                for name in names:
                    gpus[name] += min(1.0, other.resources.gpus or 0.0)
        assert all(used <= 1 + 1e-9 for used in gpus.values())
        cores = sum(len(s.running) * (s.resources.cpus or min(1.0, 4 / s.machine.at_once)) for s in studies)
        assert cores <= 4 + 1e-9
    for study in studies:
        while study.running:
            study.end()
        study.machine.turn_over()
        study.machine.turn_over()
    assert studies[0].free == begin, "rounding adds nothing up"
    here.close()


# -- several studies ---------------------------------------------------------------------------------------------------


def test_a_second_study_waits_for_what_the_first_holds(computer: Computer) -> None:
    first, second = computer.study("first", Resources(8)), computer.study("second", Resources(2))
    assert first.fill() == 8 and second.free == 0 and second.start() is None
    computer.now += 2
    assert second.machine.waits == "waiting for room that trials of other studies have: first (8)"
    first.end()
    assert (first.free, second.free) == (0, 1), "the one that has less is next"
    assert second.start() == ()
    first.end()
    assert first.free == 0 and second.fill() == 2
    first.end()
    assert first.free == 1, "the second has all that it may run"
    second.machine.turn_over()
    second.machine.turn_over()
    computer.now += 2
    assert second.machine.waits == "" and first.machine.waits


def test_cores_that_are_free_are_there_for_everybody(computer: Computer) -> None:
    first, second = computer.study("first", Resources(3)), computer.study("second", Resources(4))
    assert first.fill() == 3 and second.fill() == 4
    assert first.machine.waits == second.machine.waits == ""


def test_equal_studies_take_turns(tmp_path: Path) -> None:
    here = on(tmp_path, 2)
    studies = [here.study(name, Resources(2)) for name in "abc"]
    assert [study.fill() for study in studies] == [2, 0, 0]
    oldest, order = ["a", "a"], ""
    for _ in range(12):
        here.now += 1
        here_ends = oldest.pop(0)
        studies["abc".index(here_ends)].end()
        for study in studies:
            before = len(study.running)
            oldest += [study.name] * (study.fill() - before)
        order += oldest[-1]
    assert order == "bcabcabcabca"


def test_short_trials_do_not_push_out_a_study_of_long_ones(tmp_path: Path) -> None:
    here = on(tmp_path, 4)
    short, long = here.study("short", Resources(4)), here.study("long", Resources(4))
    short.fill()
    assert long.free == 0
    for _ in range(10):
        here.now += 1
        short.end()
        long.fill()
        short.fill()
    assert (len(short.running), len(long.running)) == (2, 2)


def test_more_trials_than_cores_share_them_with_others_as_one_full_machine(tmp_path: Path) -> None:
    here = on(tmp_path, 2)
    many, one = here.study("many", Resources(8)), here.study("one", Resources(1))
    assert many.fill() == 8, "alone it is as before: `parallel` is what the user says"
    assert one.free == 0
    for left in (7, 6, 5):
        many.end()
        assert many.free == 0 and one.free == 0 and len(many.running) == left
    many.end()
    assert one.fill() == 1 and many.free == 0, "half the machine each"
    many.end()
    assert many.fill() == 4


def test_room_for_a_big_trial_is_kept_but_not_for_ever(tmp_path: Path) -> None:
    here = on(tmp_path, 4)
    small, big = here.study("small", Resources(4)), here.study("big", Resources(1, cpus=4))
    small.fill()
    assert big.free == 0
    small.end()
    small.end()
    assert small.free == 0, "two cores are free, and the big trial needs four"
    here.now += sharing._RESERVED_S
    assert big.free == 0 and small.free == 2, "what runs is long: others go first for a while"
    here.now += sharing._RESERVED_S
    assert big.free == 0 and small.free == 0
    small.end()
    small.end()
    assert big.fill() == 1


def test_who_waits_for_a_gpu_keeps_nobody_from_cores(tmp_path: Path) -> None:
    here = on(tmp_path, 8, ("0",))
    first, gpu, plain = (
        here.study("first", Resources(1, gpus=1)), here.study("gpu", Resources(1, gpus=1)), here.study("p", Resources(8))
    )  # fmt: skip
    assert first.fill() == 1 and gpu.free == 0
    assert plain.fill() == 6, "of eight cores, one is in use and one is for the trial that waits for the GPU"
    first.end()
    assert gpu.start() == ("0",)
    assert first.free == 0 and plain.fill() == 7 - 1


def test_gpu_parts_of_two_studies_fill_one_gpu_and_no_more(tmp_path: Path) -> None:
    here = on(tmp_path, 8, ("0",))
    first, second = here.study("a", Resources(4, gpus=0.5)), here.study("b", Resources(4, gpus=0.5))
    assert first.start() == ("0",) and second.start() == ("0",)
    assert first.start() is None and second.start() is None
    first.end()
    assert second.free == 0 and first.free == 1


def test_one_gpu_under_two_names_goes_to_one_trial(tmp_path: Path) -> None:
    here = on(tmp_path, 8, ("0", "1"))
    by_uuid = Place(here.place.cores, {"GPU-1": "GPU-1"})
    first, second = here.study("a", Resources(1, gpus=1), by_uuid), here.study("b", Resources(2, gpus=1))
    assert first.start() == ("GPU-1",)
    assert second.start() == ("0",) and second.start() is None


def test_studies_on_other_cores_are_not_in_the_way(tmp_path: Path) -> None:
    here = on(tmp_path, 8)
    low, high = Place(Cores(0b00001111)), Place(Cores(0b11110000))
    first, second, both = (
        here.study("a", Resources(4), low), here.study("b", Resources(4), high), here.study("c", Resources(8))
    )  # fmt: skip
    assert first.fill() == 4 and second.fill() == 4
    assert both.free == 0
    first.end()
    assert both.free == 1


def test_quota_counts_for_those_under_the_same_control_group(tmp_path: Path) -> None:
    here = on(tmp_path, 8)
    box = Place(Cores(0b11111111, 2, "box"))
    outside, first, second = (
        here.study("o", Resources(5)), here.study("a", Resources(2), box), here.study("b", Resources(2), box)
    )  # fmt: skip
    assert outside.fill() == 5
    assert first.fill() == 2 and second.free == 0
    first.end()
    assert second.free == 1


def test_threads_are_shared_with_the_trials_of_all_studies(tmp_path: Path) -> None:
    here = on(tmp_path, 16)
    first = here.study("a", Resources(2))
    assert first.machine.sharers() == (16, 2, 1)
    second = here.study("b", Resources(6))
    assert first.free and first.machine.sharers() == second.machine.sharers() == (16, 8, 2)
    assert first.machine.threads() == second.machine.threads() == 2
    third = here.study("c", Resources(2, cpus=4))
    assert first.free and first.machine.sharers() == (8, 8, 2)
    third.machine.close()
    second.machine.close()
    assert first.free and first.machine.sharers() == (16, 2, 1)
    here.machines.remove(second.machine)
    here.machines.remove(third.machine)
    here.close()


def test_who_no_longer_asks_keeps_nobody_waiting(tmp_path: Path) -> None:
    here = on(tmp_path, 1)
    first, second = here.study("a", Resources(1)), here.study("b", Resources(1))
    first.fill()
    assert second.free == 0
    first.end()
    assert first.free == 0, "it is the other's turn"
    second.machine.turn_over()
    second.machine.turn_over()
    assert first.free == 1


def test_engine_that_says_nothing_any_more_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = on(tmp_path, 1)
    monkeypatch.setattr("time.monotonic", lambda: here.now)
    first, second = here.study("a", Resources(1)), here.study("b", Resources(1))
    first.fill()
    assert second.free == 0
    first.end()
    assert first.free == 0
    here.now += 6
    assert first.free == 1


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files_only", [False, True])
def test_ledger_that_was_removed_is_made_again(tmp_path: Path, files_only: bool) -> None:
    here = on(tmp_path, 3)
    first, second = here.study("a", Resources(3, cpus=1)), here.study("b", Resources(3, cpus=1))
    assert first.start() == () and first.start() == ()
    folder = Path(here.env[ledgerfolder.VARIABLE])
    for path in folder.iterdir():
        path.unlink()
    if not files_only:
        folder.rmdir()
    assert second.start() is None, "the other study may not have noticed yet"
    first.machine.turn_over()
    assert sorted(p.name for p in folder.iterdir()) == ["lease-ax0", "lease-ax1", "study-a", "study-b", "turn"]
    assert [first.machine.lease_path(nonce) for nonce in first.running] == [
        str(folder / f"lease-ax{i}") for i in (0, 1)
    ]
    here.now += 2
    assert second.start() == ()
    assert second.start() is None and first.start() is None
    assert here.study("c", Resources(3, cpus=1)).free == 0


def test_lease_that_was_noted_anew_is_held_while_a_process_carries_its_mark(tmp_path: Path) -> None:
    here = on(tmp_path, 1)
    first, second = here.study("a", Resources(1)), here.study("b", Resources(1))
    assert first.start() == ()
    shutil.rmtree(here.env[ledgerfolder.VARIABLE])
    first.machine.turn_over()
    first.machine.close()  # its engine has gone
    with subprocess.Popen(["sleep", "60"], env={"HPO_ATTEMPT": "ax0"}) as process:
        here.now += 2
        assert second.start() is None
        here.now += 2
        assert second.start() is None
        process.kill()
    here.now += 2
    assert second.start() is None or second.running, "it looks for what has gone"
    here.now += 2
    assert second.running or second.start() == ()


def test_attempts_that_never_began_keep_their_files_though_they_get_other_gpus(tmp_path: Path) -> None:
    here = on(tmp_path, 2, ("0", "1"))
    resources = Resources(2, gpus=1)
    first = here.study("a", resources)
    nonces = ["x", "y"]
    for nonce, gpu in zip(nonces, ("1", "0"), strict=True):
        first.machine.hold(nonce, resources, (gpu,))
    files = [os.stat(first.machine.lease_path(nonce) or "").st_ino for nonce in nonces]
    for nonce in nonces:
        first.machine.give_back(nonce)
    assert [first.machine.take(nonce, resources) for nonce in nonces] == [("0",), ("1",)]
    first.machine.turn_over()
    assert [os.stat(first.machine.lease_path(nonce) or "").st_ino for nonce in nonces] == files


def test_attempt_that_gets_other_gpus_than_before_is_seen_by_others(tmp_path: Path) -> None:
    here = on(tmp_path, 2, ("0", "1"))
    resources = Resources(1, gpus=1)
    first, second = here.study("a", resources), here.study("b", resources)
    first.machine.hold("x", resources, ("1",))
    assert second.free == 1, "it has read what x holds"
    first.machine.give_back("x")
    assert first.machine.take("x", resources) == ("0",)
    assert second.start() == ("1",)


def test_what_is_adopted_is_not_taken_for_left_behind(tmp_path: Path) -> None:
    here = on(tmp_path, 1)
    assert here.study("a", Resources(1)).start() == ()
    here.close()
    again = here.study("a", Resources(1))
    assert len(again.machine._ledger.others) == 1, "of its own, not adopted yet"
    again.machine.hold("ax0", again.resources, ())
    assert not again.machine._ledger.prune()
    assert os.path.exists(again.machine.lease_path("ax0") or "")
    assert again.machine._ledger.others == {}


@pytest.mark.parametrize("resources", [Resources(8, gpus=1), Resources(8, cpus=3), Resources(8)])
def test_study_that_has_all_that_it_can_have_waits_for_nobody(tmp_path: Path, resources: Resources) -> None:
    here = on(tmp_path, 4, ("0", "1"))
    study = here.study("a", resources)
    assert study.fill() == study.machine.at_once and study.free == 0
    assert not study.machine.is_waiting


def test_study_inside_a_trial_does_not_wait_for_the_trial(tmp_path: Path) -> None:
    here = on(tmp_path, 2)
    outer = here.study("outer", Resources(2))
    assert outer.fill() == 2
    here.env["HPO_ATTEMPT"] = "outerx0"
    assert here.study("inner", Resources(2)).fill() == 2


@pytest.mark.parametrize("how", ["a file is there", "no room", "switched off"])
def test_without_a_ledger_a_study_counts_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    here = on(tmp_path, 2)
    if how == "a file is there":
        Path(here.env[ledgerfolder.VARIABLE]).write_text("")
    elif how == "switched off":
        here.env[ledgerfolder.VARIABLE] = "off"
    else:
        monkeypatch.setattr(os, "write", no_room)
        monkeypatch.setattr(os, "pwrite", no_room)
    first, second = here.study("a", Resources(2, cpus=1)), here.study("b", Resources(2))
    assert first.fill() == 2 and second.fill() == 2
    assert first.start() is None
    first.end()
    assert first.fill() == 2
    words = [record.getMessage() for record in caplog.records]
    assert len(words) == (0 if how == "switched off" else 2), "once per study"
    assert all("do not see each other" in text and "HPO_ENGINE_LEDGER" in text for text in words)


@pytest.mark.parametrize("how", ["lease", "turn"])
def test_attempt_whose_lease_cannot_be_written_has_no_file_to_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    def full(path: str, *args: Any, **kwargs: Any) -> int:
        return no_room() if str(path).startswith(how) else open_(path, *args, **kwargs)

    open_ = os.open
    monkeypatch.setattr(os, "open", full)
    study = on(tmp_path, 2).study("a", Resources(2))
    for _ in range(2):
        assert study.fill() == 2
        assert [study.machine.lease_path(nonce) for nonce in study.running] == [None, None]
        study.end()
    assert len(caplog.records) == 1
    monkeypatch.undo()
    study.machine._ledger._open()
    assert study.fill() == 2
    assert all(os.path.exists(study.machine.lease_path(nonce) or "") for nonce in study.running)


ODD = ("null", "[]", "{}", "7", '"x"', "[" * 9000, "1" * 5000, '{"study": 1}')
WRONG: tuple[Any, ...] = (
    None,
    -1,
    "x",
    [],
    {},
    [None],
    {"GPU-0": "x"},
    {"GPU-0": -1},
    float("nan"),
    float("inf"),
    10**400,
    True,
    0,
)


@pytest.mark.slow
def test_odd_files_in_the_ledger_are_ignored(tmp_path: Path) -> None:
    here = on(tmp_path, 2, ("0", "1"))
    first = here.study("a", Resources(1, gpus=1))
    assert first.start() is not None
    folder = Path(here.env[ledgerfolder.VARIABLE])
    good = {kind: json.loads((folder / kind).read_text()) for kind in ("lease-ax0", "study-a")}
    texts = [*ODD, *(json.dumps({**good[kind], key: bad}) for kind in good for key in good[kind] for bad in WRONG)]
    waiting = {**good["study-a"], "waits": True, "seen": here.now + 99, "since": here.now, "granted": 0}
    texts += [json.dumps({**waiting, key: bad}) for key in waiting for bad in WRONG]
    second = here.study("b", Resources(2, gpus=0.5))
    with contextlib.ExitStack() as locks:
        for name in ("lease-odd", "study-odd"):
            os.mkfifo(folder / f"{name}-fifo")
            (folder / f"{name}-folder").mkdir()
            (folder / f"{name}-link").symlink_to("/dev/zero")
            file = locks.enter_context(open(folder / name, "w"))
            fcntl.flock(file, fcntl.LOCK_EX)
            for text in texts:
                (folder / name).write_text(text)
                here.now += 5
                second.machine.turn_over()
                assert second.free in (0, 1, 2)
                assert (second.machine.threads() or 1) >= 1 and isinstance(second.machine.waits, str)
                second.start() and second.end()
    second.machine._ledger.look()
    assert second.machine._ledger.others


@pytest.mark.parametrize("name", ["turn", "study-a"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_ledger_with_something_else_in_place_of_a_file_draws_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, make: Callable[[Path], None]
) -> None:
    here = on(tmp_path, 2)
    folder = Path(here.env[ledgerfolder.VARIABLE])
    folder.mkdir()
    make(folder / name)
    study = here.study("a", Resources(2))
    assert study.fill() == 2
    study.end()
    assert study.fill() == 2 and study.machine.lease_path("ax1") is None
    assert len(caplog.records) == 1
    if name == "turn":
        assert ledger.described(here.env)[0] == "unusable"


def test_doctor_tells_of_a_ledger_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = on(tmp_path, 2)
    here.study("a", Resources(2)).fill()
    folder = here.env[ledgerfolder.VARIABLE]
    before = sorted(os.listdir(folder))
    assert ledger.described(here.env)[0] == folder
    monkeypatch.setattr(os, "pwrite", no_room)
    what, hint = ledger.described(here.env)
    assert what == "unusable" and f"{folder}: No space left on device: studies" in hint
    assert sorted(os.listdir(folder)) == before


def no_room(*args: object) -> int:
    raise OSError(28, "No space left on device")


def test_folder_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / f"hpo-engine-{os.geteuid()}").symlink_to(tmp_path)
    monkeypatch.setattr(
        ledgerfolder, "_BASES", (str(tmp_path / "missing"), str(tmp_path / "one"), str(tmp_path / "two"))
    )
    assert ledgerfolder.folder_of({}) == f"{tmp_path}/two/hpo-engine-{os.geteuid()}"
    assert os.stat(ledgerfolder.folder_of({})).st_mode & 0o777 == 0o700
    monkeypatch.setattr(ledgerfolder, "_BASES", (str(tmp_path / "one"),))
    with pytest.raises(OSError, match="Permission denied"):
        ledgerfolder.folder_of({})
