"""The verb algorithms: complete, within 80 columns, and quick because nothing heavy is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hpo_engine import assembly
from hpo_engine.assembly.parts import searcher_class
from hpo_engine.cli import cli

COLUMNS = 80
PLUGIN = """\
class Bare:
    def __init__(self, spec): pass
    def ask(self, history, count): return []
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["algorithms", *words])


@pytest.mark.parametrize("words", [(), ("--all",), *((name,) for name in assembly.SEARCHERS)])
def test_no_line_is_wider_than_a_terminal(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.exit_code == 0
    wide = [line for line in done.output.splitlines() if len(line) > COLUMNS]
    assert not wide


def test_every_algorithm_is_there_with_every_option() -> None:
    brief, full, told = run().output, run("--all").output, json.loads(run("--json").output)
    for name in assembly.SEARCHERS:
        card = assembly.traits(name).card
        assert f"\n{name} " in brief and f"{name}: {card.summary}"[:60] in full
        assert set(told["algorithms"][name]["options"]) == set(card.options)
        assert all(f"\n  {option} (" in run(name).output for option in card.options)
    assert "seed" in brief and set(told["common"]) == {"seed"}


def test_options_of_a_card_are_the_keywords_of_its_class_with_the_same_defaults() -> None:
    import inspect

    for name in assembly.SEARCHERS:
        card, cls = assembly.traits(name).card, searcher_class(name, ".")
        own = [p for p in list(inspect.signature(cls).parameters.values())[1:] if p.kind is not p.VAR_KEYWORD]
        keywords = {p.name: p.default for p in own}
        assert {k: o.default for k, o in card.options.items()} == keywords, name
        for option in card.options.values():
            assert option.default is None or option.take(option.default) == option.default


def test_unknown_algorithm_is_refused_with_the_nearest() -> None:
    done = run("gridd")
    assert done.exception is not None and 'did you mean "grid"?' in str(done.exception)


def test_plugin_without_a_card_is_said_to_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    assert "no card" in run("bare.py:Bare").output


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys; from hpo_engine.cli import cli; cli.main(['algorithms', '--all'], standalone_mode=False);"
        "print([m for m in ('scipy', 'torch', 'optuna', 'skopt', 'cmaes', 'pydantic', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_sampler_of_optuna_is_told_with_its_own_options() -> None:
    pytest.importorskip("optuna")
    said = " ".join(run("optuna:tpe").output.split())
    assert "options those of TPESampler: " in said and "n_startup_trials (10)" in said
    assert "weights" not in said and "seed" not in said, "what a study file cannot give"
    done = run("optuna:tpr")
    assert done.exception is not None and 'did you mean "tpe"?' in str(done.exception)
    assert "n_startup_trials" not in run("optuna").output
