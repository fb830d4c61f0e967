"""What a newcomer to Lightning asks, answered by real trainings; docs/lightning-questions.md says it in words."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import command

pytestmark = pytest.mark.filterwarnings("ignore")
pytest.importorskip("lightning")
pytest.importorskip("sklearn")

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trainer(epochs: int, *callbacks: Any, **more: Any) -> Any:
    import lightning.pytorch as pl

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options = {"accelerator": "cpu", "enable_checkpointing": False, **quiet, **more}
    return pl.Trainer(max_epochs=epochs, callbacks=list(callbacks), **options)


def digits(**more: Any) -> tuple[Any, Any]:
    """A module with dropout and an optimizer with state, and its data."""
    import lightning.pytorch as pl

    from hpo_trainees.digits import DigitsData, DigitsModule

    pl.seed_everything(5, verbose=False)
    return DigitsModule(**{"hidden": 24, "dropout": 0.3, "learning_rate": 3e-3, **more}), DigitsData(batch_size=64)


def state(training: Any) -> bytes:
    """All numbers of the module and of its optimizer, bit by bit."""
    import torch

    parts = [tensor.numpy().tobytes() for tensor in training.lightning_module.state_dict().values()]
    for optimizer in training.optimizers:
        for values in optimizer.state_dict()["state"].values():
            parts += [value.numpy().tobytes() for value in values.values() if isinstance(value, torch.Tensor)]
    assert len(parts) > 8
    return b"".join(parts)


class Rows:
    """A callback that keeps the metrics of each epoch."""

    def __new__(cls) -> Any:
        import lightning.pytorch as pl

        class Keeps(pl.Callback):
            def __init__(self) -> None:
                self.rows: list[dict[str, float]] = []

            def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
                self.rows.append({name: float(value) for name, value in trainer.callback_metrics.items()})

        return Keeps()


# -- does a checkpoint bring back the very same weights and optimizer? ----------------------------------------------------


def trained_and_saved(path: Path, epochs: int, *callbacks: Any) -> Any:
    """Saved as Lightning does it, at the end of each epoch; the last one stays."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    saves = ModelCheckpoint(dirpath=path.parent, filename=path.stem, enable_version_counter=False)
    first = trainer(epochs, *callbacks, saves, enable_checkpointing=True)
    first.fit(*digits())
    assert path.exists()
    return first


