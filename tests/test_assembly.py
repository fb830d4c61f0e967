"""From names to things: the clock, searchers by name and by place, the lock of a study."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.assembly import Clock, about, load_spec, searcher, traits
from hpo_engine.core.ports import Launch
from hpo_engine.errors import SpecError
from hpo_engine.study.history import StudyState
from hpo_engine.study.spec import Budget, Named, StudySpec
from hpo_engine.study.trial import Exit
from tests.support import random_logs
from tests.support.loop_bench import Bench

DAY = 86_400.0

# -- the clock ---------------------------------------------------------------------------------------------------------


def jump(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Somebody sets the machine's clock."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


def test_clock_is_the_wall_clock_when_it_is_made() -> None:
    assert abs(Clock()() - time.time()) < 0.5


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_clock_does_not_jump_when_the_machines_does(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    clock = Clock()
    before = clock()
    jump(monkeypatch, seconds)
    after = clock()
    assert 0 <= after - before < 5
    assert abs(Clock()() - after - seconds) < 5, "the next engine goes by the new time"


def test_clock_goes_at_the_pace_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    before, begin = clock(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: begin + 100.0)
    assert 99 < clock() - before < 101


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_jump_of_the_machines_clock_ends_no_study_and_spends_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    bench, clock = Bench(tmp_path), Clock()

    def behave(launch: Launch) -> Exit | None:
        return None

    bench.behave = behave
    bench.now = clock()
    engine = bench.open(budget=Budget(2, time_s=60.0))
    assert engine.step(clock())
    jump(monkeypatch, seconds)
    for _ in range(3):
        assert engine.step(clock())
    assert engine.history.state is StudyState.RUNNING and len(engine.history.running) == 2
    assert bench.executor.stops == []
    assert 0 <= engine.history.elapsed_s(clock()) < 5
    bench.write(bench.executor.launched[0], [{"loss": 1.0}])
    bench.executor.finish(0, Exit(0))
    bench.write(bench.executor.launched[1], [{"loss": 2.0}])
    bench.executor.finish(1, Exit(0))
    while engine.step(clock()):
        pass
    history = bench.checked(engine)
    assert history.state is StudyState.FINISHED and history.spent_s < 5
    assert all(t.ended_at is not None and 0 <= t.ended_at - t.proposed_at < 5 for t in history.trials)


# -- searchers ---------------------------------------------------------------------------------------------------------


def refused(algorithm: str, model_dir: Path | str = "/m", **options: Any) -> str:
    with pytest.raises(SpecError) as caught:
        searcher(spec(algorithm, model_dir, **options))
    (problem,) = caught.value.problems
    assert "\n" not in str(problem)
    return str(problem)


def spec(algorithm: str, model_dir: Path | str = "/m", **options: Any) -> StudySpec:
    return replace(random_logs.spec(), algorithm=Named(algorithm, options), model_dir=str(model_dir))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder with a plugin beside the script; the module's name is this test's own."""
    folder = tmp_path / "model folder"
    folder.mkdir()
    return folder


def plugin(model: Path, text: str) -> str:
    name = f"plugin_{abs(hash(str(model)))}"
    (model / f"{name}.py").write_text(text)
    return name


HALF = """\
class Half:
    def __init__(self, spec, *, at=0.5, attempts=1): self.at = at
    def ask(self, history, count): return []
class Bare:
    def __init__(self, spec): pass
    def ask(self, history, count): return []
class Open:
    def __init__(self, spec, **options): self.options = options
    def ask(self, history, count): return []
class Broken:
    def __init__(self, spec): raise RuntimeError("bad day")
class Dumb:
    def __init__(self, spec): self.ask = 3
"""


@pytest.mark.parametrize("name", ["random", "grid", "sobol"])
def test_searchers_of_the_house_are_made_by_name(name: str) -> None:
    made: Any = searcher(spec(name))
    assert type(made.inner).__name__.lower() == name


@pytest.mark.parametrize(("algorithm", "former"), [("tpe", "warm_up"), ("bayesian", "init_points")])
def test_former_name_of_an_option_is_accepted(algorithm: str, former: str) -> None:
    assert traits(algorithm).card.take(algorithm, {former: 3}) == {"n_startup": 3}
    both: dict[str, Any] = {former: 3, "n_startup": 4}
    assert refused(algorithm, **both) == f"options.{former}: is another name of n_startup, which is given, too"


