"""The logger of the driver: what a search reads is written when the training ends."""

import json
import os

from callbacks import LoggerCallback


class EDTLoggerCallback(LoggerCallback):
    def __init__(self):
        self.tests = []

    def log_train_metrics(self, loss, acc, completed_batch, worker=0):
        if completed_batch % 20 == 0:
            print(f"batch {completed_batch} on {worker} workers: loss {loss:.4f}, accuracy {acc / 100:.4f}", flush=True)

    def log_test_metrics(self, loss, acc, completed_batch, worker=0):
        self.tests.append({"step": len(self.tests) + 1, "loss": loss, "accuracy": acc / 100})

    def on_train_end(self):
        with open(os.path.join(os.environ["RESULT_DIR"], "val_dict_list.json"), "w") as f:
            json.dump(self.tests, f)
