"""Which devices there are, and who gets which."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.executors import slots
from hpo_engine.executors.slots import Slots, count_cores, cpu_quota, find_gpus
from hpo_engine.study.spec import Resources

# -- finding devices ---------------------------------------------------------------------------------------------------


class Bin:
    """A folder that is all of the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def nvidia_smi(self, script: str, mode: int = 0o755) -> None:
        path = self.folder / "nvidia-smi"
        path.write_text(f"#!/bin/sh\necho \"$@\" > '{self.folder}/asked'\n{script}\n")
        path.chmod(mode)

    @property
    def asked(self) -> bool:
        return (self.folder / "asked").exists()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bin:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return Bin(folder)


@pytest.mark.parametrize(
    ("printed", "gpus"),
    [
        ("0\\n1\\n2\\n", ("0", "1", "2")),
        (" 0 \\n 3\\n\\n", ("0", "3")),
        ("11", ("11",)),
        ("", ()),
        ("No devices were found\\n", ()),
        ("WARNING: infoROM is corrupted at gpu 0000:00:1E.0\\n0\\n", ("0",)),
    ],
)
def test_devices_are_those_that_nvidia_smi_lists(path: Bin, printed: str, gpus: tuple[str, ...]) -> None:
    path.nvidia_smi(f"printf '{printed}'; echo 7 >&2")
    assert find_gpus({}) == gpus
    assert (path.folder / "asked").read_text() == "--query-gpu=index --format=csv,noheader\n"


def test_no_devices_where_nvidia_smi_fails_is_missing_or_cannot_be_run(path: Bin) -> None:
    assert find_gpus({}) == ()
    path.nvidia_smi("echo 0; echo 'driver mismatch' >&2; exit 18")
    assert find_gpus({}) == () and path.asked
    path.nvidia_smi("echo 0; kill -9 $$")
    assert find_gpus({}) == ()
    (path.folder / "nvidia-smi").write_bytes(b"\0")
    assert find_gpus({}) == ()


def test_nvidia_smi_that_hangs_means_no_devices(path: Bin, monkeypatch: pytest.MonkeyPatch) -> None:
    path.nvidia_smi("exec /bin/sleep 60")
    run = subprocess.run

    def impatient(*args: Any, timeout: float, **more: Any) -> Any:
        assert 1 <= timeout <= 30
        return run(*args, timeout=0.2, **more)

    monkeypatch.setattr(subprocess, "run", impatient)
    assert find_gpus({}) == ()


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "HPO_ENGINE_GPUS"])
@pytest.mark.parametrize(
    ("value", "gpus"),
    [
        ("", ()),
        (" ", ()),
        ("-1", ()),
        ("0", ("0",)),
        ("0,1", ("0", "1")),
        (" 2 , 0 ", ("2", "0")),
        ("0,-1,1", ("0",)),
        ("-1,0", ()),
        ("1,1,0,1", ("1", "0")),
        ("0,,1,", ("0", "1")),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,GPU-0a", ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-0a")),
        ("MIG-GPU-8932f937/1/0,MIG-2", ("MIG-GPU-8932f937/1/0", "MIG-2")),
        ("10,9", ("10", "9")),
    ],
)
def test_devices_are_those_that_the_environment_shows(path: Bin, name: str, value: str, gpus: tuple[str, ...]) -> None:
    path.nvidia_smi("echo 5")
    assert find_gpus({name: value, "OTHER": "1"}) == gpus
    assert not path.asked, "who says which devices to use is not asked again"


def test_own_variable_comes_before_cudas(path: Bin) -> None:
    assert find_gpus({"HPO_ENGINE_GPUS": "3,4", "CUDA_VISIBLE_DEVICES": "0"}) == ("3", "4")
    assert find_gpus({"HPO_ENGINE_GPUS": "", "CUDA_VISIBLE_DEVICES": "0"}) == ()