RATIONED = """\
command: [cat]
objective: minimize loss
algorithm: hyperband
resource: {name: epochs, max: 27}
space: {x: {float: [0, 1]}}
"""


def loaded(folder: Path, text: str) -> StudySpec:
    (folder / "algo.yaml").write_text(text)
    return load_spec(str(folder / "algo.yaml"), {"PATH": "/bin:/usr/bin"})[0]


def test_hyperband_runs_one_round_unless_the_file_says_how_many(tmp_path: Path) -> None:
    assert loaded(tmp_path, RATIONED).budget.trials == 49, "configurations: 27 + 12 + 6 + 4"
    assert loaded(tmp_path, RATIONED + "trials: 500\n").budget.trials == 500
    assert loaded(tmp_path, RATIONED + "trials: unlimited\n").budget.trials == 49
    assert loaded(tmp_path, RATIONED + "trials: unlimited\noptions: {rounds: 2}\n").budget.trials == 98
    assert loaded(tmp_path, RATIONED + "runs: 30\n").budget == Budget(None, runs=30)
    assert loaded(tmp_path, RATIONED + "trials: 20\nruns: 30\n").budget == Budget(20, runs=30)
    asha = RATIONED.replace("hyperband", "asha")
    assert loaded(tmp_path, asha).budget.trials == 27
    assert loaded(tmp_path, asha + "trials: unlimited\n").budget.trials is None
    told = "a round is 4 brackets, 49 trials with 69 runs of 1 to 27 epochs"
    assert about(loaded(tmp_path, RATIONED)) == told and about(spec("random")) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("resource: {name: epochs, max: 27}\n", ""), "resource: is missing: hyperband needs one, as in {name: epochs"),
        (("name: epochs", "name: x"), "algo.yaml:4: resource.name: x is a parameter of the space, too"),
        (("27}", "27}\noptions: {eta: 1}"), "options.eta: must be a number from 1.01 on, not 1"),
    ],
)
def test_what_hyperband_cannot_work_with_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, RATIONED.replace(*change))
    assert said in str(caught.value)


def test_unknown_algorithm_names_the_nearest() -> None:
    assert refused("rnadom") == 'algorithm: no algorithm "rnadom"; did you mean "random"?'
    said = refused("zzz")
    assert "known: " in said and "grid" in said and "sobol" in said


@pytest.mark.parametrize(("name", "meant"), [("RandomSearch", "random"), ("Grid-Search", "grid"), ("LHS", "sobol")])
def test_algorithm_by_the_name_that_it_has_elsewhere_is_pointed_to(name: str, meant: str) -> None:
    assert refused(name) == f'algorithm: no algorithm "{name}"; did you mean "{meant}"?'


def test_unknown_option_names_the_nearest_and_its_field() -> None:
    assert refused("grid", level=3) == 'options.level: is not an option of grid; did you mean "levels"?'
    assert "known: levels" in refused("grid", zzz=3)
    assert refused("random", rate=3) == "options.rate: is not an option of random; known: seed"
    assert refused("auto", warm_up=3) == "options.warm_up: is not an option of auto; known: seed; it is one of tpe"
    assert refused("random", eta=3).endswith("; known: seed; it is one of hyperband, asha, bohb")
    assert refused("random", sed=3) == 'options.sed: is not an option of random; did you mean "seed"?'
    assert (
        refused("tpe", ei_candidates=10**9)
        == "options.ei_candidates: must be a whole number from 1 to 100000, not 1000000000"
    )
    assert refused("bayesian", cube_size=10**9).startswith("options.cube_size: must be a whole number from 1 to 100000")


def test_no_name_stands_twice_among_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def __init__(self, spec, *, seed=0, depth=1): ...\n    def ask(self): ...\n"
    )
    assert refused("mine.py:Mine", tmp_path, zzz=1).endswith("; known: depth, seed")


def test_wrong_value_of_an_option_names_it() -> None:
    assert refused("grid", levels=0) == "options.levels: must be a whole number from 1 on, not 0"
    assert refused("grid", levels="many") == 'options.levels: must be a whole number from 1 on, not "many"'
    assert refused("grid", shuffle=1) == "options.shuffle: must be true or false, not 1"


