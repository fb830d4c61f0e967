"""The variables that trackers set for scripts: where they arrive, who takes precedence, what they cannot harm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.core.ports import Tracker
from hpo_engine.study.events import fold
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.spec import TrialPolicy
from hpo_engine.study.trial import Attempt, Exit, Trial
from hpo_engine.text.quoting import without_password
from tests.support.loop_bench import Bench
from tests.support.shell import Shell

JOINING = """\
import os

from hpo_engine import Tracker


class Joining(Tracker):
    shared_variables = frozenset(["MINE_URI", "MINE_TOKEN"])

    def __init__(self, paths):
        pass

    def environment(self, history, trial, attempt):
        run = f"{trial.id}.{attempt.number}.{attempt.nonce}"
        both = {"MINE_URI": "mine://here", "MINE_TOKEN": "tracker", "MINE_RUN": run, "MINE_NAME": "tracker"}
        return {**both, "MLFLOW_RUN_CONTEXT": '{"mlflow.parentRunId": "abc", "shared": "tracker"}'}
"""
LIBRARY = 'import os\n\nDEFAULT = os.environ.get("MINE_URI")\n'
SCRIPT = """\
import json, os
import library
seen = {name: value for name, value in os.environ.items() if name.startswith(("MINE_", "MLFLOW_", "HPO_ATTEMPT"))}
json.dump({**seen, "at import": library.DEFAULT}, open("seen.json", "w"))
json.dump([{"step": 1, "loss": json.load(open("config.json"))["x"]}], open("val_dict_list.json", "w"))
"""
STUDY = """\
command: python train.py
objective: minimize loss
algorithm: random
trials: 3
space: {{x: {{float: [0, 1]}}}}
env: {{MINE_NAME: "{{trial}}", MLFLOW_RUN_CONTEXT: '{{{{"user": "me", "shared": "study"}}}}'}}
trackers: ["track.py:Joining"]
trial: {{preload: {preload}}}
"""


@pytest.mark.by_default("auto")
@pytest.mark.parametrize("preload", ["auto", '"off"'])
def test_variables_of_a_tracker_reach_every_script_and_its_imports(shell: Shell, preload: str) -> None:
    shell.env |= {"MINE_TOKEN": "shell", "MLFLOW_RUN_CONTEXT": '{"from": "shell", "shared": "shell"}'}
    library = shell.folder.parent / "site"
    library.mkdir()
    (library / "library.py").write_text(LIBRARY)
    shell.env["PYTHONPATH"] += f":{library}"
    shell.write("track.py", JOINING)
    shell.write("train.py", SCRIPT)
    shell.write("algo.yaml", STUDY.format(preload=preload))
    out = shell.run("submit", "algo.yaml")
    assert ("preload: " in out) == (preload == "auto") and "no preload" not in out
    for number in range(3):
        seen = json.loads(shell.result(number, "seen.json").read_text())
        nonce = seen["HPO_ATTEMPT"]
        assert seen["at import"] == seen["MINE_URI"] == "mine://here"
        assert seen["MINE_TOKEN"] == "tracker", "the tracker's, not the shell's"
        assert seen["MINE_RUN"] == f"{number}.1.{nonce}"
        assert seen["MINE_NAME"] == str(number), "the study file's, not the tracker's"
        tags = {"from": "shell", "user": "me", "shared": "study", "mlflow.parentRunId": "abc"}
        own = {"hpo_engine.attempt": nonce, "hpo_engine.trial": f"my-study-{number}"}
        assert json.loads(seen["MLFLOW_RUN_CONTEXT"]) == tags | own
    assert shell.json("show", "my-study", "2")["runs"][0]["variables"]["MINE_RUN"].startswith("2.1.")
    assert "set for its script: MINE_URI=mine://here" in shell.run("show", "my-study", "2")


class Quiet(Tracker):
    def open(self, history: History, now: float) -> None: ...
    def on(self, event: Any, history: History) -> None: ...
    def tick(self, history: History, now: float) -> None: ...
    def close(self, history: History) -> None: ...


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (RuntimeError("no server"), "no server"),
        ({"RESULT_DIR": "/mine"}, "RESULT_DIR is set by the engine"),
        ({"HPO_RESUME_FROM": "/mine"}, "HPO_RESUME_FROM is set by the engine"),
        ({"A": 1}, "a variable and its value are text"),
        ({"A=B": "1"}, "no process can have a variable"),
        ({"A": "1\0"}, "no process can have a variable"),
        ("A=1", "'str' object has no attribute 'items'"),
    ],
)
def test_a_tracker_with_unusable_variables_is_switched_off_and_the_attempts_start(
    bench: Bench, answer: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Quiet):
        calls = 0

        def environment(self, history: History, trial: Trial, attempt: Attempt) -> Mapping[str, str]:
            Bad.calls += 1
            if isinstance(answer, Exception):
                raise answer
            return answer

    class Good(Quiet):
        def environment(self, history: History, trial: Trial, attempt: Attempt) -> Mapping[str, str]:
            return {"GOOD": f"{trial.id}"}

    bench.trackers = [Bad(), Good()]
    history = bench.run(bench.open())
    assert history.state is StudyState.FINISHED and history.counts[history.trials[0].state] == 3
    assert Bad.calls == 1 and [message for message in caplog.messages if why in message] == caplog.messages
    assert [t.attempt.variables for t in history.trials if t.attempt] == [{"GOOD": "0"}, {"GOOD": "1"}, {"GOOD": "2"}]
    assert [launch.env["GOOD"] for launch in bench.executor.launched] == ["0", "1", "2"]


def test_an_attempt_that_never_began_gets_what_was_recorded_for_it(bench: Bench) -> None:
    class Numbered(Quiet):
        calls = 0

        def environment(self, history: History, trial: Trial, attempt: Attempt) -> Mapping[str, str]:
            Numbered.calls += 1
            return {"CALL": str(Numbered.calls)}

    bench.trackers = [Numbered()]
    bench.behave = lambda launch: None
    bench.open().step(bench.now)
    assert [launch.env["CALL"] for launch in bench.executor.launched] == ["1", "2"]
    bench.behave = bench.good
    engine = bench.lead()  # the first engine was killed, and nothing had started
    engine.resume(bench.now)
    assert [launch.env["CALL"] for launch in bench.executor.launched] == ["1", "2"]
    bench.trackers = []
    assert [t.attempt.variables["CALL"] for t in fold(bench.store.read()).trials if t.attempt] == ["1", "2"]


def test_a_retry_is_asked_for_anew(bench: Bench) -> None:
    class Named(Quiet):
        def environment(self, history: History, trial: Trial, attempt: Attempt) -> Mapping[str, str]:
            assert attempt.number == len(trial.attempts) + 1 and attempt.params == trial.params
            return {"RUN": f"{trial.id}/{attempt.number}"}

    bench.trackers = [Named()]
    bench.behave = lambda launch: Exit(code=1) if launch.attempt == 1 else bench.good(launch)
    history = bench.run(bench.open(trial=TrialPolicy(retries=1)))
    named = [[attempt.variables["RUN"] for attempt in trial.attempts] for trial in history.trials]
    assert named == [[f"{number}/1", f"{number}/2"] for number in range(3)]


def test_a_password_in_a_uri_is_not_shown() -> None:
    assert without_password("https://me:secret@host:5000/x") == "https://***@host:5000/x"
    assert without_password("sqlite:////home/me/a@b.db") == "sqlite:////home/me/a@b.db"
