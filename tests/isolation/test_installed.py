"""Installing search plugins: what is accepted, what is refused, and that studies find them by name."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import assembly
from hpo_engine.errors import SpecError, StudyExists, StudyLocked, StudyNotFound
from hpo_engine.isolation import installed, runner
from hpo_engine.isolation.plugin import PluginSearcher
from hpo_engine.studyfile.document import read_document
from hpo_engine.studyfile.wmla import timestamp
from hpo_engine.testing.histories import opened
from tests.support.plugins import WALK, at, searched, spec_for, values, written

STUDY = "name: s\ncommand: python train.py\nobjective: minimize loss\nspace: {rate: {float: [0, 1]}}\n"


def install(source: Path, where: Path, name: str = "Mine", **more: Any) -> installed.Installed:
    given: dict[str, Any] = {"taken": assembly.reserved(), "now": 1.0, **more}
    return installed.install(str(source), name, str(where), **given)


def refused(source: Path, where: Path, name: str = "Mine", **more: Any) -> str:
    with pytest.raises((SpecError, StudyExists)) as caught:
        install(source, where, name, **more)
    assert not [name for name in os.listdir(where) if name.startswith(".")] if where.exists() else True
    return str(caught.value)


def test_a_plugin_is_copied_found_in_any_case_and_removed(tmp_path: Path) -> None:
    source, where = written(tmp_path / "source", WALK), tmp_path / "there"
    (source / "__pycache__").mkdir()
    found = install(source, where, creator="ann", log_level="DEBUG")
    assert sorted(os.listdir(found.path)) == ["optimizer.py"]
    assert installed.find(str(where), "mINE") == found and installed.plugins(str(where)) == {"Mine": found}
    shown = installed.rest_object(found, timestamp)
    assert shown == {
        "name": "Mine", "type": "USER_PLUGIN", "remoteExec": False, "path": found.path, "condaHome": "",
        "condaEnv": "", "creator": "ann", "createtime": "1970-01-01 00:00:01", "logLevel": "DEBUG",
    }  # fmt: skip
    with pytest.raises(StudyLocked, match="used by running studies: a, b"):
        installed.uninstall("mine", str(where), ["a", "b"])
    installed.uninstall("mine", str(where))
    assert installed.plugins(str(where)) == {} and os.listdir(where) == []
    with pytest.raises(StudyNotFound):
        installed.find(str(where), "mine")


def test_what_cannot_be_installed_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source, where = written(tmp_path / "source", WALK), tmp_path / "there"
    assert "cannot name an algorithm" in refused(source, where, "../x")
    assert "is the name of another algorithm" in refused(source, where, "Tpe")
    assert "is the name of another algorithm" in refused(source, where, "experimentgridsearch")
    assert "has no optimizer.py" in refused(tmp_path, where)
    assert "no interpreter" in refused(source, where, python="/nowhere/python")
    assert "no conda environment" in refused(source, where, conda_env="nope", conda_home=str(tmp_path))
    broken = written(tmp_path / "broken", "import nowhere_at_all\n")
    assert "ModuleNotFoundError: No module named 'nowhere_at_all' (optimizer.py:" in refused(broken, where)
    install(source, where)
    assert "installed already" in refused(source, where, "mine")
    assert install(source, where, "mine", replace=True).name == "mine"
    assert list(installed.plugins(str(where))) == ["mine"]


@pytest.mark.slow
def test_an_environment_of_conda_is_found_by_its_name(tmp_path: Path) -> None:
    python = tmp_path / "conda/envs/old/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {os.path.realpath(sys.executable)} "$@"\n')
    python.chmod(0o755)
    source = written(tmp_path / "source", WALK)
    found = install(source, tmp_path / "there", conda_env="old", conda_home=str(tmp_path / "conda"))
    assert found.python == str(python) and found.conda_env == "old"


@pytest.mark.parametrize("text", ["algorithm: MINE\n", "algorithm: {name: mine, call_limit: 2 min, options: {a: 1}}\n"])
def test_a_study_file_names_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    found = install(written(tmp_path / "source", WALK), tmp_path / "there")
    env = {**os.environ, installed.FOLDER_VARIABLE: str(tmp_path / "there")}
    document = read_document(STUDY + text, str(tmp_path / "algo.yaml"))
    spec, _ = assembly.spec_of(document, STUDY + text, str(tmp_path), env)
    assert spec.algorithm.name == "Mine" and spec.isolation is not None and spec.isolation.plugin is not None
    assert spec.isolation.plugin.folder == found.path and len(spec.isolation.plugin.sha256) == 64
    assert spec.isolation.call_limit_s == (120.0 if "call_limit" in text else 600.0)
    assert type(spec).from_json(spec.to_json()) == spec


def test_the_runner_is_python_3_7_and_needs_the_standard_library_only() -> None:
    tree = ast.parse(Path(runner.__file__).read_text(), feature_version=(3, 7))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {a.name.split(".")[0] for n in imports if isinstance(n, ast.Import) for a in n.names}
    names |= {(node.module or "").split(".")[0] for node in imports if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names


# -- the manners of public samples -------------------------------------------------------------------------------------

GLOBAL_DRAWS = """\
import numpy as np