def test_all_wrong_options_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        searcher(spec("grid", levels=0, shufle=True, shuffle=2))
    assert [p.path for p in caught.value.problems] == ["options.levels", "options.shufle", "options.shuffle"]


@pytest.mark.parametrize("place", ["{name}:Half", "{name}.py:Half"])
def test_plugin_beside_the_script_is_found_with_its_options(model: Path, place: str) -> None:
    where = place.format(name=plugin(model, HALF))
    made: Any = searcher(spec(where, model, at=0.25))
    assert made.inner.inner.at == 0.25
    assert refused(where, model, att=1).endswith('did you mean "at"?')
    assert refused(where, model, spec=1).startswith("options.spec: "), "the first argument is no option"
    assert refused(where.replace("Half", "Bare"), model, at=1).endswith("; known: seed")
    taker: Any = searcher(spec(where.replace("Half", "Open"), model, anything=1))
    assert taker.inner.inner.options == {"anything": 1}


@pytest.mark.parametrize(
    ("place", "text", "words"),
    [
        ("no_such_module:X", "", "ModuleNotFoundError.*no_such_module"),
        ("no/such.py:X", "", "no/such.py:X cannot be loaded: FileNotFoundError: no file .*no/such.py"),
        ("{name}:Missing", HALF, "AttributeError.*Missing"),
        ("{name}.py:Missing", HALF, "AttributeError.*Missing"),
        ("{name}:", HALF, "{name}: cannot be loaded"),
        (":Half", HALF, ":Half cannot be loaded"),
        ("{name}:Half", "import no_such_thing", "ModuleNotFoundError.*no_such_thing"),
        ("{name}:Half", "class Half(:", "SyntaxError"),
        ("{name}:Half", "1 / 0", "ZeroDivisionError"),
        ("{name}.py:Half", "1 / 0", "ZeroDivisionError"),
        ("{name}:Half", "raise SystemExit(0)", "SystemExit"),
        ("{name}:Broken", HALF, "options: {name}:Broken cannot be made: RuntimeError: bad day"),
        ("{name}:Dumb", HALF, "algorithm: {name}:Dumb is not a searcher: it has no method ask"),
        ("{name}:x", "x = 3", "options: {name}:x cannot be made: TypeError"),
    ],
)
def test_plugin_that_cannot_be_used_is_a_problem_of_the_spec(model: Path, place: str, text: str, words: str) -> None:
    name = plugin(model, text)
    with pytest.raises(SpecError, match=words.replace("{name}", name)) as caught:
        searcher(spec(place.replace("{name}", name), model))
    assert [p.path for p in caught.value.problems][0] in ("algorithm", "options")


def test_loading_a_plugin_leaves_no_folder_on_the_path(model: Path) -> None:
    import sys

    before = list(sys.path)
    searcher(spec(f"{plugin(model, HALF)}:Half", model))
    refused("no_such_module:X", model)
    assert sys.path == before


def test_a_value_that_a_metric_source_refuses_is_told_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    file = tmp_path / "algo.yaml"
    file.write_text(
        "command: python train.py\nobjective: minimize loss\nspace: {x: {float: [0, 1]}}\n"
        "results: {name: csv, file: /etc/passwd}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(str(file), {})
    assert "results: csv: the file must be a path or a pattern below RESULT_DIR or LOG_DIR" in str(caught.value)


def test_a_resource_that_is_missing_is_told_at_the_algorithm(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    file = tmp_path / "algo.yaml"
    file.write_text(
        "command: python train.py\nobjective: minimize loss\nspace: {x: {float: [0, 1]}}\nalgorithm: hyperband\n"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(str(file), {})
    assert str(caught.value).startswith(f"{file}:4: resource: is missing")


def test_a_study_may_name_an_algorithm_that_only_the_machine_has_on_which_it_will_run(tmp_path: Path) -> None:
    file = tmp_path / "algo.yaml"
    file.write_text(
        "command: echo 1\nobjective: minimize loss\ntrials: 2\nspace: {x: {float: [0, 1]}}\nalgorithm: theirs\n"
    )
    with pytest.raises(SpecError, match='unknown algorithm "theirs"'):
        load_spec(str(file), {})
    assert load_spec(str(file), {}, elsewhere=["theirs"])[0].algorithm.name == "theirs"
