"""Studies at the same time on one machine: no GPU and no core goes to two trials, whoever dies; all get their share."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.executors import machine
from hpo_engine.executors.local import processes, records
from tests.support import command
from tests.support.helpers import processes_with, wait_until

TRAIN = """\
import fcntl, json, os, time
out, gpu = os.environ["OUT"], os.environ["CUDA_VISIBLE_DEVICES"]
lock = open(out + ".gpu" + gpu, "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    gpu = "CLASH"
with open(out, "a") as file:
    print(os.environ["STUDY"], os.environ["SUBID"], gpu, file=file)
time.sleep(0.1)
while os.path.exists(out + ".hold-" + os.environ["STUDY"]):
    time.sleep(0.02)
json.dump([{"step": 1, "loss": json.load(open("config.json"))["x"]}], open("val_dict_list.json", "w"))
"""
STUDY = """\
name: {name}
command: [{python}, -S, train.py]
objective: minimize loss
algorithm: random
options: {{seed: 3}}
trials: {trials}
parallel: 2
trial: {{grace: 1s, preload: {preload}, gpus: 1}}
env: {{OUT: {out}, STUDY: {name}}}
space: {{x: {{float: [0, 1]}}}}
"""
NVIDIA_SMI = """#!/bin/sh
case "$1" in
*uuid*) echo "0, GPU-a"; echo "1, GPU-b";;
*) echo 0; echo 1;;
esac
"""


class Scene:
    """A machine with two GPUs, and engines on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        (folder / "m").mkdir()
        (folder / "m" / "train.py").write_text(TRAIN)
        (folder / "bin").mkdir()
        (folder / "bin" / "nvidia-smi").write_text(NVIDIA_SMI)
        (folder / "bin" / "nvidia-smi").chmod(0o755)
        self.env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
        self.env.pop("CUDA_VISIBLE_DEVICES", None)
        self.engines: list[command.Command] = []

    def submit(self, name: str, trials: int = 6, preload: str = "off", **env: str) -> command.Command:
        text = STUDY.format(
            name=name, python=json.dumps(sys.executable), out=json.dumps(str(self.out)), trials=trials, preload=preload
        )
        (self.folder / "m" / f"{name}.yaml").write_text(text)
        return self.engine("submit", f"{self.folder}/m/{name}.yaml", "--root", f"{self.folder}/runs", **env)

    def engine(self, *argv: str, **env: str) -> command.Command:
        with open(self.folder / "said", "ab") as said:
            self.engines.append(command.start(*argv, cwd=Path.cwd(), env={**self.env, **env}, stdout=said))
        return self.engines[-1]

    def paths(self, name: str) -> StudyPaths:
        return StudyPaths(f"{self.folder}/runs/{name}")

    def hold(self, name: str) -> Path:
        path = Path(f"{self.out}.hold-{name}")
        path.touch()
        return path

    def began(self) -> list[list[str]]:
        """Study, trial and GPU of each start, in order."""
        return [line.split() for line in self.out.read_text().splitlines()] if self.out.exists() else []

    def of(self, name: str) -> list[str]:
        return [trial for study, trial, _ in self.began() if study == name]

    def ended(self, engine: command.Command) -> None:
        assert engine.wait(timeout=120) == 0, self.said()

    def checked(self) -> None:
        assert {gpu for _, _, gpu in self.began()} == {"0", "1"}

    def shims(self, name: str) -> list[int]:
        found = []
        for trial in studies.read(self.paths(name)).running:
            assert trial.attempt is not None
            token = records.token(self.paths(name).trial(trial.id).attempt(1), trial.attempt.nonce)
            found += [token.pid] if token is not None else []
        return found

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def waits(self, name: str) -> str:
        return machine.waits(self.paths(name).root, self.env)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    for engine in made.engines:
        engine.kill()
        engine.wait()
    for pid in processes_with(str(made.folder)):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("preload", ["auto", pytest.param("off", marks=pytest.mark.slow)])
def test_two_studies_at_once_share_the_gpus_fairly(scene: Scene, preload: str) -> None:
    engines = [scene.submit(name, preload=preload) for name in ("a", "b")]
    for engine in engines:
        scene.ended(engine)
    scene.checked()
    begun = [study for study, _, _ in scene.began()]
    assert (begun.count("a"), begun.count("b")) == (6, 6)
    first = max(begun.index("a"), begun.index("b"))  # from here on both are there
    last = 12 - max(begun[::-1].index("a"), begun[::-1].index("b"))  # and here the first one is done
    shares = [begun[first:last].count(name) for name in ("a", "b")]
    assert abs(shares[0] - shares[1]) <= 2, begun


