"""Studies that stop, resumable, when every trial pays for the same mistake; and those that must not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.assembly import stopper
from hpo_engine.core.loop import Engine
from hpo_engine.core.ports import Searcher
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.space.searchspace import Choice, SearchSpace
from hpo_engine.stoppers import AlikeStopper, MisnamedStopper
from hpo_engine.stoppers.alike import _listed
from hpo_engine.stoppers.spelling import other_spelling
from hpo_engine.study.events import TrialReopened, fold
from hpo_engine.study.history import StudyState
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import ALIKE, MISNAMED, RANK, Budget, Named, Resources, TrialPolicy
from hpo_engine.study.trial import Exit, StopCause
from tests.support.fakes import MemoryStore
from tests.support.loop_bench import Bench, states


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def led(bench: Bench, *events: Any, **changes: Any) -> Engine:
    """The study with the rules that it asks for."""
    if changes or not bench.store.rows:
        bench.stopper = stopper(bench.open(**{"budget": Budget(60), **changes}).history.spec)
    return bench.lead(*events)


def says(*lines: str | None) -> Any:
    """Trial i fails, and this is the last line of its output; None: it succeeds. The last of them is everybody's."""

    def behave(launch: BoundLaunch) -> Exit:
        line = lines[min(launch.trial_id, len(lines) - 1)]
        if line is None:
            Path(launch.paths.result_file).write_text('[{"loss": 1}]')
            return Exit(code=0)
        folder = Path(launch.paths.attempt(launch.attempt))
        folder.mkdir(parents=True, exist_ok=True)
        Path(folder, "output.log").write_text(line + "\n")
        return Exit(code=1)

    return behave


def test_first_trials_that_fail_alike_stop_the_study_and_it_can_go_on(bench: Bench) -> None:
    bench.behave = says("ModuleNotFoundError: No module named 'nosuchmodule'")
    history = bench.run(led(bench, resources=Resources(1)))
    assert states(history) == ["failed"] * 3
    assert (history.state, history.halted) == (StudyState.STOPPED, "failures")
    assert history.reason.startswith("trials 0 to 2 failed alike, and none has succeeded: exit code 1; ")
    assert history.reason.endswith("ModuleNotFoundError: No module named 'nosuchmodule'")
    again = bench.run(bench.lead())
    assert again.halted == "failures" and again.next_id == 6, "counted anew"
    bench.behave = bench.good
    failed = [t.id for t in again.trials if t.state.value == "failed"]
    done = bench.run(bench.lead(*(TrialReopened(bench.now, i) for i in failed)))
    assert done.state is StudyState.FINISHED and states(done) == ["completed"] * 60 and done.halted == ""


def test_running_trials_are_stopped_and_run_again(bench: Bench) -> None:
    bench.behave = lambda launch: Exit(code=3) if launch.trial_id < 3 else None
    history = bench.run(led(bench, resources=Resources(8)))
    assert states(history) == ["failed"] * 3 + ["pending"] * (history.next_id - 3)
    assert history.next_id <= 10 and {why for _, why, _ in bench.executor.stops} == {"interrupt"}


@pytest.mark.parametrize("parallel", [1, 2, 8])
def test_at_most_first_and_parallel_less_one_run(bench: Bench, parallel: int) -> None:
    bench.behave = lambda launch: Exit(code=1)
    history = bench.run(led(bench, resources=Resources(parallel), stop=(Named(MISNAMED), Named(ALIKE, {"first": 5}))))
    assert history.halted and len(history.trials) <= 5 + parallel - 1


