"""check of a study of a population: whether runs go on from checkpoints, and whether new values arrive there."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import command

SCRIPT = """\
import json, os
config, state, rows = json.load(open("config.json")), {{"step": 0, "x": 1.0}}, []
lr, decay = config["lr"], config["decay"]
if os.environ.get("HPO_RESUME_FROM"):
{resume}
while state["step"] < config["epochs"]:
    state["x"] -= lr * (state["x"] + decay)
    state["step"] += 1
    rows.append({{"step": state["step"], "loss": state["x"]}})
json.dump(rows, open("val_dict_list.json", "w"))
json.dump({{**state, "lr": lr}}, open("{name}", "w"))
"""
STUDY = """\
command: [{python}, -S, train.py]
objective: minimize loss
algorithm: pbt
resource: {{name: epochs, max: 20, min: 2}}
trials: 4
space: {{lr: {{float: [0.01, 0.2]}}, decay: {{float: [0, 0.5]}}}}
"""
LOADS = '    state = json.load(open(os.environ["HPO_RESUME_FROM"]))'


@pytest.mark.by_default(1)
@pytest.mark.parametrize(
    ("resume", "name", "code", "text"),
    [
        (LOADS, "last.ckpt", "values_arrive", "lr, decay: another value from a checkpoint on changes the results"),
        (f"{LOADS}\n    lr = state['lr']", "last.ckpt", "values_lost", "with another lr ("),
        ("    pass", "last.ckpt", "resume_ignored", "begins anew"),
        ("    raise SystemExit('no such key')", "last.ckpt", "resume_fails", "of trial 0 fails"),
        (LOADS, "some.thing", "no_checkpoint", "trial 0 left no checkpoint"),
    ],
)
def test_new_values_after_a_resume(resume: str, name: str, code: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT.format(resume=resume, name=name))
    (tmp_path / "algo.yaml").write_text(STUDY.format(python=json.dumps(sys.executable)))
    done = command.run("check", "algo.yaml", "--json", cwd=tmp_path, env=dict(os.environ))
    report: dict[str, Any] = json.loads(done.stdout)
    found = {f["code"]: f for f in report["findings"]}
    assert code in found and text in found[code]["text"], report["findings"]
    assert done.returncode == (0 if code == "values_arrive" else 1), "a population would be wasted"
    assert (found[code]["level"] == "problem") is (code != "values_arrive")
    if code == "values_lost":
        assert "values_arrive" in found and "decay" in found["values_arrive"]["text"]
