"""A trial as a user of a library would write it: config.json, a process, val_dict_list.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile


def run(script: str, x: float, root: str) -> float:
    folder = tempfile.mkdtemp(dir=root)
    with open(f"{folder}/config.json", "w") as file:
        json.dump({"x": x}, file)
    subprocess.run(
        [sys.executable, script], cwd=folder, env={**os.environ, "RESULT_DIR": folder}, check=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with open(f"{folder}/val_dict_list.json") as file:
        loss: float = json.load(file)[-1]["loss"]
    return loss