def test_a_checkpoint_brings_back_weights_and_optimizer_bit_for_bit(tmp_path: Path) -> None:
    import lightning.pytorch as pl

    from hpo_trainees.digits import DigitsModule

    first = trained_and_saved(tmp_path / "two.ckpt", 2)

    class Looks(pl.Callback):
        seen = b""

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.seen = state(trainer)

    looks = Looks()
    module, data = digits()
    again = trainer(3, looks)
    again.fit(module, data, ckpt_path=tmp_path / "two.ckpt")
    assert looks.seen == state(first) != state(again)
    loaded = DigitsModule.load_from_checkpoint(tmp_path / "two.ckpt")
    assert loaded.hparams["hidden"] == 24
    weights = first.lightning_module.state_dict()
    assert all((value == weights[name]).all() for name, value in loaded.state_dict().items())


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("repeatable", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_two_epochs_and_two_more_are_four_only_if_the_random_numbers_are_the_same(
    repeatable: bool, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils.data import DataLoader

    from hpo_trainees.digits import DigitsData
    from hpo_trainees.randomness import RandomStateCallback

    def loader(data: Any) -> Any:
        return DataLoader(data._train, batch_size=64, shuffle=True, num_workers=workers)

    monkeypatch.setattr(DigitsData, "train_dataloader", loader)

    def callbacks() -> list[Any]:
        return [RandomStateCallback()] if repeatable else []

    trained_and_saved(tmp_path / "two.ckpt", 2, *callbacks())
    module, data = digits()
    resumed = trainer(4, *callbacks())
    resumed.fit(module, data, ckpt_path=tmp_path / "two.ckpt", weights_only=False)  # it holds NumPy's state, too
    at_once = trained_and_saved(tmp_path / "four.ckpt", 4, *callbacks())
    assert (state(resumed) == state(at_once)) == repeatable


# -- are validation metrics averages over the whole set? -----------------------------------------------------------------


def test_validation_metrics_are_averages_over_all_examples_not_over_batches() -> None:
    """359 images in batches of 256 and 103."""
    import torch
    from torch.nn.functional import cross_entropy

    module, data = digits()
    training = trainer(1)
    training.fit(module, data)
    images, targets = data._val.tensors
    module.eval()
    with torch.no_grad():
        logits = module(images)
    batches = [(logits[:256], targets[:256]), (logits[256:], targets[256:])]
    of_batches = sum(float(cross_entropy(*batch)) for batch in batches) / 2
    whole = float(cross_entropy(logits, targets))
    assert float(training.callback_metrics["val_loss"]) == pytest.approx(whole, rel=1e-5)
    assert abs(of_batches - whole) > 1e-3 * whole, "the mean of the means is another number"
    hits = (logits.argmax(1) == targets).float().mean()
    assert float(training.callback_metrics["val_acc"]) == pytest.approx(float(hits), rel=1e-5)


def test_what_is_no_mean_needs_a_metric_that_adds_up() -> None:
    """The root of a mean, R2 and the like: their averages over batches are something else."""
    import torch
    from sklearn.metrics import r2_score, root_mean_squared_error
    from torch.utils.data import DataLoader

    from hpo_trainees.tabular import TabularData, TabularModule

    data = TabularData()
    data.setup()
    assert data._val is not None
    module = TabularModule()
    (found,) = trainer(1).validate(module, DataLoader(data._val, batch_size=20), verbose=False)
    table, targets = data._val.tensors
    with torch.no_grad():
        predicted = module(table)
    assert found["val_r2"] == pytest.approx(r2_score(targets, predicted), rel=1e-4)
    whole = root_mean_squared_error(targets, predicted)
    assert found["val_rmse"] == pytest.approx(whole, rel=1e-5)
    parts = [root_mean_squared_error(*pair) for pair in zip(targets.split(20), predicted.split(20), strict=True)]
    assert abs(sum(parts) / len(parts) - whole) > 1e-3 * whole


@pytest.fixture(scope="module")
def processes() -> Any:
    """The same training in one process and in two."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, "-m", "tests.support.two_processes"]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_in_two_processes_a_metric_is_of_one_share_unless_it_is_synced(processes: Any) -> None:
    """Of 1, 2, 3, 4, 5, 6, 70, the mean of which is 13."""
    assert processes["one"]["metrics"] == {"plain": 13.0, "synced": 13.0, "metric": 13.0}
    # Process 0 has 1, 3, 5, 70; process 1 has 2, 4, 6 and, so that both have as many, the first one again.
    assert processes["two"]["metrics"]["plain"] == (1 + 3 + 5 + 70) / 4
    assert processes["two_rank1"]["metrics"]["plain"] == (2 + 4 + 6 + 1) / 4
    for number in ("two", "two_rank1"):
        assert processes[number]["metrics"]["synced"] == processes[number]["metrics"]["metric"] == (91 + 1) / 8


@pytest.mark.slow
def test_without_padding_a_metric_object_is_exact_and_sync_dist_is_not(processes: Any) -> None:
    """Lightning 2.6 averages the number of examples of the processes, 3.5 here, as a whole number."""
    found = processes["two_unpadded"]["metrics"]
    assert found["metric"] == 13.0
    assert found["synced"] == pytest.approx(91 / 2 / 3)


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_global_batches(processes: Any) -> None:
    import numpy as np

    one, two, other = (np.array(processes[name]["steps"]) for name in ("one", "two", "two_rank1"))
    assert one.shape == (18, 129) and np.abs(one[-1] - one[0]).max() > 0.05
    assert (two == other).all(), "both processes always have the same weights"
    assert np.abs(two - one).max() < 1e-14, "the sum is another order of adding up"


# -- do the curves show learning? ----------------------------------------------------------------------------------------


def test_curves_show_learning() -> None:
    rows = Rows()
    trainer(4, rows).fit(*digits(learning_rate=0.01))
    losses = [row["train_loss"] for row in rows.rows]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.5 * losses[0]
    assert rows.rows[0]["val_loss"] > 2 * rows.rows[-1]["val_loss"] and rows.rows[-1]["val_acc"] > 0.85


def test_curves_show_overfitting_on_a_tiny_set() -> None:
    import lightning.pytorch as pl
    from torch.utils.data import DataLoader, Subset

    from hpo_trainees.tabular import TabularData, TabularModule

    pl.seed_everything(0, verbose=False)
    data = TabularData()
    data.setup()
    assert data._train is not None and data._val is not None
    rows = Rows()
    module = TabularModule(hidden=256, weight_decay=0.0, schedule="constant")
    few = DataLoader(Subset(data._train, range(30)), batch_size=30)
    trainer(80, rows).fit(module, few, DataLoader(data._val, batch_size=100))
    val = [row["val_loss"] for row in rows.rows]
    assert rows.rows[-1]["train_loss"] < 0.05 * rows.rows[0]["train_loss"]
    assert val.index(min(val)) < 40 and val[-1] > 1.2 * min(val), "the best epoch is long past"


# -- are runs reproducible with a seed? ----------------------------------------------------------------------------------


def fingerprint(seed: int) -> str:
    import lightning.pytorch as pl

    module, data = digits()
    pl.seed_everything(seed, verbose=False)
    training = trainer(2)
    training.fit(module, data)
    return hashlib.sha256(state(training)).hexdigest()


def test_the_same_seed_gives_the_same_weights_in_the_same_process() -> None:
    assert fingerprint(1) == fingerprint(1) != fingerprint(2)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_in_a_new_process() -> None:
    code = "import torch; torch.set_num_threads(1)\nfrom tests.trainees.test_questions import fingerprint\n"
    code += "print('weights', fingerprint(1))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=200)
    assert f"weights {fingerprint(1)}" in done.stdout, done.stderr


@pytest.mark.slow
def test_workers_of_a_loader_draw_the_same_with_the_same_seed_and_number_of_workers() -> None:
    import lightning.pytorch as pl
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Noisy(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 12

        def __getitem__(self, index: int) -> Any:
            return index, float(torch.rand(1)), float(np.random.rand())

    def drawn(seed: int, workers: int) -> list[Any]:
        pl.seed_everything(seed, workers=True, verbose=False)
        loader: Any = DataLoader(Noisy(), batch_size=4, shuffle=True, num_workers=workers)
        return [[part.tolist() for part in batch] for _ in range(2) for batch in loader]

    for workers in (0, 2):
        assert drawn(3, workers) == drawn(3, workers) != drawn(4, workers)
    order, other_order = ([batch[0] for batch in drawn(3, workers)] for workers in (2, 3))
    assert order == other_order, "the order is drawn by the main process"
    assert drawn(3, 2) != drawn(3, 3), "the noise is drawn by the workers"


@pytest.mark.slow
def test_a_trial_is_the_same_preloaded_cold_and_by_hand(tmp_path: Path) -> None:
    settings = {"hidden": 24, "dropout": 0.3, "learning_rate": 0.003, "epochs": 2}
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").touch()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    found = {}
    for preload in ("auto", "off"):
        study = {
            "name": preload,
            "command": "python -m hpo_trainees.digits",
            "model_dir": "model",
            "objective": "minimize val_loss",
            "trials": 2,
            "trial": {"preload": preload},
            "points": [{"hidden": 24}, {"hidden": 25}],
            "space": {"hidden": {"int": [8, 64]}, "dropout": 0.3, "learning_rate": 0.003, "epochs": 2},
        }
        (tmp_path / f"{preload}.yaml").write_text(yaml.safe_dump(study))
        argv = ["submit", str(tmp_path / f"{preload}.yaml"), "--root", str(tmp_path / "runs")]
        done = command.run(*argv, cwd=tmp_path, env=env, timeout=300)
        assert done.returncode == 0, done.stderr
        assert ("preload: " in done.stderr + done.stdout) == (preload == "auto")
        rows = tmp_path / "runs" / preload / "results" / "0" / "val_dict_list.json"
        found[preload] = json.loads(rows.read_text())
    hand = tmp_path / "hand"
    hand.mkdir()
    (hand / "config.json").write_text(json.dumps(settings))
    argv = [sys.executable, "-m", "hpo_trainees.digits"]
    done = subprocess.run(argv, cwd=hand, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    found["by hand"] = json.loads((hand / "val_dict_list.json").read_text())
    assert len(found["auto"]) == 2 and found["auto"] == found["off"] == found["by hand"]
