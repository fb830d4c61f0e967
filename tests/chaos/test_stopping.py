"""kill -9 of the engine while rules end trials or the study: what hangs is ended, and a budget counts every epoch once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.stoppers.budget import UsageStopper
from hpo_engine.study import usage
from hpo_engine.study.history import History
from tests.support import command
from tests.support.helpers import processes_with, wait_until
from tests.support.scene import killed

HANGS = """\
import json, os, time
number = json.load(open("config.json"))["number"]
rows = []
for epoch in range(1, 6):
    time.sleep(0.05)
    rows.append({"step": epoch, "loss": number + 1 / epoch})
    with open("val_dict_list.json.new", "w") as file:
        json.dump(rows, file)
    os.replace("val_dict_list.json.new", "val_dict_list.json")
    if epoch == 3 and number == 0 and not os.path.exists(os.environ["HUNG"]):
        open(os.environ["HUNG"], "w").close()
        time.sleep(3600)
    if epoch == 3 and number == 1:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            sum(range(10_000))
"""
TRAINS = """\
import json, os, time
rows = []
for epoch in range(1, 11):
    time.sleep(0.1)
    fd = os.open(os.environ["COUNTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{os.environ['SUBID']} {os.environ['HPO_ATTEMPT']} {epoch}\\n".encode())
    os.close(fd)
    rows.append({"step": epoch, "loss": 1 / epoch})
    with open("val_dict_list.json.new", "w") as file:
        json.dump(rows, file)
    os.replace("val_dict_list.json.new", "val_dict_list.json")
"""


class Study:
    """A study in its folder; engines are processes."""

    def __init__(self, folder: Path, script: str, **study: Any) -> None:
        self.folder = folder / "a b"
        self.folder.mkdir()
        (self.folder / "train.py").write_text(script)
        whole = {
            "command": [sys.executable, "-S", "train.py"],
            "objective": "minimize loss",
            "results": "val_dict_list",
        }
        (self.folder / "algo.yaml").write_text(json.dumps({**whole, **study}))
        self.mark = f"MARK={folder}"
        self.paths = StudyPaths(str(self.folder / "hpo-runs" / "a-b"))

    def engine(self, failpoint: str = "") -> command.Command:
        args = ("resume", "a-b") if Path(self.paths.db).exists() else ("submit", "algo.yaml")
        env = {
            "PATH": "/usr/bin:/bin",
            "MARK": self.mark.partition("=")[2],
            **({"HPO_FAILPOINT": failpoint} if failpoint else {}),
        }
        return command.start(*args, cwd=self.folder, env=env, stdout=command.PIPE, stderr=command.PIPE)

    def history(self) -> History:
        return studies.read(self.paths)


def killed_when(study: Study, true: Any) -> None:
    engine = study.engine()
    wait_until(true, 60)
    engine.kill()
    engine.wait(30)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["", "trial.stop-asked:1:kill", "attempt.reaped:1:kill"])
def test_a_hanging_trial_is_ended_by_the_engine_that_takes_over(tmp_path: Path, point: str) -> None:
    hung = tmp_path / "hung"
    study = Study(
        tmp_path, HANGS, algorithm="grid", parallel=2, stop="stalled times=4 min_seconds=3", env={"HUNG": str(hung)},
        trial={"retries": 1, "grace": "1s"}, space={"number": {"int": [0, 1]}},
    )  # fmt: skip
    killed_when(study, hung.exists)
    if point:
        assert killed(study.engine(point).wait(120))
    assert study.engine().wait(120) == 0
    first, other = study.history().trials
    assert [a.failure and a.failure.value for a in first.attempts] == ["stalled", None]
    exit_ = first.attempts[0].exit
    assert exit_ is not None and exit_.stop_cause is not None and exit_.stop_cause.value == "stalled"
    assert first.state.value == "completed" and len(first.rows) == 5, "it was tried again"
    assert other.state.value == "completed" and len(other.attempts) == 1, "it computed silently"
    assert not processes_with(study.mark)


@pytest.mark.slow
def test_a_budget_of_epochs_is_exact_over_kills(tmp_path: Path) -> None:
    counts, most = tmp_path / "counts", 60
    study = Study(
        tmp_path, TRAINS, algorithm="random", trials=1000, parallel=4, stop=f"budget epochs={most}",
        env={"COUNTS": str(counts)}, trial={"grace": "1s"}, space={"x": {"float": [0, 1]}},
    )  # fmt: skip

    def trained() -> int:
        return len(counts.read_text().splitlines()) if counts.exists() else 0

    for until in (5, 20, 45):
        killed_when(study, lambda until=until: trained() >= until)
    engine = study.engine()
    out, _ = engine.communicate(timeout=120)
    history = study.history()
    assert engine.returncode == 0 and history.state.value == "finished", out
    assert history.reason.startswith("budget spent: ") and "budget spent: " in out
    counted = sum(usage.epochs(trial, attempt, history) for trial in history.trials for attempt in trial.attempts)
    lines = counts.read_text().splitlines()
    assert len(set(lines)) == len(lines), "no attempt began twice"
    assert most <= counted <= len(lines), "nothing counts that was not trained"
    for trial in history.trials:
        for attempt in trial.attempts:
            own = sum(line.startswith(f"{trial.id} {attempt.nonce} ") for line in lines)
            ended_by_itself = attempt.exit is not None and attempt.exit.clean
            # The last epochs of a trial that was ended may not have been written to its file.
            assert usage.epochs(trial, attempt, history) == own or (not ended_by_itself and own <= 10)
    rule = UsageStopper(history.spec, epochs=most)
    assert rule.end_study(history, history.last_at) is not None
    assert study.engine().wait(60) == 0 and len(study.history().trials) == len(history.trials), "and it stays spent"
    assert not processes_with(study.mark)