@pytest.mark.parametrize(
    ("lines", "halts"),
    [
        (["Error in trial {}: no file /data/{}/x.csv at 0x7f{:04d}a0 after {}.5 s"], True),
        (["CUDA out of memory. Tried to allocate {}.00 MiB (GPU 0; pid {})"], True),
        (["KeyError: 'lr'"], True),
        (["KeyError: 'lr'", "KeyError: 'momentum'", "KeyError: 'decay'", "TypeError: x", None], False),
        ([None, "RuntimeError: CUDA out of memory"], True),  # ten in a row, later
        (["A", None, "A", "A", "A", None], False),
        (["A", "B", "A", "B", "A", "B", "A", "B", "A", "B", "A", "B", "A", "B", None], False),
    ],
)
def test_alike_is_the_same_cause_whatever_the_numbers(bench: Bench, lines: Sequence[str | None], halts: bool) -> None:
    def behave(launch: BoundLaunch) -> Exit:
        i = launch.trial_id
        line = lines[min(i, len(lines) - 1)]
        exit_: Exit = says(None if line is None else line.format(i, i * 7, i, i))(launch)
        return exit_

    bench.behave = behave
    history = bench.run(led(bench, budget=Budget(20), resources=Resources(1)))
    assert bool(history.halted) is halts
    if lines[0] is None:
        assert history.next_id == 11 and ", 10 in a row: exit code 1" in history.reason
    elif halts:
        assert history.next_id == 3


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([4], "4"), ([0, 1], "0 and 1"), ([0, 1, 2], "0 to 2"), ([0, 1, 3, 4, 5, 9], "0, 1, 3 to 5 and 9")],
)
def test_trials_are_listed_in_words(numbers: list[int], text: str) -> None:
    assert _listed(numbers) == text


def test_values_of_parameters_are_no_cause_of_their_own(bench: Bench) -> None:
    choices = ("adam", "sgd", "rms prop")

    class Turns(Searcher):
        def ask(self, history: Any, count: int) -> Any:
            from hpo_engine.study.trial import Proposal

            return [Proposal({"o": choices[i % 3]}) for i in range(history.next_id, history.next_id + count)]

    bench.searcher = Turns()
    bench.behave = lambda launch: says(f"ValueError: no optimizer {choices[launch.trial_id % 3]} here")(launch)
    history = bench.run(led(bench, space=SearchSpace((Choice("o", choices),)), resources=Resources(1)))
    assert history.halted and history.next_id == 3


def test_nothing_stops_where_it_is_off_or_nothing_is_left(bench: Bench) -> None:
    bench.behave = lambda launch: Exit(code=1)
    history = bench.run(led(bench, budget=Budget(12), stop=()))
    assert history.state is StudyState.FAILED and history.next_id == 12 and not history.halted


def test_three_trials_in_all_end_as_they_did(bench: Bench) -> None:
    bench.behave = lambda launch: Exit(code=1)
    history = bench.run(led(bench, budget=Budget(3), resources=Resources(1)))
    assert history.state is StudyState.FAILED and "no trial gave a valid value" in history.reason


def test_time_limits_count_and_what_the_user_stopped_does_not(bench: Bench) -> None:
    bench.behave = lambda launch: Exit(
        signal=15, stop_cause=StopCause.USER if launch.trial_id < 5 else StopCause.TIME_LIMIT
    )
    history = bench.run(led(bench, resources=Resources(1), trial=TrialPolicy(time_limit_s=5)))
    assert states(history) == ["stopped"] * 5 + ["timed_out"] * 3
    assert history.reason.endswith("over its time limit of 5 s")


def test_values_that_are_not_finite_count_only_in_a_row(bench: Bench) -> None:
    bench.behave = lambda launch: (bench.write(launch, [{"loss": math.nan}]), Exit(code=0))[1]
    history = bench.run(led(bench, resources=Resources(1)))
    assert history.halted and history.next_id == 10
    assert '"loss" is not finite in the only row' in history.reason


def test_a_search_that_had_a_success_is_not_stopped_by_its_first_failures_after_a_pause(bench: Bench) -> None:
    bench.behave = lambda launch: bench.good(launch) if launch.trial_id < 4 else Exit(code=1)
    engine = led(bench, resources=Resources(1), budget=Budget(9))
    while engine.history.next_id < 5:
        bench.now += 1
        engine.step(bench.now)
    engine.interrupt("Ctrl-C", bench.now)
    bench.run(engine)
    assert bench.run(bench.lead()).state is StudyState.FINISHED


