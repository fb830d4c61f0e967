"""The scripts of `benchmarks.sources`, all in one process: each reports once a second, in one of the ways there are.

Reads what to do from standard input, as JSON; every value is the time at which it is written (seconds since `zero`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


class Place:
    """Where one script reports: RESULT_DIR, LOG_DIR, and the folder of its output.

    `zero`: see `clock` (UTC seconds).
    """

    def __init__(self, result_dir: str, log_dir: str, attempt: str, zero: float) -> None:
        self.result_dir, self.log_dir, self.attempt = Path(result_dir), Path(log_dir), Path(attempt)
        self.history: list[dict[str, float]] = []
        self._zero = zero

    def clock(self) -> float:
        """The value that is reported. Event files have 32 bits for it, so it must be small."""
        return time.time() - self._zero

    def append(self, path: Path, text: str, head: str = "") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with open(path, "a") as file:
            file.write(head * new + text)

    def rewrite(self, path: Path, value: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))


def _row(place: Place, step: int, metric: str) -> dict[str, float]:
    return {"epoch": step, "train_loss": 0.5, "lr": 0.001, metric: place.clock()}


def val_dict_list(place: Place, step: int, metric: str) -> None:
    place.history.append(_row(place, step, metric))
    place.rewrite(place.result_dir / "val_dict_list.json", place.history)


def emetrics(place: Place, step: int, metric: str) -> None:
    value = {"type": 3, "value": repr(place.clock())}
    entry = {"grouplabel": "test", "etimes": {"iteration": {"type": 2, "value": step}}, "values": {metric: value}}
    place.append(place.log_dir / "evaluation-metrics.txt", json.dumps(entry) + "\n")


def csv(place: Place, step: int, metric: str) -> None:
    line = ",".join(map(str, _row(place, step, metric).values()))
    place.append(place.result_dir / "history.csv", f"{line}\n", f"epoch,train_loss,lr,{metric}\n")


def lightning_csv(place: Place, step: int, metric: str) -> None:
    """Anew each time, as Lightning's logger did for years and does when columns are added."""
    place.history.append({"epoch": step, "step": 50 * step, "train_loss": 0.5, metric: place.clock()})
    text = f"epoch,step,train_loss,{metric}\n"
    for row in place.history:
        begin = f"{row['epoch']},{row['step']},"
        text += f"{begin}{row['train_loss']},\n{begin},{row[metric]}\n"
    path = place.result_dir / "lightning_logs" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def jsonl(place: Place, step: int, metric: str) -> None:
    place.append(place.result_dir / "history.jsonl", json.dumps(_row(place, step, metric)) + "\n")


def json_(place: Place, step: int, metric: str) -> None:
    place.history.append(_row(place, step, metric))
    place.rewrite(place.result_dir / "history.json", place.history)


def trainer_state(place: Place, step: int, metric: str) -> None:
    place.history.append({**_row(place, step, metric), "step": 10 * step})
    state = {"epoch": step, "global_step": 10 * step, "log_history": place.history}
    place.rewrite(place.result_dir / "out" / f"checkpoint-{10 * step}" / "trainer_state.json", state)


def stdout(place: Place, step: int, metric: str) -> None:
    place.append(place.attempt / "output.log", f"Epoch {step}/99 train_loss=0.5 lr=0.001 {metric}={place.clock()!r}\n")


def tensorboard(place: Place, step: int, metric: str) -> None:
    from hpo_engine.trackers import tfevents

    path = place.result_dir / "runs" / "exp" / "events.out.tfevents.1.box.0"
    path.parent.mkdir(parents=True, exist_ok=True)
    now, values = time.time(), {"train_loss": 0.5, metric: place.clock()}
    records = tfevents.summary(now, step, [tfevents.scalar(name, value) for name, value in values.items()])
    with open(path, "ab") as file:
        file.write((b"" if file.tell() else tfevents.header(now)) + records)


def mlflow(place: Place, step: int, metric: str) -> None:
    run = place.result_dir / "mlruns" / "0" / ("0" * 32)
    if step == 1:
        (run / "metrics").mkdir(parents=True)
        (run / "tags").mkdir()
        (run / "tags" / "hpo_engine.attempt").write_text(place.attempt.name)
        (run.parent / "meta.yaml").write_text("experiment_id: '0'\nname: Default\nlifecycle_stage: active\n")
        (run / "meta.yaml").write_text(f"run_id: {'0' * 32}\nexperiment_id: '0'\nlifecycle_stage: active\nstatus: 1\n")
    for name, value in _row(place, step, metric).items():
        place.append(run / "metrics" / name, f"{int(1000 * time.time())} {value!r} {step}\n")


KINDS: Mapping[str, Callable[[Place, int, str], None]] = {
    "val_dict_list": val_dict_list,
    "emetrics": emetrics,
    "lightning_csv": lightning_csv,
    "tensorboard": tensorboard,
    "csv": csv,
    "jsonl": jsonl,
    "json": json_,
    "trainer_state": trainer_state,
    "stdout": stdout,
    "mlflow": mlflow,
}


def main() -> None:
    order = json.load(sys.stdin)
    report = KINDS[order["kind"]]
    places = [Place(result, log, attempt, order["zero"]) for result, log, attempt in order["places"]]
    began = time.monotonic()
    for step in range(1, int(order["seconds"]) + 1):
        for number, place in enumerate(places):  # spread over the second
            time.sleep(max(0.0, began + step - 1 + number / len(places) - time.monotonic()))
            report(place, step, order["metric"])
    os._exit(0)


if __name__ == "__main__":
    main()
