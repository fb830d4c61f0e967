"""What scripts print, as their libraries do it."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.outputlog.capture import Capture
from hpo_engine.contract.outputlog.logfiles import NAME, TAILS
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.printed import Printed
from hpo_engine.errors import SpecError


def rows(source: Any, text: str) -> list[tuple[float, dict[str, float]]]:
    source.begin()
    return [(row.step, dict(row.values)) for row in source.rows_of(text.encode().split(b"\n"))]


def trial(*named: str) -> TrialFiles:
    return TrialFiles(StudyPaths("/nowhere").trial(0), named=frozenset(named))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Epoch 1/3\n32/32 - 1s - loss: 0.5000 - accuracy: 0.8 - val_loss: 0.61\nEpoch 2/3\n loss: 0.4",
            [(1, {"loss": 0.5, "accuracy": 0.8, "val_loss": 0.61}), (2, {"loss": 0.4})],
        ),
        (
            "[0]\ttrain-rmse:0.52\teval-rmse:0.61\n[1]\ttrain-rmse:0.42",
            [(0, {"train-rmse": 0.52, "eval-rmse": 0.61}), (1, {"train-rmse": 0.42})],
        ),
        ("[5]\tvalid_0's auc: 0.99\tvalid_0's binary_logloss: 0.1", [(5, {"auc": 0.99, "binary_logloss": 0.1})]),
        (
            "Epoch 4:   0%|   | 0/44 [00:00<?]\rEpoch 4: 100%|###| 44/44 [00:01<00:00, 30.1it/s, v_num=0, loss=0.5]",
            [(4, {"v_num": 0.0, "loss": 0.5})],
        ),
        ("{'eval_loss': 0.34, 'epoch': 2.0}", [(2, {"eval_loss": 0.34})]),
        ("\x1b[1mstep=7\x1b[0m loss = 1e-3 acc: 93.1% lr=nan", [(7, {"loss": 1e-3, "acc": 93.1, "lr": math.nan})]),
        ("eta: 0:01:02 time=2026-11-27 took: 3s batch: 10/100 http://a:80", []),
        ("loss=1\nnothing\nloss=2", [(1, {"loss": 1.0}), (2, {"loss": 2.0})]),
        ("step=1e400 loss=1", [(1, {"loss": 1.0})]),
        ("Epoch 99999999999999999999 loss=1", [(1, {"loss": 1.0})]),
    ],
)
def test_lines_as_libraries_print_them(text: str, expected: list[tuple[float, dict[str, float]]]) -> None:
    assert repr(rows(Printed(trial()), text)) == repr(expected)


def test_a_metric_that_the_study_names_is_no_step() -> None:
    assert rows(Printed(trial("epoch")), "epoch=3 loss=1") == [(1, {"epoch": 3.0, "loss": 1.0})]


def read(text: str, *named: str) -> list[tuple[float, dict[str, float]]]:
    return [(row.step, dict(row.values)) for row in Printed(trial(*named)).parse(text.encode())]


BAR = "|#    |"
MANNERS = {  # what a script prints, and the rows that are read
    # -- one line per epoch ------------------------------------------------------------------------------------------
    "name: value": ("Epoch 3: loss: 0.31, acc: 0.9", [(3, {"loss": 0.31, "acc": 0.9})]),
    "name = value": ("epoch=3 loss = 3.1e-1; acc=.9", [(3, {"loss": 0.31, "acc": 0.9})]),
    "an arrow": ("iter 7 => loss -> 0.31", [(7, {"loss": 0.31})]),
    "no sign before the number": ("epoch 3 | loss 0.31 | val acc 0.93", [(3, {"loss": 0.31, "val_acc": 0.93})]),
    "leading zeros": ("Epoch: 003, Loss: 0.5, Val: 0.7512, Test: 0.7480", [(3, {"Loss": 0.5, "Val": 0.7512, "Test": 0.748})]),
    "brackets": ("Epoch [2/5], Step [100/600], Loss: 0.31", [(2, {"Loss": 0.31})]),
    "an epoch counts and not the batches in it": ("epoch=1 step=100 loss=0.5\nepoch=2 step=5 loss=0.4", [(1, {"loss": 0.5}), (2, {"loss": 0.4})]),
    "the phase of a line": ("Epoch 0/24\ntrain Loss: 0.58 Acc: 0.70\nval Loss: 0.2 Acc: 0.93", [(0, {"train_Loss": 0.58, "train_Acc": 0.7, "val_Loss": 0.2, "val_Acc": 0.93})]),
    "the phase in brackets": ("[train] loss: 0.5\n[val] loss: 0.6", [(1, {"train_loss": 0.5, "val_loss": 0.6})]),
    "the phase behind a name": ("Epoch:  1, Loss train: 0.5, Loss validation: 0.6", [(1, {"Loss_train": 0.5, "Loss_validation": 0.6})]),
    "the phase in parentheses": ("AUC (val) = 0.9", [(1, {"val_AUC": 0.9})]),
    "names of several words": ("Epoch 2 finished with Validation loss: 0.6", [(2, {"Validation_loss": 0.6})]),
    "an abbreviation": ("-- Epoch 1\nNorm: 1.2, Bias: 0.1, Avg. loss: 0.3", [(1, {"Norm": 1.2, "Bias": 0.1, "Avg_loss": 0.3})]),
    "two losses": ("[Epoch 3/10] [Batch 10/938] [D loss: 0.5] [G loss: 0.4]", [(3, {"D_loss": 0.5, "G_loss": 0.4})]),
    "columns of blanks": ("training loss:\t\t0.5\nvalidation accuracy:\t\t93.10 %", [(1, {"training_loss": 0.5, "validation_accuracy": 93.1})]),
    "a percent is what is printed": ("Accuracy: 93.5%", [(1, {"Accuracy": 93.5})]),
    "the percent beside the name": ("accuracy (%): 93.5", [(1, {"accuracy": 93.5})]),
    "a share is its quotient": ("Test set: Average loss: 0.0492, Accuracy: 9842/10000 (98%)", [(1, {"Test_Average_loss": 0.0492, "Test_Accuracy": 0.9842})]),
    "a sentence": ("The best accuracy is: 0.93.", [(1, {"best_accuracy": 0.93})]),
    "a sentence about data": ("Accuracy of the network on the 10000 test images: 53 %", [(1, {"test_Accuracy": 53.0})]),
    "a sentence about a set": ("Accuracy on training set: 0.99\nAccuracy on test set: 0.93", [(1, {"training_Accuracy": 0.99, "test_Accuracy": 0.93})]),
    "thousands": ("loss: 1,234.5", [(1, {"loss": 1234.5})]),
    "a spread": ("Mean accuracy: 0.93 (+/- 0.02)", [(1, {"Mean_accuracy": 0.93})]),
    "no number": ("loss: nan acc: -inf", [(1, {"loss": math.nan, "acc": -math.inf})]),
    "a tensor": ("loss: tensor(0.3456, device='cuda:0', grad_fn=<NllLossBackward0>)", [(1, {"loss": 0.3456})]),
    "NumPy's numbers": ("{'loss': np.float64(0.5), 'acc': array(0.9)}", [(1, {"loss": 0.5, "acc": 0.9})]),
    "colours": ("\x1b[36mEpoch 2\x1b[0m \x1b[1mloss\x1b[0m: \x1b[32m0.5\x1b[0m", [(2, {"loss": 0.5})]),
    # -- several lines per epoch -------------------------------------------------------------------------------------
    "lines of one step": ("Epoch 3\nTrain Loss:0.5\nValidation Loss:0.6\nTime taken: 1.2s", [(3, {"Train_Loss": 0.5, "Validation_Loss": 0.6})]),
    "lines without a step": ("loss: 0.5\nacc: 0.8\nloss: 0.4\nacc: 0.9", [(1, {"loss": 0.5, "acc": 0.8}), (2, {"loss": 0.4, "acc": 0.9})]),
    "batches of an epoch": ("Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.3\nTrain Epoch: 1 [640/60000 (1%)]\tLoss: 2.1", [(1, {"Train_Loss": 2.3}), (1, {"Train_Loss": 2.1})]),
    "averages in parentheses": ("Epoch: [0][  10/5005]\tTime  0.5 (  0.6)\tLoss 7.01e+00 (7.03e+00)\tAcc@1   0.50 (  0.10)", [(0, {"Loss": 7.01, "Acc@1": 0.5})]),
    "said twice": ("epoch 1 loss: 0.5\nepoch 1 loss: 0.5\nepoch 2 loss: 0.5", [(1, {"loss": 0.5}), (2, {"loss": 0.5})]),
    "a summary in the end": ("Epoch 9 loss: 0.5\nBest loss: 0.3 at epoch 7", [(9, {"loss": 0.5, "Best_loss": 0.3})]),
    # -- loggers -----------------------------------------------------------------------------------------------------
    "logging's times and levels": ("2024-01-02 10:11:12,345 INFO epoch 3 loss 0.3", [(3, {"loss": 0.3})]),
    "Hydra's logging": ("[2024-01-02 10:11:12,345][__main__][INFO] - [4] loss: 0.3", [(1, {"loss": 0.3})]),
    "loguru": ("2024-01-02 10:11:12.345 | INFO     | __main__:train:42 - loss: 0.1", [(1, {"loss": 0.1})]),
    "logging's default": ("INFO:root:Validation loss=0.2", [(1, {"Validation_loss": 0.2})]),
    "glog": ("I0102 10:11:12.345 1234 trainer.cc:42] loss: 0.3", [(1, {"loss": 0.3})]),
    # -- libraries ---------------------------------------------------------------------------------------------------
    "Keras": ("Epoch 1/3\n32/32 - 1s - 9ms/step - accuracy: 0.8 - loss: 0.5 - val_loss: 0.61", [(1, {"accuracy": 0.8, "loss": 0.5, "val_loss": 0.61})]),
    "Keras' bar": ("Epoch 1/2\n\r\x1b[1m1/2\x1b[0m \x1b[37m━━━━\x1b[0m \x1b[1m0s\x1b[0m 9ms/step - loss: 0.7\x08\x08\x08\r\x1b[1m2/2\x1b[0m \x1b[32m━━━━\x1b[0m \x1b[1m1s\x1b[0m 9ms/step - loss: 0.5 - val_loss: 0.6\n", [(1, {"loss": 0.5, "val_loss": 0.6})]),
    "Keras' checkpoints": ("Epoch 2: val_loss improved from 0.7 to 0.6, saving model to m.keras\nEpoch 3: val_loss did not improve from 0.6", []),
    "LightGBM": ("[10]\tvalid_0's l2: 0.31\tvalid_0's auc: 0.9", [(10, {"l2": 0.31, "auc": 0.9})]),
    "LightGBM, several sets": ("[10]\ttraining's l2: 0.2\tvalid_1's l2: 0.31", [(10, {"training_l2": 0.2, "l2": 0.31})]),
    "LightGBM's program": ("[LightGBM] [Info] Iteration:5, valid_1 l2 : 0.24", [(5, {"valid_1_l2": 0.24})]),
    "XGBoost": ("[0]\ttrain-rmse:0.52\tvalidation-rmse:0.61\n[1]\ttrain-rmse:0.42\tvalidation-rmse:0.5", [(0, {"train-rmse": 0.52, "validation-rmse": 0.61}), (1, {"train-rmse": 0.42, "validation-rmse": 0.5})]),
    "XGBoost's folds": ("[3]\ttrain-rmse:0.5+0.01\ttest-rmse:0.6+0.02", [(3, {"train-rmse": 0.5, "test-rmse": 0.6})]),
    "CatBoost": ("10:\tlearn: 0.5\ttest: 0.6\tbest: 0.55 (7)\ttotal: 12ms\tremaining: 1.2s", [(10, {"learn": 0.5, "test": 0.6, "best": 0.55})]),
    "fastai": ("epoch     train_loss  valid_loss  accuracy  time    \n0         0.5         0.4         0.9       00:12     \n1         0.4         0.3         0.91      00:12", [(0, {"train_loss": 0.5, "valid_loss": 0.4, "accuracy": 0.9}), (1, {"train_loss": 0.4, "valid_loss": 0.3, "accuracy": 0.91})]),
    "skorch": ("  epoch    train_loss    valid_acc     dur\n-------  ------------  -----------  ------\n      1        \x1b[36m0.6867\x1b[0m       0.5500  0.0240", [(1, {"train_loss": 0.6867, "valid_acc": 0.55, "dur": 0.024})]),
    "spaCy": ("E    #       LOSS TEXTCAT  CATS_SCORE  SCORE \n---  ------  ------------  ----------  ------\n  0       0          0.25       35.48    0.35\n  0     200          1.15       76.44    0.76\n\u2714 Saved pipeline to output directory", [(0, {"LOSS_TEXTCAT": 0.25, "CATS_SCORE": 35.48, "SCORE": 0.35}), (200, {"LOSS_TEXTCAT": 1.15, "CATS_SCORE": 76.44, "SCORE": 0.76})]),
    "a rule, and a column without a name": ("      epoch    val loss\n--  -------  ----------\n 0        1        0.5\n 1        2        0.4", [(1, {"val_loss": 0.5}), (2, {"val_loss": 0.4})]),
    "a rule, and cells without numbers": ("  epoch    loss    acc\n-------  ------  -----\n      1     0.5\n      2             0.8", [(1, {"loss": 0.5}), (2, {"acc": 0.8})]),
    "Markdown": ("| Epoch | train loss | val_acc |\n|------:|:----------:|--------:|\n| 1 | 0.5 | **91.2%** |\n| 2 |  | 92 |", [(1, {"train_loss": 0.5, "val_acc": 91.2}), (2, {"val_acc": 92.0})]),
    "Markdown without bars around it": ("loss | epoch\n--- | ---\n0.5 | 1\n0.4 | 2", [(1, {"loss": 0.5}), (2, {"loss": 0.4})]),
    "prettytable": ("+-------+------+\n| epoch | loss |\n+-------+------+\n|   1   | 0.5  |\n|   2   | 0.4  |\n+-------+------+", [(1, {"loss": 0.5}), (2, {"loss": 0.4})]),
    "Rich's rows": ("┏━━━━━━━┳━━━━━━┓\n┃ epoch ┃ loss ┃\n┡━━━━━━━╇━━━━━━┩\n│ 1     │ 0.5  │\n└───────┴──────┘", [(1, {"loss": 0.5})]),
    "Markdown of names and values": ("| metric | value |\n|---|---|\n| val_loss | 0.31 |\n| test acc | 0.9 |", [(1, {"val_loss": 0.31, "test_acc": 0.9})]),
    "a table of results": ("loss    acc\n------  -----\n0.5     0.9", [(1, {"loss": 0.5, "acc": 0.9})]),
    "numbers after a table": ("loss    acc\n------  -----\n0.5     0.9\ndone\n1     2", [(1, {"loss": 0.5, "acc": 0.9})]),
    "a table of models": ("| model | acc |\n|---|---|\n| base | 0.9 |\n| ours | 0.91 |", [(1, {"base": 0.9, "ours": 0.91})]),
    "scikit-learn's boosting": ("      Iter       Train Loss   Remaining Time \n         1           1.2045            0.50s", [(1, {"Train_Loss": 1.2045})]),
    "scikit-learn's networks": ("Iteration 1, loss = 0.69\nIteration 2, loss = 0.5", [(1, {"loss": 0.69}), (2, {"loss": 0.5})]),
    "scikit-learn's report": ("    accuracy                           0.93       150\n   macro avg       0.93      0.92      0.93       150", [(1, {"accuracy": 0.93})]),
    "scikit-learn's search": ("[CV 1/5] END .................C=1, gamma=0.1;, score=0.93 total time=   0.0s", [(1, {"gamma": 0.1, "score": 0.93})]),
    "Hugging Face": ("{'loss': 0.5, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 1.5}", [(1.5, {"loss": 0.5, "grad_norm": 1.2, "learning_rate": 5e-05})]),
    "Hugging Face, numbers in quotes": ("{'eval_loss': '0.3', 'epoch': '1'}", [(1, {"eval_loss": 0.3})]),
    "Hugging Face's tables": ("***** eval metrics *****\n  epoch                   =        3.0\n  eval_loss               =     0.3\n  eval_runtime            = 0:00:01.23", [(3, {"eval_loss": 0.3})]),
    "Lightning's bar": (f"Epoch 4:   0%|   | 0/44 [00:00<?]\rEpoch 4: 100%{BAR} 44/44 [00:01<00:00, 30.1it/s, v_num=0, loss=0.5]", [(4, {"v_num": 0.0, "loss": 0.5})]),
    "Lightning's table": ("        test_loss           0.34", [(1, {"test_loss": 0.34})]),
    "Rich's table": ("│         test_acc          │    0.7    │", [(1, {"test_acc": 0.7})]),
    "Lightning's checkpoints": ("Epoch 0, global step 10: 'val_loss' reached 0.5 (best 0.5), saving model to 'x.ckpt' as top 1", []),
    "fairseq": ("2024-01-02 10:11:12 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 3.2 | ppl 9.2 | wps 1234.5", [(1, {"valid_loss": 3.2, "valid_ppl": 9.2})]),
    "mmengine": ("2024/01/02 10:11:12 - mmengine - INFO - Epoch(train)  [1][10/100]  lr: 1.0e-3  eta: 0:01:02  loss: 0.5", [(1, {"lr": 0.001, "loss": 0.5})]),
    "detectron2": ("[01/02 10:11:12 d2.utils.events]:  eta: 0:00:10  iter: 19  total_loss: 1.2  lr: 0.001  max_mem: 123M", [(19, {"total_loss": 1.2, "lr": 0.001})]),
    "timm": ("Train: 3 [  10/100 ( 10%)]  Loss: 6.95 (6.95)  Time: 1.2s,  100/s", [(1, {"Train_Loss": 6.95})]),
    "Megatron": (" iteration       10/     100 | learning rate: 1.0E-04 | lm loss: 9.1E+00 |", [(10, {"learning_rate": 1e-4, "lm_loss": 9.1})]),
    "nanoGPT": ("step 250: train loss 1.9584, val loss 2.0826\niter 260: loss 2.01, time 30.5ms, mfu 1.2%", [(250, {"train_loss": 1.9584, "val_loss": 2.0826}), (260, {"loss": 2.01})]),
    "stable-baselines3": ("| rollout/           |          |\n|    ep_rew_mean     | 21.2     |\n|    ep_rew_mean     | 22.2     |", [(1, {"ep_rew_mean": 21.2}), (2, {"ep_rew_mean": 22.2})]),
    "episodes": ("Episode 10\tLast reward: 200.00\tAverage reward: 35.2", [(10, {"Last_reward": 200.0, "Average_reward": 35.2})]),
    "a GAN's games": ("[3/25][0/1583] Loss_D: 1.7 Loss_G: 5.1 D(x): 0.5 D(G(z)): 0.6 / 0.01", [(3, {"Loss_D": 1.7, "Loss_G": 5.1})]),
    "tqdm over batches: the last state": (f" 50%{BAR} 1/2 [00:01<00:01, 1.0it/s, loss=0.5]\r100%{BAR} 2/2 [00:02<00:00, 1.0it/s, loss=0.4]\n", [(1, {"loss": 0.4})]),
    "tqdm over epochs: each epoch": (f"Epochs:   0%{BAR} 0/2 [00:00<?, ?it/s]\rEpochs:   0%{BAR} 0/2 [00:01<?, ?it/s, loss=0.5]\rEpochs:  50%{BAR} 1/2 [00:01<00:01, 1.0it/s, loss=0.5]\rEpochs: 100%{BAR} 2/2 [00:02<00:00, 1.0it/s, loss=0.4]\n", [(1, {"loss": 0.5}), (2, {"loss": 0.4})]),
    "tqdm's unit": (f" 50%{BAR} 1/2 [00:01<00:01, 1.0s/epoch, loss=0.5]\r100%{BAR} 2/2 [00:02<00:00, 1.0epoch/s, loss=0.4]", [(1, {"loss": 0.5}), (2, {"loss": 0.4})]),
    # -- not metrics -------------------------------------------------------------------------------------------------
    "times, dates, versions": ("eta: 0:01:02 time=2026-11-27 took: 3s torch: 2.1.0 python=3.11.4", []),
    "places": ("http://a:80/ localhost:8080 using device: cuda:0 train.py:42: UserWarning: bad /a/b.py:12", []),
    "hashes and shapes": ("commit: 4e10abc sha=3e8f x.shape: 64 x 10 size: 1,2 batch: 10/100 torch.Size([64, 10])", []),
    "settings in a call": ("Namespace(batch_size=64, epochs=14, lr=1.0, seed=1)\nLinear(in_features=10, out_features=2, bias=True)", []),
    "how many there will be": ("Total optimization steps = 300\nNum Epochs = 3\nTraining for 10 epochs", [(1, {"Total_optimization_steps": 300.0, "Num_Epochs": 3.0})]),
    "W&B's summary": ("wandb: val_loss 0.3\nwandb: 🚀 View run at https://wandb.ai/x", []),
    "COCO's areas": (" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.503", []),
    "numbers without names": ("0.5 0.4\n[0.1, 0.2]\npage 3 of 10, took 3.5 minutes", []),
    "two numbers at once": ("loss: 0.3/0.4", []),
}  # fmt: skip


@pytest.mark.parametrize("manner", MANNERS)
def test_what_is_read_of_what_scripts_print(manner: str) -> None:
    text, expected = MANNERS[manner]
    assert repr(read(text)) == repr(expected)


@pytest.mark.parametrize(
    ("text", "named", "expected"),
    [
        ("Epoch 1 Val Loss: 0.3", "val_loss", [(1, {"val_loss": 0.3})]),
        ("Epoch 1 Val Loss: 0.3", "val/loss", [(1, {"val/loss": 0.3})]),
        ("Test set: Average loss: 0.05, Accuracy: 9842/10000 (98%)", "accuracy", [(1, {"Test_Average_loss": 0.05, "accuracy": 0.9842})]),
        ("Train loss: 0.5 | Val loss: 0.6 | Best loss: 0.4", "loss", [(1, {"Train_loss": 0.5, "Best_loss": 0.4, "loss": 0.6})]),
        ("Train loss: 0.5", "loss", [(1, {"Train_loss": 0.5})]),
        ("Validation Average loss: 0.5", "validation_loss", [(1, {"validation_loss": 0.5})]),
        ("Training Results - Epoch: 2 Avg loss: 0.1\nValidation Results - Epoch: 2 Avg accuracy: 0.9 Avg loss: 0.7", "avg_loss", [(2, {"Training_Avg_loss": 0.1, "Validation_Avg_accuracy": 0.9, "avg_loss": 0.7})]),
        ("Training Results - Epoch: 2 Avg loss: 0.1\nValidation Results - Epoch: 2 Avg loss: 0.7", "validation_loss", [(2, {"Training_Avg_loss": 0.1, "validation_loss": 0.7})]),
        ("Reconstruction loss: 0.5 loss: 0.7", "loss", [(1, {"Reconstruction_loss": 0.5, "loss": 0.7})]),
        ("widgets 12", "widgets", [(1, {"widgets": 12.0})]),
        ("[3]\tvalid_0's l2: 0.1\tvalid_1's l2: 0.2", "valid_1_l2", [(3, {"l2": 0.1, "valid_1_l2": 0.2})]),
        ("Result(loss=0.5, size=3)", "loss", [(1, {"loss": 0.5})]),
        ("epoch=3 loss=1", "epoch", [(1, {"loss": 1.0, "epoch": 3.0})]),
    ],
)  # fmt: skip
def test_a_metric_is_found_as_the_study_names_it(text: str, named: str, expected: list[tuple[float, Any]]) -> None:
    assert read(text, named) == expected


def test_settings_before_the_first_metric_of_the_study_count_no_steps() -> None:
    text = "lr: 0.01\nbatch_size: 64\nEpoch 0: loss=0.4\nEpoch 1: loss=0.3"
    assert read(text, "loss") == [(0, {"lr": 0.01, "batch_size": 64.0, "loss": 0.4}), (1, {"loss": 0.3})]
    assert read("lr: 0.01\nloss: 0.5\nlr: 0.001\nloss: 0.4", "loss") == [
        (1, {"lr": 0.01, "loss": 0.5}),
        (1, {"lr": 0.001}),
        (2, {"loss": 0.4}),
    ]
    assert read("lr: 0.01\nacc: 0.5", "loss") == [(1, {"lr": 0.01, "acc": 0.5})]  # so that a message can name them


# -- patterns ----------------------------------------------------------------------------------------------------------

PATTERN = r"epoch (?P<step>\d+).*val_loss[:=] ?(?P<val_loss>\S+)"


def matched(text: str, *patterns: str, named: str = "val_loss") -> list[tuple[float, dict[str, float]]]:
    pytest.importorskip("re2")
    source = Printed(trial(named), pattern=patterns)
    return [(row.step, dict(row.values)) for row in source.parse(text.encode())]


def test_a_pattern_says_what_is_read_and_nothing_else_is() -> None:
    text = "loss=1\nepoch 3 (x) val_loss=0.31, other=2\nepoch 4 val_loss: 12.5%\nepoch 5 val_loss: soon"
    assert matched(text, PATTERN) == [(3, {"val_loss": 0.31}), (4, {"val_loss": 12.5})]
    assert matched("E7\nV 0.5\nV 1,234.5", r"E(?P<step>\d+)", r"V (?P<val_loss>.*)") == [
        (7, {"val_loss": 0.5}),
        (7, {"val_loss": 1234.5}),
    ]
    assert matched("V 1", r"V (?P<val_loss>.)", named="val/loss") == [(1, {"val/loss": 1.0})]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("(?P<val_loss>a",), "results.pattern: is not a regular expression: missing ), unterminated subpattern (at character 1"),
        (("a*", "x(?P<val_loss>**)"), "results.pattern[0]: has no named group: write (?P<loss>"),
        ((r"(?P<step>\d)",), "has no group for a metric, only for the step"),
        ((r"(?P<loss>\S+)",), 'has groups for loss, and none for "val_loss" of this study'),
        ((r"(?=a)(?P<val_loss>.)",), "cannot be matched in linear time (invalid perl operator: (?=): RE2 has no look-around"),
        ((r"(?P<val_loss>.)\1",), "cannot be matched in linear time (invalid escape sequence: \\1)"),
        ((r"(?P<val_loss>.){9999}" * 2,), "results.pattern: "),
        (("(?P<val_loss>.)" * 200,), "is too long (3000 characters, at most 2000)"),
        (("(?P<val_loss>.)",) * 21, "has 21 patterns, at most 20"),
    ],
)  # fmt: skip
def test_a_wrong_pattern_is_one_clear_line(patterns: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpecError) as error:
        matched("", *patterns)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_without_its_library_a_pattern_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(SpecError, match=r"pip install 'hpo-engine\[patterns\]'"):
        Printed(trial(), pattern=(PATTERN,))


@pytest.mark.parametrize(
    "pattern", ["(?P<val_loss>(a+)+)$", "(?P<val_loss>(a|aa)+)$", "(.*)(.*)(.*)(.*)(?P<val_loss>x)"]
)
def test_catastrophic_patterns_do_not_hang(pattern: str) -> None:
    started = time.process_time()
    matched(("a" * 4000 + "!\n") * 20, pattern)
    assert time.process_time() - started < 60  # milliseconds; with Python's own matcher, years


def test_a_long_progress_bar_is_read_while_it_is_drawn(tmp_path: Path) -> None:
    trial = TrialFiles(StudyPaths(str(tmp_path)).trial(0))
    os.makedirs(trial.paths.attempt(1))
    source = Printed(trial)
    state = "Epochs: {:3d}%|#    | {}/1000 [00:01<00:01, 1.0it/s, loss={}]" + " " * 500
    with open(f"{trial.paths.attempt(1)}/output.log", "w") as log:
        for done in range(1, 1001):
            log.write("\r" + state.format(done // 10, done, 1 / done))
            if done % 250 == 0:
                log.flush()
                while source.look():
                    time.sleep(0.03)
                assert len(source.rows) >= done - 1
        log.write("\n")
    expected = [(done, {"loss": 1 / done}) for done in range(1, 1001)]
    while source.look():
        time.sleep(0.03)
    assert [(row.step, dict(row.values)) for row in source.rows] == expected
    assert [(row.step, dict(row.values)) for row in source.final(cut=False).rows] == expected


@pytest.mark.parametrize(
    "line", ["x=1 " * 5000, "a" * 100_000, "=" * 100_000, "1:" * 50_000, "\x1b[" * 20_000, "\r" * 99_999]
)
def test_odd_lines_take_no_time(line: str) -> None:
    rows(Printed(trial()), line)


def output(tmp_path: Path, limit: int) -> tuple[TrialFiles, Capture]:
    """A trial, and what keeps its output."""
    files = TrialFiles(StudyPaths(str(tmp_path)).trial(0), named=frozenset(["loss"]))
    folder = files.paths.attempt(1)
    os.makedirs(folder)
    os.makedirs(files.paths.result_dir)
    return files, Capture(f"{folder}/{NAME}", [f"{folder}/{name}" for name in TAILS], limit)


def settled(source: Printed) -> list[float]:
    """The steps of its rows when there is nothing new."""
    deadline = time.monotonic() + 0.1
    while time.monotonic() < deadline:
        if source.look():
            deadline = time.monotonic() + 0.1
    return [row.step for row in source.rows]


def test_rows_come_while_the_script_runs_when_half_of_the_log_is_full(tmp_path: Path) -> None:
    files, capture = output(tmp_path, 8000)
    source = Printed(files)
    for epoch in range(1, 301):
        capture.write(f"epoch={epoch} loss=0.{epoch} {'.' * 50}\n".encode())
        if epoch % 20 == 0:  # 1.3 KB, and there are 2 KB before anything is dropped
            assert settled(source) == [*range(1, epoch + 1)]
    capture.finish()
    assert settled(source) == [*range(1, 301)], "nothing comes twice"


def test_a_line_of_which_the_logs_limit_dropped_a_part_is_not_read(tmp_path: Path) -> None:
    files, capture = output(tmp_path, 8000)
    source = Printed(files)
    for epoch in range(1, 1001):
        capture.write(f"epoch={epoch} loss=7{epoch:04}\n".encode())
        if epoch % 300 == 0:
            settled(source)
    settled(source)
    capture.finish()
    reading = Printed(files).final(cut=False)
    assert len(reading.rows) < 600
    for row in [*source.rows, *reading.rows]:
        assert row.values == {"loss": 70000 + row.step}
    assert source.rows[-1].step == reading.rows[-1].step == 1000