def test_killed_and_resumed_it_stops_where_it_would_have(bench: Bench) -> None:
    """The rule counts on after a kill, and a fresh one says what one says that has seen all."""
    bench.behave = lambda launch: Exit(code=1)
    engine = led(bench, resources=Resources(1))
    seen = stopper(engine.history.spec)
    while engine.history.ended_count < 2:
        bench.now += 1
        engine.step(bench.now)
        assert seen.halt(engine.history, bench.now) == stopper(engine.history.spec).halt(engine.history, bench.now)
    killed = bench.run(bench.lead())
    assert killed.halted and killed.ended_count == 3
    assert stopper(killed.spec).halt(killed, bench.now) == seen.halt(killed, bench.now)
    assert fold(bench.store.read()).halted == "failures"


# -- names of metrics --------------------------------------------------------------------------------------------------

SAME = [
    ("valid_loss", "val_loss"), ("validation_loss", "val_loss"), ("val-loss", "val_loss"), ("val/loss", "val_loss"),
    ("valLoss", "val_loss"), ("valloss", "val_loss"), ("Val_Loss", "val_loss"), ("val loss", "val_loss"),
    ("val_los", "val_loss"), ("val_lsos", "val_loss"), ("vall_loss", "val_loss"), ("val.loss", "val_loss"),
    ("validaton_loss", "val_loss"), ("accuracy", "acc"), ("val_acc", "val_accuracy"), ("acuracy", "accuracy"),
    ("acurracy", "accuracy"), ("loss", "Loss"), ("LOSS", "loss"), ("los", "loss"), ("avg_loss", "average_loss"),
    ("precison", "precision"), ("test_error", "test_err"), ("rewrad", "reward"), ("trian_loss", "train_loss"),
    ("val_accuracy", "val_acc"), ("test_acc_avg ", "test_acc_avg"), ("val_acuracy", "val_accuracy"), ("MAE", "mae"),
    ("val:loss", "val_loss"), ("validation/Accuracy", "val_acc"), ("top1_acc", "top_1_accuracy"), ("mIoU", "miou"),
    ("recal", "recall"), ("val_perpelxity", "val_ppl"), ("wasserstien", "wasserstein"), ("train_eror", "training_err"),
]  # fmt: skip
OTHER = [
    ("val_loss", "train_loss"), ("loss", "train_loss"), ("val_loss", "loss"), ("test_acc", "val_acc"),
    ("val_loss", "val_acc"), ("mae", "mse"), ("rmse", "rmsle"), ("loss1", "loss2"), ("top1", "top5"), ("f1", "f2"),
    ("val_loss_epoch", "val_loss_step"), ("best_val_loss", "val_loss"), ("final_loss", "loss"), ("min_loss", "max_loss"),
    ("f1_micro", "f1_macro"), ("best_loss", "test_loss"), ("text_loss", "test_loss"), ("vel_loss", "val_loss"),
    ("encoder_loss", "decoder_loss"), ("loss_a", "loss_b"), ("real_loss", "fake_loss"), ("loss", "cost"),
    ("auc", "acc"), ("map", "mae"), ("損失", "正解率"), ("+", "-"), ("train_loss", "val_loss"), ("lr", "lrs"),
    ("height_mae", "weight_mae"), ("content_loss", "context_loss"), ("val_acc", "eval_acc"), ("loss_i", "loss_ii"),
    ("u_x", "u_xx"), ("mean_reward", "average_reward"), ("e", "E"), ("err", "|err|"), ("score", "scores"),
    ("train_loss", "train_losses"), ("acc_a", "acc_b"), ("loss_G", "loss_g"), ("psnr", "psnr_y"), ("iou", "miou"),
    ("mAP", "map50"), ("r2", "r"), ("r2", "R2"), ("auc", "auc_pr"), ("kl", "kld"), ("strain_loss", "train_loss"),
    ("county_mae", "country_mae"), ("tran_loss", "train_loss"), ("u_xx", "ux_x"), ("uxxy", "uxyy"), ("uxxx", "uxxxx"),
    ("u_x", "ux"), ("-loss", "loss"), ("lag_-1", "lag_1"), ("acc - loss", "acc_loss"), ("acc@1", "acc_1"),
    ("loss^2", "loss_2"), ("eval_loss", "val_loss"), ("avg_loss", "mean_loss"), ("reward", "rewards"), ("x_", "x"),
    ("errors", "error"), ("val_losses", "val_loss"), ("ac", "acc"), ("causal_loss", "casual_loss"), ("ΔE", "δe"),
    ("retrain_loss", "train_loss"), ("loss*", "loss"), ("loss'", "loss"), ("mse%", "mse"), ("q0.5", "q05"),
    ("precision_micro", "precision_macro"), ("inter_dist", "intra_dist"), ("forward_kl", "backward_kl"),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "name"), SAME)