def test_cores_are_those_that_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert count_cores() == len(allowed)


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "200000 100000\n"}, 2.0),
        ("0::/../..\n", {"cpu.max": "300000 100000\n"}, 3.0),
        ("4:cpu,cpuacct:/x\n0::/\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "200000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"}, 2.0),
        ("4:cpu,cpuacct:/x\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("3:memory:/x\n", {"memory/x/cpu.max": "1 100000\n"}, None),
        ("", {}, None),
        ("nonsense", {"cpu.max": "nonsense"}, None),
    ],
)  # fmt: skip
def test_quota_of_control_groups(tmp_path: Path, groups: str, files: dict[str, str], quota: float | None) -> None:
    (tmp_path / "cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cpu_quota(str(tmp_path / "cgroup"), str(tmp_path / "sys")) == quota


@pytest.mark.parametrize(("quota", "cores"), [(0.2, 1), (1.0, 1), (1.5, 2), (1000.0, None), (None, None)])
def test_quota_leaves_fewer_cores_than_are_seen(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int | None
) -> None:
    monkeypatch.setattr(slots, "cpu_quota", lambda: quota)
    seen = len(os.sched_getaffinity(0))
    assert count_cores() == min(seen, cores or seen)


# -- giving them out ---------------------------------------------------------------------------------------------------


def taken(slots: Slots, count: int) -> list[tuple[str, ...]]:
    return [slots.take(i) for i in range(count)]


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
        (Resources(8, gpus=0.3), ("0",), 8, 3),
        (Resources(99, gpus=0.1), ("0", "1"), 8, 20),
        (Resources(99, gpus=1 / 3), ("0",), 8, 3),
        (Resources(8, gpus=0.7), ("0", "1"), 8, 2),
        (Resources(8, cpus=4, gpus=0.5), ("0", "1"), 8, 2),
    ],
)
def test_as_many_fit_as_the_scarcest_allows(resources: Resources, gpus: tuple[str, ...], cores: int, free: int) -> None:
    slots = Slots(resources, gpus, cores)
    assert slots.free() == free
    for left in range(free - 1, -1, -1):
        slots.take(left)
        assert slots.free() == left
    for number in range(free):
        slots.give_back(number)
        assert slots.free() == number + 1


def test_whole_devices_are_not_shared_and_parts_go_to_the_least_used() -> None:
    assert taken(Slots(Resources(9), ("0",), 9), 2) == [(), ()]
    assert taken(Slots(Resources(9, gpus=1), ("3", "7"), 9), 2) == [("3",), ("7",)]
    assert taken(Slots(Resources(9, gpus=2), ("0", "1", "2", "3"), 9), 2) == [("0", "1"), ("2", "3")]
    assert taken(Slots(Resources(9, gpus=0.5), ("0", "1"), 9), 4) == [("0",), ("1",), ("0",), ("1",)]
    slots = Slots(Resources(9, gpus=1), ("0", "1", "2"), 9)
    taken(slots, 3)
    slots.give_back(1)
    assert slots.take(7) == ("1",)


@pytest.mark.parametrize(
    ("resources", "gpus", "path", "words"),
    [
        (Resources(cpus=9), (), "trial.cpus", "9 cores a trial, but this machine has 8"),
        (Resources(gpus=1), (), "trial.gpus", "1 a trial, but this machine has no GPUs"),
        (Resources(gpus=0.5), (), "trial.gpus", "0.5 a trial, but this machine has no GPUs"),
        (Resources(gpus=3), ("1", "4"), "trial.gpus", r"3 a trial, but this machine has 2 GPUs \(1, 4\)"),
    ],
)
def test_trial_that_never_fits_is_refused_at_once(
    resources: Resources, gpus: tuple[str, ...], path: str, words: str
) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        Slots(resources, gpus, 8)
    assert [p.path for p in caught.value.problems] == [path]


def test_what_an_earlier_engine_gave_out_is_held_also_over_a_lower_limit() -> None:
    slots = Slots(Resources(2, gpus=1), ("0", "1", "2"), 8)
    for number, gpu in ((0, "2"), (1, "0"), (2, "gone")):
        slots.hold(number, (gpu,))
    assert slots.free() == 0
    slots.give_back(2)
    assert slots.free() == 0
    slots.give_back(1)
    assert slots.free() == 1
    assert slots.take(5) == ("0",)
    slots.give_back(5)
    slots.give_back(5)
    slots.give_back(99)
    assert slots.free() == 1


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([0.1, 0.25, 0.3, 1 / 3, 0.5, 0.7, 1, 2, 3]),
    st.integers(3, 5),
    st.integers(1, 12),
    st.lists(st.integers(0, 30), max_size=80),
)
def test_no_device_is_ever_given_out_more_than_once_over(
    need: float, devices: int, parallel: int, moves: list[int]
) -> None:
    gpus = tuple(str(i) for i in range(devices))
    slots = Slots(Resources(parallel, gpus=need), gpus, 8)
    begin, held = slots.free(), dict[int, tuple[str, ...]]()
    for turn, move in enumerate(moves):
        if move % 2 and held:
            number = sorted(held)[move % len(held)]
            slots.give_back(number)
            del held[number]
        elif slots.free():
            held[turn] = slots.take(turn)
            assert len(set(held[turn])) == len(held[turn]) == max(1, round(need))
        load = {gpu: sum(min(1.0, need) for given in held.values() if gpu in given) for gpu in gpus}
        assert all(used <= 1 + 1e-9 for used in load.values())
        assert len(held) <= parallel and 0 <= slots.free() <= parallel - len(held)
    for number in held:
        slots.give_back(number)
    assert slots.free() == begin, "rounding adds nothing up"
