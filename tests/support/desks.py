"""Studies as clients of the service submit them: a request, a script, and a desk that takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hpo_engine.service.desk import Caller, Desk, Model, View
from tests.support.helpers import wait_until

ADA, BOB, ROOT = Caller("ada"), Caller("bob"), Caller("root", admin=True)
SCRIPT = """\
import json, os, sys, time
config = json.load(open("config.json"))
with open(os.environ["RESULT_DIR"] + "/../../begun", "a") as begun:
    begun.write(os.environ["SUBID"] + "\\n")
while os.path.exists(config["hold"]):
    time.sleep(0.01)
json.dump([{"step": 1, "loss": (config["x"] - 3) ** 2}], open("val_dict_list.json", "w"))
"""


def request(name: str | None = None, trials: int = 2, hold: str = "/nowhere", parallel: int = 2, **more: Any) -> str:
    """A task whose trials run as long as the file `hold` exists."""
    wanted = {
        "modelSpec": {"args": "--exec-start PyTorch --model-main train.py"},
        "algoDef": {
            "algorithm": "Random", "maxJobNum": trials, "maxParalleJobNum": parallel, "objectiveMetric": "loss",
            "objective": "minimize",
        },
        "hyperParams": [
            {"name": "x", "type": "Range", "dataType": "double", "minDbVal": 0, "maxDbVal": 10},
            {"name": "hold", "type": "Fix", "dataType": "str", "fixedVal": hold},
        ],
        **more,
    }  # fmt: skip
    return json.dumps({**wanted, "hpoName": name} if name is not None else wanted)


def script(folder: Path, text: str = SCRIPT) -> Model:
    """A lone script as an upload has left it in the spool."""
    path = folder / "upload"
    path.write_text(text)
    return Model("script", str(path), "train.py", path.stat().st_size)


def await_state(desk: Desk, name: str, *states: str, caller: Caller = ROOT) -> View:
    return wait_until(lambda: (view := desk.view(caller, name)).state in states and view, 60)


def begun(root: Path, name: str) -> list[str]:
    """The trials that have begun, as they say themselves."""
    file = root / name / "begun"
    return file.read_text().split() if file.exists() else []