def test_another_spelling_is_seen(metric: str, name: str) -> None:
    assert other_spelling(metric, ["lr", "train_time", name]) == name


@pytest.mark.parametrize(("metric", "name"), OTHER)
def test_another_metric_is_no_other_spelling(metric: str, name: str) -> None:
    assert other_spelling(metric, [name]) is None


def halted(rows: Sequence[dict[str, float]], bench: Bench, **changes: Any) -> Any:
    """What the first trial's rows, reported while it runs, do to the study."""
    bench.behave = lambda launch: bench.write(launch, rows)
    engine = led(bench, resources=Resources(2), **changes)
    for _ in range(3):
        bench.now += 1
        if not engine.step(bench.now):
            break
    return engine.history


def test_a_misspelt_objective_is_told_at_the_first_row_and_nothing_trains_on(bench: Bench) -> None:
    history = halted([{"step": 1, "train_loss": 2, "val_loss": 1}], bench, objectives=(Objective("valid_loss"),))
    assert history.reason == 'trial 0: no "valid_loss" in its rows; it has "val_loss", "train_loss"'
    assert (history.state, history.halted) == (StudyState.STOPPED, "objective")
    assert states(history) == ["pending"] * 2 and not bench.executor.running
    engine = bench.lead()  # the user insists
    for _ in range(5):
        bench.now += 1
        assert engine.step(bench.now)
    assert states(engine.history) == ["running"] * 2


EPOCHS = [{"step": 1, "train_loss": 2.0}, {"step": 1, "val_loss": 1.0}]


@pytest.mark.parametrize(
    ("metric", "rows"),
    [
        ("val_loss", [{"step": i, "train_loss": 1.0} for i in range(50)]),  # a row a step, validation after the epoch
        ("val_loss", [{"step": i, "loss": 1.0, "accuracy": 0.5} for i in range(50)]),  # Keras, validation_freq=100
        ("val_loss_epoch", [{"step": i, "val_loss_step": 1.0} for i in range(9)]),
        ("loss", [{"step": i, "train_loss": 1.0, "train_accuracy": 0.1} for i in range(9)]),  # emetrics: train first
        ("test_accuracy", [{"step": i, "val_accuracy": 0.5, "val_loss": 1.0} for i in range(20)]),  # told at the end
        ("f1", [{"step": i, "val_loss": 1.0, "val_acc": 0.5} for i in range(4)]),  # every fifth epoch
        ("best_val_loss", [{"step": i, "val_loss": 1.0} for i in range(20)]),
        ("val_acc", [{"step": 1, "val_loss": 1.0}]),  # two reports a step
        ("valid_loss", [{"step": i, "train_loss": 1.0} for i in range(20)]),
        ("val_loss", EPOCHS),
        ("size", [{"step": i, "error": 1.0} for i in range(20)]),
    ],
)
def test_rows_that_lack_the_objective_yet_stop_nothing(bench: Bench, metric: str, rows: Any) -> None:
    history = halted(rows, bench, objectives=(Objective(metric),))
    assert not history.halted and states(history) == ["running"] * 2