class PluginOptimizer(BasePluginOptimizer):
    # Draws from numpy's global generator, which it seeds itself.
    def __init__(self, name, hyper_parameters, **kwargs):
        super(PluginOptimizer, self).__init__(name, hyper_parameters, **kwargs)
        self._entries = hyper_parameters
        if kwargs.get("random_seed"):
            np.random.seed(int(kwargs.get("random_seed")))

    def search(self, number_samples, last_exp_results):
        logger.info("results:\\n{}".format(last_exp_results))
        return [dict(self._value(entry) for entry in self._entries) for _ in range(number_samples)]

    def _value(self, entry):
        name, kind = entry.get("name"), entry.get("dataType")
        if kind == "DOUBLE":
            return name, entry.get("minDbVal") + np.random.rand() * (entry.get("maxDbVal") - entry.get("minDbVal"))
        if kind == "INT":
            return name, np.random.randint(entry.get("minIntVal"), entry.get("maxIntVal"))
        return name, entry.get("discreateStrVal")[np.random.randint(len(entry.get("discreateStrVal")))]

    def get_state(self):
        return {"state": np.random.get_state()}

    def set_state(self, state_dict):
        np.random.set_state(state_dict.get("state"))
"""
SLICES = """\
from itertools import product
import numpy as np

class PluginOptimizer(BasePluginOptimizer):
    # Hands out slices of a grid, without state; asked one at a time it keeps its last point to itself.
    def __init__(self, name, hyper_parameters, **kwargs):
        super(PluginOptimizer, self).__init__(name, hyper_parameters, **kwargs)
        axes = {"rate": np.arange(0.0, 1.0, 0.25), "size": list(range(1, 3)), "kind": ["a"]}
        names = sorted(axes)
        self.points, self.at = [dict(zip(names, v)) for v in product(*(axes[n] for n in names))], 0

    def search(self, number_samples, last_exp_results=None):
        last = len(self.points) - 1
        if self.at >= last:
            return []
        end = self.at + number_samples if self.at + number_samples <= last else last + 1
        found, self.at = self.points[self.at:end], min(end, last)
        return found
"""


def test_a_sample_that_draws_from_the_global_generator_goes_on_after_a_restart(tmp_path: Path) -> None:
    folder = written(tmp_path / "plugin", GLOBAL_DRAWS)
    found = []
    for name, parts in (("whole", (6,)), ("parts", (2, 1, 3))):
        (tmp_path / name).mkdir()
        spec = spec_for(folder, random_seed="4")
        history = opened(spec)
        for part in parts:
            searcher = PluginSearcher(spec, at(tmp_path / name))
            history = searched(searcher, history, part)
            searcher.close()
        found.append(values(history))
    assert found[0] == found[1] and len(found[0]) == 6


@pytest.mark.slow
def test_a_sample_of_a_grid_ends_by_itself(tmp_path: Path) -> None:
    spec = spec_for(written(tmp_path / "plugin", SLICES))
    searcher = PluginSearcher(spec)
    history = searched(searcher, opened(spec), 20)
    assert history.next_id == 7 and searcher.over(history) == "plugin mine has nothing more to propose"
    assert values(history)[3] == {"rate": 0.25, "size": 2, "kind": "a"}
    searcher.close()
    searcher = PluginSearcher(spec)
    assert searched(searcher, opened(spec), 20, batch=3).next_id == 8
    searcher.close()
