"""Which GPUs and cores there are."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.executors import devices
from hpo_engine.executors.devices import Cores, count_cores, cpu_limit, find_gpus, gpu_identities


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
    limit = cpu_limit(str(tmp_path / "cgroup"), str(tmp_path / "sys"))
    assert (None if limit is None else limit[0]) == quota
    assert limit is None or os.path.isdir(limit[1])


@pytest.mark.parametrize(("quota", "cores"), [(0.2, 1), (1.0, 1), (1.5, 2), (1000.0, None), (None, None)])
def test_quota_leaves_fewer_cores_than_are_seen(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int | None
) -> None:
    monkeypatch.setattr(devices, "cpu_limit", lambda: None if quota is None else (quota, "/"))
    seen = len(os.sched_getaffinity(0))
    assert count_cores() == min(seen, cores or seen)
    assert Cores.here().mask.bit_count() == seen and bool(Cores.here().group) == (quota is not None)


UUIDS = "0, GPU-8932f937-d72c\\n1, GPU-8932aaaa-0001\\n10, GPU-11111111-0002\\n"


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("0", "GPU-8932f937-d72c"),
        ("10", "GPU-11111111-0002"),
        ("GPU-8932f937-d72c", "GPU-8932f937-d72c"),
        ("GPU-8932f", "GPU-8932f937-d72c"),
        ("GPU-8932", "GPU-8932"),  # two GPUs begin so
        ("MIG-4", "MIG-4"),
        ("7", "7"),
    ],
)
def test_one_gpu_under_two_names_is_one_gpu(path: Bin, name: str, identity: str) -> None:
    path.nvidia_smi(f"printf '{UUIDS}'")
    assert gpu_identities([name]) == {name: identity}


def test_names_stand_for_themselves_if_nobody_knows_the_gpus(path: Bin) -> None:
    assert gpu_identities(["0", "GPU-1"]) == {"0": "0", "GPU-1": "GPU-1"}
    path.nvidia_smi("printf '0\\n1\\n'")  # one that does not list UUIDs
    assert gpu_identities(["0"]) == {"0": "0"}
    (path.folder / "asked").unlink()
    assert gpu_identities([]) == {} and not path.asked