def test_both_spellings_named_by_the_user_are_two_metrics(bench: Bench) -> None:
    rows = [{"eval_loss": 1.0}]
    aims = (Objective("val_loss"), Objective("eval_loss", over="last"))
    for changes in ({"objectives": aims}, {"objectives": aims[:1], "extra_metrics": {"eval_loss": "latest"}}):
        bench.store = MemoryStore()
        assert not halted(rows, bench, **changes).halted


def test_one_of_several_objectives_may_be_misspelt(bench: Bench) -> None:
    aims = (Objective("val_loss", over="last"), Objective("val_accuracy", "maximize", "last"))
    history = halted([{"val_loss": 1.0, "val_acc": 0.5}], bench, objectives=aims)
    assert 'no "val_accuracy" in its rows; it has "val_acc"' in history.reason


def test_rows_at_the_end_tell_it_as_well(bench: Bench) -> None:
    bench.behave = lambda launch: (bench.write(launch, [{"val_loss": 1}]), Exit(code=0))[1]
    history = bench.run(led(bench, objectives=(Objective("valid_loss"),), resources=Resources(1)))
    assert history.halted == "objective" and states(history) == ["failed"]


@pytest.mark.parametrize(
    ("metric", "row", "halts"),
    [
        ("loss", {"val_loss": 1, "lr": 0.1}, "val_loss"),
        ("accuracy", {"val_loss": 1, "val_acc": 0.5}, "val_acc"),
        ("val_f1", {"loss": 1, "eval_acc": 2, "f1": 0.5}, "f1"),
        ("best_val_loss", {"val_loss": 1}, "val_loss"),
        ("loss", {"train_loss": 1}, ""),  # the training's alone: perhaps too short for a validation
        ("val_loss", {"loss": 1, "accuracy": 0.5}, ""),
        ("f1", {"val_loss": 1}, ""),
        ("val_loss", {"val_acc": 1}, ""),
    ],
)
def test_first_trial_that_ends_without_the_objective_tells_it(bench: Bench, metric: str, row: Any, halts: str) -> None:
    bench.behave = lambda launch: (bench.write(launch, [row]), Exit(code=0))[1]
    history = bench.run(led(bench, objectives=(Objective(metric),), resources=Resources(1)))
    assert history.halted == ("objective" if halts else "failures") and len(states(history)) == (1 if halts else 3)
    if halts:
        assert history.reason.startswith(f'trial 0 ended: no "{metric}" in its rows; it has "{halts}"')
        assert history.reason.endswith(f'; did you mean "{halts}"?')
        assert bench.run(bench.lead()).halted == "failures", "the user insists"


def test_trial_that_ends_without_an_objective_that_another_reports_stops_nothing(bench: Bench) -> None:
    def behave(launch: BoundLaunch) -> Exit | None:
        bench.write(launch, [{"val_loss": 1, **({"loss": 1} if launch.trial_id == 0 else {})}])
        return None if launch.trial_id == 0 else Exit(code=1 - launch.trial_id % 2)

    bench.behave = behave
    engine = led(bench, resources=Resources(2))
    for _ in range(4):
        bench.now += 1
        engine.step(bench.now)
    assert engine.history.halted != "objective"


def test_once_any_trial_has_reported_it_nothing_is_misspelt(bench: Bench) -> None:
    def behave(launch: BoundLaunch) -> Exit:
        bench.write(launch, [{"val_loss" if launch.trial_id else "valid_loss": 1}])
        return Exit(code=0)

    bench.behave = behave
    history = bench.run(led(bench, objectives=(Objective("valid_loss"),), resources=Resources(1), budget=Budget(5)))
    assert not history.halted and states(history) == ["completed"] + ["failed"] * 4


def test_rules_are_those_that_the_study_asks_for(bench: Bench) -> None:
    spec = bench.open(stop=(Named(RANK),)).history.spec
    assert not [r for r in stopper(spec)._rules if isinstance(r, AlikeStopper | MisnamedStopper)]
