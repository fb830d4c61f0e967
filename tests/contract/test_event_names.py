"""What the metrics in event files are called, by the folders that scripts make."""

from __future__ import annotations

import pytest

from hpo_engine.contract.sources.tensorboard.names import Source, metric_names

LIGHTNING = "lightning_logs/version_0"
DEFAULT = "runs/Nov27_18-00-00_host"


@pytest.mark.parametrize(
    ("folder", "tag", "name"),
    [
        (LIGHTNING, "val_loss", "val_loss"),
        ("", "loss", "loss"),
        ("tb_logs/my_model/version_12", "val/acc", "val/acc"),
        (DEFAULT, "Loss/train", "Loss/train"),
        (f"{DEFAULT}LR_0.1_BATCH_16", "Loss/train", "Loss/train"),
        ("runs/fashion_trainer_20231127_180000", "loss", "loss"),
        ("runs/exp1", "loss", "loss"),
        (f"{DEFAULT}/1701108000.1234567", "hparam/accuracy", "hparam/accuracy"),
        (f"{DEFAULT}/loss_val", "loss", "loss_val"),
        (f"{DEFAULT}/Loss_all_val", "Loss/all", "Loss_all_val"),
        ("logs/train", "epoch_loss", "loss"),
        ("logs/validation", "epoch_loss", "val_loss"),
        ("logs/fit/20231127-180000/validation", "epoch_mae", "val_mae"),
        ("logs/validation", "evaluation_loss_vs_iterations", "evaluation_loss_vs_iterations"),
        ("logs/train", "batch_loss", "train/batch_loss"),
        ("logs/val", "loss", "val/loss"),
        ("logs/val", "val_loss", "val_loss"),
        ("logs/eval", "val/loss", "val/loss"),
        ("outputs/2023-11-27/18-00-00/tb", "loss", "loss"),
    ],
)
def test_a_single_run_has_no_prefix_and_a_part_of_the_data_has_its_own(folder: str, tag: str, name: str) -> None:
    assert metric_names([Source(folder, tag)]) == {Source(folder, tag): name}


def test_folders_of_several_writers_are_told_apart_by_what_differs_in_their_names() -> None:
    sources = [Source(f"runs/{name}", "loss") for name in ("gen", "disc")]
    assert list(metric_names(sources).values()) == ["gen/loss", "disc/loss"]
    main = Source("runs", "loss")
    assert list(metric_names([main, *sources]).values()) == ["loss", "gen/loss", "disc/loss"]
    inside = [Source(f"{DEFAULT}/{name}", "loss") for name in ("gen", "disc")]
    assert list(metric_names(inside).values()) == ["gen/loss", "disc/loss"]


def test_runs_whose_names_differ_in_digits_have_the_same_metrics() -> None:
    for folder in ("lightning_logs/version_{}", "runs/fold{}", "logs/2023112{}-180000"):
        assert set(metric_names([Source(folder.format(i), "val_loss") for i in (1, 2)]).values()) == {"val_loss"}


def test_folders_in_result_dir_and_in_log_dir_are_told_apart_by_themselves() -> None:
    sources = [Source("tb", "loss", "LOG_DIR"), Source("extra", "f1"), Source("extra/val", "f1")]
    assert list(metric_names(sources).values()) == ["loss", "f1", "val/f1"]


def test_a_writer_beside_lightnings_does_not_rename_lightnings_metrics() -> None:
    sources = [Source(LIGHTNING, "val_loss"), Source("extra", "val_loss")]
    assert list(metric_names(sources).values()) == ["val_loss", "extra/val_loss"]


@pytest.mark.parametrize(
    ("folder", "tag", "named"),
    [
        ("logs/validation", "epoch_loss", "validation/epoch_loss"),
        ("logs/validation", "epoch_loss", "validation/loss"),
        ("logs/val", "loss", "val_loss"),
        ("logs/valid", "loss", "validation_loss"),
        ("logs/val", "loss", "logs/val/loss"),
        ("logs/val", "loss", "loss"),
        ("logs/train", "loss", "train_loss"),
        (f"{DEFAULT}/loss_val", "loss", "loss/val"),
        (f"{DEFAULT}/loss_val", "loss", "loss_val/loss"),
        (LIGHTNING, "val_loss", "lightning_logs/version_0/val_loss"),
    ],
)
def test_a_metric_has_the_name_by_which_the_study_knows_it(folder: str, tag: str, named: str) -> None:
    assert metric_names([Source(folder, tag)], {named}) == {Source(folder, tag): named}


def test_a_name_that_may_mean_several_metrics_is_none_of_them() -> None:
    sources = [Source("logs/train", "loss"), Source("logs/val", "loss")]
    assert list(metric_names(sources, {"loss"}).values()) == ["train/loss", "val/loss"]
    assert list(metric_names(sources, {"val_loss"}).values()) == ["train/loss", "val_loss"]
    exact = [*sources, Source("logs", "loss")]
    assert list(metric_names(exact, {"loss"}).values()) == ["train/loss", "val/loss", "loss"]
