"""A small writer of the metrics stream that WMLA shows while a script trains: $LOG_DIR/$SUBID/evaluation-metrics.txt.

It stands here in place of IBM's helper of the same name, which many projects carry along; use yours as it is.
"""

import json
import os
import time


class EMetrics:
    TEST_GROUP = "test"  # the validation set
    TRAIN_GROUP = "train"

    def __init__(self, subid, folder):
        self.subid = subid
        self.lines = 0
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, "evaluation-metrics.txt")

    @classmethod
    def open(cls, subid=None):
        state_dir = os.environ.get("JOB_STATE_DIR", ".")
        folder = os.environ.get("LOG_DIR") or os.path.join(state_dir, "logs")
        return cls(subid, os.path.join(folder, subid) if subid else folder)

    def record(self, group, step, metrics):
        self.lines += 1
        now = int(time.time() * 1000)
        stamp = {"value": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())}
        line = {
            "meta": {"training_id": os.environ.get("TRAINING_ID", ""), "time": now, "rindex": self.lines},
            "grouplabel": group,
            "etimes": {"iteration": {"type": 2, "value": str(step)}, "time_stamp": stamp},
            "values": {name: {"type": 3, "value": str(float(value))} for name, value in metrics.items()},
        }
        if self.subid:
            line["meta"]["subid"] = self.subid
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass
