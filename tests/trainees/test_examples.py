"""Every example's script, run as a trial of its own search file: the contract's folders and environment, no engine."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo_engine import assembly
from hpo_engine.contract import binding, layout
from hpo_engine.contract.paths import EMETRICS, RESULT, StudyPaths, TrialPaths
from hpo_engine.contract.snapshot import View, freeze
from hpo_engine.contract.sources.verdict import verdict
from hpo_engine.study.spec import StudySpec
from hpo_trainees import report
from tests.support.reports import final_rows

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = [str(path.relative_to(EXAMPLES)) for path in sorted(EXAMPLES.glob("*/algo*.*"))]
FILES.remove("wmla_plugin/algo.json")  # its plugin is to be installed first: tests/test_examples.py


READY = ("diabetes", "docstrings", "mnist", "cifar10")  # trained by tests/test_examples.py


def needs(file: str) -> None:
    if "digits" in file:
        pytest.importorskip("lightning")
    if file.split("/")[0] in ("digits", "pbt_digits", "sklearn_cv", "wmla_script"):
        pytest.importorskip("sklearn")
    program = {"algo-node.yaml": "node", "algo-c.yaml": "cc", "algo.yaml": "awk"}.get(file.split("/")[1])
    if program and not shutil.which(program):
        pytest.skip(f"{program} is not here")


def load(file: str) -> StudySpec:
    return assembly.load_spec(str(EXAMPLES / file), {})[0]


def studies(folder: Path, spec: StudySpec) -> Iterator[TrialPaths]:
    """One laid-out trial after the other, parameters drawn at random."""
    numpy = pytest.importorskip("numpy")
    study = StudyPaths(str(folder / "a study"))
    os.mkdir(study.root)
    freeze(spec.model_dir, study.model)
    view = View.of(study.model)
    layout.lay_out_study(study, binding.user_of(os.environ))
    for number in range(100):
        paths = study.trial(number)
        layout.lay_out(paths)
        view.lay(paths.result_dir)
        params = spec.space.sample(numpy.random.default_rng(number))
        if "digits" in spec.model_dir:
            params["epochs"] = 2
        if spec.resource:
            params[spec.resource.name] = spec.resource.min
        binding.write_config(paths, params)
        yield paths


def run(spec: StudySpec, paths: TrialPaths, **env: str) -> subprocess.CompletedProcess[str]:
    root = str(EXAMPLES.parent)
    search = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    base = {**os.environ, "PATH": search, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    environment = {**binding.environment(spec, paths, base, "nonce", (), spec.env), **env}
    return subprocess.run(
        spec.command,
        cwd=paths.result_dir,
        env={name: value for name, value in environment.items() if value},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,  # seconds for imports, a second each for trainings, and others beside them
    )


@pytest.mark.slow  # tests/test_examples.py runs all of them, too
@pytest.mark.parametrize("file", [file for file in FILES if not file.startswith(READY)])
def test_a_trial_of_the_example_gives_a_valid_value(file: str, tmp_path: Path) -> None:
    needs(file)
    spec = load(file)
    values = []
    for paths in studies(tmp_path, spec):
        done = run(spec, paths)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        reading = final_rows(paths)
        value, note = verdict(reading, spec.objectives, paths.trial_id)
        assert value is not None and note == "" and reading.source == RESULT
        assert set(spec.extra_metrics) <= set(reading.metrics)
        values.append(value)
        if len(values) == 2 or "any-language" not in file:  # the others pay a second or more for their imports
            break
    assert len(set(values)) == len(values), "the parameters do not reach the training"


@pytest.mark.parametrize("file", FILES)
def test_the_default_run_is_short_parallel_and_the_same_each_time(file: str) -> None:
    spec = load(file)
    assert spec.budget.trials is not None and spec.budget.trials <= 40
    assert spec.resources.parallel == 2
    assert spec.seed is not None or "random_seed" in spec.algorithm.options


@pytest.mark.slow
def test_examples_with_live_metrics_rewrite_their_rows_as_they_go(tmp_path: Path) -> None:
    needs("sklearn_cv/algo.yaml")
    spec = load("sklearn_cv/algo.yaml")
    paths = next(studies(tmp_path, spec))
    # The second fold fails, the row of the first is there: it was written before.
    (script := Path(paths.result_dir, "train.py")).write_text(
        script.read_text().replace("rows.append(", "1 / (2 - number)\n        rows.append(")
    )
    assert run(spec, paths).returncode == 1
    assert len(final_rows(paths).rows) == 1


@pytest.mark.slow
def test_wmla_script_runs_as_older_scripts_do_and_reports_live_what_it_writes_at_the_end(tmp_path: Path) -> None:
    needs("wmla_script/algo.json")
    spec = load("wmla_script/algo.json")
    paths = next(studies(tmp_path, spec))
    done = run(spec, paths, RESULT_DIR="")  # not set: DLI_RESULT_FS, USER and DLI_EXECID lead to the same folder
    assert done.returncode == 0, done.stderr
    assert Path(paths.result_dir, "model", "net.npz").exists()
    final = final_rows(paths)
    os.unlink(paths.result_file)
    live = final_rows(paths)
    assert (final.source, live.source) == (RESULT, EMETRICS)
    validation = [row for row in live.rows if "accuracy" in row.values]
    assert [(row.step, row.values["loss"]) for row in validation] == [(r.step, r.values["loss"]) for r in final.rows]


def test_wmla_request_and_its_native_twin_in_the_readme_are_the_same_search(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    text = (EXAMPLES / "wmla_script" / "README.md").read_text()
    (native,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    document = tmp_path / "twin.yaml"
    document.write_text(f"model_dir: {EXAMPLES / 'wmla_script'}\n{native}")
    ours, theirs = assembly.load_spec(str(document), {})[0], load("wmla_script/algo.json")
    draws = [[s.space.sample(numpy.random.default_rng(k)) for k in range(40)] for s in (ours, theirs)]
    assert draws[0] == draws[1]
    same = ("name", "command", "model_dir", "objectives", "algorithm", "budget", "seed")
    assert [getattr(ours, name) for name in same] == [getattr(theirs, name) for name in same]
    assert ours.resources.parallel == theirs.resources.parallel


def test_digits_script_runs_by_hand_without_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("digits/algo.yaml")
    monkeypatch.chdir(tmp_path)
    for name in ("RESULT_DIR", "SUBID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["train.py", "--seed", "3"])
    monkeypatch.setattr(report, "_reporter", report.Reporter())
    monkeypatch.setattr(report, "_noted", set())
    config = report.config
    monkeypatch.setattr(report, "config", lambda defaults: {**config(defaults), "epochs": 1})  # as short as can be
    runpy.run_path(str(EXAMPLES / "digits" / "train.py"), run_name="__main__")
    assert "going on with the defaults" in capsys.readouterr().err
    (row,) = json.loads((tmp_path / "val_dict_list.json").read_text())
    assert row["step"] == 1 and row["val_loss"] > 0


def test_each_example_folder_is_in_the_table_and_has_a_readme_that_names_its_files() -> None:
    table = (EXAMPLES / "README.md").read_text()
    for folder in {file.split("/")[0] for file in FILES}:
        assert f"]({folder}/)" in table
        readme = (EXAMPLES / folder / "README.md").read_text()
        for file in FILES:
            if file.startswith(f"{folder}/"):
                assert f"hpo-engine submit {file.split('/')[1]}" in readme


def test_no_example_of_another_language_holds_python() -> None:
    names = [path.name for path in (EXAMPLES / "any-language").rglob("*") if path.suffix in (".py", ".pyc")]
    assert names == []
    for script in ("train.sh", "run.sh", "train.js", "train.c"):
        assert "python" not in (EXAMPLES / "any-language" / script).read_text().lower()