@pytest.mark.slow
def test_one_gpu_under_another_name_is_the_same_gpu(scene: Scene) -> None:
    hold = scene.hold("a")
    first = scene.submit("a", trials=2)
    wait_until(lambda: len(scene.of("a")) == 2)
    second = scene.submit("b", trials=1, CUDA_VISIBLE_DEVICES="GPU-a")
    wait_until(lambda: scene.waits("b"))
    assert scene.of("b") == []
    hold.unlink()
    for engine in (first, second):
        scene.ended(engine)
    assert [gpu for study, _, gpu in scene.began() if study == "b"] == ["GPU-a"]


@pytest.mark.by_default(1)
@pytest.mark.parametrize("preload", ["off", pytest.param("auto", marks=pytest.mark.slow)])
@pytest.mark.parametrize("killed", ["engine", "engine launcher", "engine shim", "engine launcher shim"])
def test_what_a_killed_engine_held_is_free_when_its_trials_have_gone(scene: Scene, killed: str, preload: str) -> None:
    hold = scene.hold("a")
    first = scene.submit("a", preload=preload)
    wait_until(lambda: len(scene.of("a")) == 2 and len(scene.shims("a")) == 2)
    shims = scene.shims("a")
    launchers = {processes.parent(pid) for pid in shims} - {None, 1}
    assert launchers
    first.kill()
    first.wait()
    victims = [*(launchers if "launcher" in killed else ()), *(shims if "shim" in killed else ())]
    for pid in victims:
        os.kill(pid or 0, signal.SIGSTOP)
    for pid in victims:
        os.kill(pid or 0, signal.SIGKILL)
    second = scene.submit("b", trials=3)
    if killed != "engine shim":  # there the launcher ends what the shims leave
        wait_until(lambda: scene.waits("b") == "waiting for room that trials of other studies have: a (2)")
        assert scene.of("b") == []
        hold.unlink()
    scene.ended(second)
    scene.checked()
    assert sorted(scene.of("b")) == ["0", "1", "2"]


def test_engine_that_goes_on_takes_its_trials_over_while_another_study_waits(scene: Scene) -> None:
    hold = scene.hold("a")
    first = scene.submit("a")
    wait_until(lambda: len(scene.of("a")) == 2)
    first.kill()
    first.wait()
    second = scene.submit("b")
    wait_until(lambda: scene.waits("b"))
    third = scene.submit("a")
    wait_until(lambda: "took over 2 running trials" in scene.said())
    time.sleep(0.2)
    assert len(scene.began()) == 2
    hold.unlink()
    for engine in (second, third):
        scene.ended(engine)
    scene.checked()
    assert sorted(scene.of("a")) == sorted(scene.of("b")) == list("012345")


@pytest.mark.slow
def test_waiting_study_stops_at_once_and_lets_go(scene: Scene) -> None:
    hold = scene.hold("a")
    first = scene.submit("a", trials=2)
    wait_until(lambda: len(scene.of("a")) == 2)
    second = scene.submit("b")
    wait_until(lambda: scene.waits("b"))
    line = "waiting for room that trials of other studies have: a (2)"
    shown = command.run("show", "b", "--root", f"{scene.folder}/runs", cwd=Path.cwd(), env=scene.env)
    assert shown.returncode == 0 and line in shown.stdout
    wait_until(lambda: line in scene.said())
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=30) == 130
    assert scene.waits("b") == "" and scene.of("b") == []
    hold.unlink()
    scene.ended(first)


@pytest.mark.slow
def test_suspended_engine_keeps_its_share_and_keeps_nobody_waiting(scene: Scene) -> None:
    hold = scene.hold("a")
    first = scene.submit("a", trials=4)
    wait_until(lambda: len(scene.of("a")) == 2)
    second = scene.submit("b", trials=2)
    wait_until(lambda: scene.waits("b"))
    second.send_signal(signal.SIGSTOP)
    hold.unlink()
    scene.ended(first)
    assert scene.of("b") == []
    hold = scene.hold("b")
    second.send_signal(signal.SIGCONT)
    wait_until(lambda: len(scene.of("b")) == 2)
    second.send_signal(signal.SIGSTOP)
    hold.unlink()
    ends = [Path(scene.paths("b").trial(trial).attempt(1), records.EXIT) for trial in (0, 1)]
    wait_until(lambda: all(end.exists() for end in ends))
    third = scene.submit("c", trials=2)
    wait_until(lambda: scene.waits("c") == "waiting for room that trials of other studies have: b (2)")
    second.send_signal(signal.SIGCONT)
    for engine in (second, third):
        scene.ended(engine)
    scene.checked()
