"""What verbs print for programs is what `schema --output` says; `watch --jsonl` and `explain` say what has happened."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from click.testing import CliRunner

from hpo_engine import studies
from hpo_engine.cli import cli
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.control.explaining import explain
from hpo_engine.control.following import happenings
from hpo_engine.reports.explaining import Explanation
from hpo_engine.reports.objects import dump
from hpo_engine.reports.outputs import OUTPUTS, schema_of
from tests.support import command

SCRIPT = """\
import json, os, sys
config = json.load(open("config.json"))
if config["x"] > 0.9:
    sys.exit("too large")
epochs = config.get("epochs", 2)
rows = [{"step": i + 1, "loss": (config["x"] - 0.3) ** 2 + 1 / (i + 1), "size": config["x"]} for i in range(epochs)]
with open("val_dict_list.json", "w") as file:
    json.dump(rows, file)
"""
HEAD = "command: python -S train.py\nspace: {x: {float: [0, 1]}, n: {int: [1, 9]}}\n"
STUDIES = {
    "plain": "objective: minimize loss\nalgorithm: tpe\noptions: {seed: 3, n_startup: 3}\ntrials: 6\n"
    "metrics: {size: latest}\npoints: [{x: 0.95}, {x: 0.25, n: 4}]\n",
    "several": "objectives: [minimize loss, minimize size]\nalgorithm: random\noptions: {seed: 1}\ntrials: 5\n",
    "halving": "objective: minimize loss\nalgorithm: asha\noptions: {seed: 1}\nresource: {name: epochs, max: 9}\n"
    "runs: 12\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which all of STUDIES have run."""
    made = tmp_path_factory.mktemp("a b")
    (made / "train.py").write_text(SCRIPT)
    for name, text in STUDIES.items():
        (made / f"{name}.yaml").write_text(HEAD + text)
        code, out = run(made, "submit", f"{name}.yaml", "--name", name, "--json")
        assert code == 0, out
        valid("submit", json.loads(out.splitlines()[-1]))
    yield made


def run(folder: Path, *argv: str) -> tuple[int, str]:
    done = command.run(*argv, cwd=folder, env=dict(os.environ))
    return done.returncode, done.stdout or done.stderr


def asked(folder: Path, *argv: str) -> tuple[int, str]:
    """As `run`, in this process: for verbs that only read."""
    found = CliRunner().invoke(cli, argv, env={"HPO_ENGINE_ROOT": str(folder / "hpo-runs")})
    return found.exit_code, found.stdout or str(found.exception)


def printed(folder: Path, *argv: str) -> Any:
    code, out = asked(folder, *argv)
    assert code == 0, out
    return json.loads(out)


def valid(verb: str, found: Any) -> None:
    jsonschema.validate(found, schema_of(verb), cls=jsonschema.Draft202012Validator)


def test_every_verb_with_json_has_a_schema_and_every_schema_is_one() -> None:
    above = click.Context(cli, info_name="hpo-engine")
    have = set()
    for name in cli.list_commands(above):
        verb = cli.get_command(above, name)
        assert verb is not None
        below, known = [verb], list[click.Command]()
        while below:
            known.append(each := below.pop())
            below += getattr(each, "commands", {}).values()
        if any({"--json", "--jsonl"} & {*option.opts} for each in known for option in each.params):
            have.add(name)
    assert have - set(OUTPUTS) == set() and set(OUTPUTS) - have <= {"export"}
    for verb_name in OUTPUTS:
        schema = schema_of(verb_name)
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"urn:hpo-engine:output:{verb_name}:{OUTPUTS[verb_name][0]}"


READING = {
    "list": ["list"],
    "show": ["show", "NAME"],
    "show one": ["show", "NAME", "1"],
    "best": ["best", "NAME"],
    "explain": ["explain", "NAME", "1"],
    "plan": ["plan", "NAME"],
    "compare": ["compare", "NAME", "1", "2"],
    "compare studies": ["compare", "plain", "several"],
    "plot": ["plot", "NAME"],
    "backtest": ["backtest", "NAME", "--stop", "median"],
    "algorithms": ["algorithms"],
    "algorithms tpe": ["algorithms", "tpe"],
    "doctor": ["doctor"],
    "cancel": ["cancel", "NAME", "1"],
}
ALONE = ("list", "compare studies", "algorithms", "algorithms tpe", "doctor")
PAIRS = [(what, name) for what in READING for name in (STUDIES if what not in ALONE else ["plain"])]


@pytest.mark.by_default("-plain]", "show-several", "best-several", "show one-halving")
@pytest.mark.parametrize(("what", "name"), PAIRS, ids=[f"{what}-{name}" for what, name in PAIRS])
def test_the_output_is_as_its_schema_says(what: str, name: str, folder: Path) -> None:
    if (what, name) == ("backtest", "several"):
        pytest.skip("rules of one objective")
    valid(what.split()[0], printed(folder, *(word.replace("NAME", name) for word in READING[what]), "--json"))


def test_changes_are_as_their_schemas_say(folder: Path) -> None:
    valid("edit", printed(folder, "edit", "plain", "--set", "trials=8", "--dry-run", "--json"))
    valid("export", json.loads(asked(folder, "export", "plain", "--format", "json")[1]))


@pytest.mark.parametrize("name", STUDIES)
def test_events_are_as_the_schema_says_and_go_on_after_a_number(name: str, folder: Path) -> None:
    paths = StudyPaths(str(folder / "hpo-runs" / name))
    events = [json.loads(dump(event)) for event in happenings(paths)]
    validator = jsonschema.Draft202012Validator(schema_of("watch"))
    for event in events:
        validator.validate(event)
    numbers = [event["number"] for event in events[:-1]]
    assert numbers == sorted(set(numbers)) and numbers[0] == 1
    assert (events[0]["event"], events[-1]["event"]) == ("study_opened", "end")
    assert events[-1]["state"] == "finished" and events[-2]["event"] == "study_closed"
    ended = {event["trial"] for event in events if event["event"] == "trial_ended"}
    assert ended == {trial.id for trial in studies.read(paths).trials}
    middle = numbers[len(numbers) // 2]
    rest = [json.loads(dump(event)) for event in happenings(paths, middle)]
    assert rest[:-1] == [event for event in events[:-1] if event["number"] > middle] and rest[-1] == events[-1]


def test_watch_prints_a_line_for_each_event(folder: Path) -> None:
    _, out = run(folder, "watch", "plain", "--jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["event"] == "end" and len(lines) > 10
    assert asked(folder, "watch", "plain", "--jsonl", "--after", "99999")[0] != 0
    assert asked(folder, "watch", "plain", "--after", "1")[0] != 0


def test_a_schema_is_printed_and_an_unknown_verb_is_named(folder: Path) -> None:
    assert printed(folder, "schema", "--output", "show") == schema_of("show")
    code, out = asked(folder, "schema", "--output", "shw")
    assert code != 0 and 'did you mean "show"' in out


# -- explain -----------------------------------------------------------------------------------------------------------


def explained(folder: Path, name: str, trial: int) -> Explanation:
    paths = StudyPaths(str(folder / "hpo-runs" / name))
    history = studies.read(paths)
    return explain(paths, history, history.trials[trial])


def test_explain_says_why_a_trial_was_proposed(folder: Path) -> None:
    queued, own, modelled = (explained(folder, "plain", number) for number in (0, 2, 5))
    assert queued.kind == "user" and "tpe filled in n" in queued.proposed
    assert "tpe filled in" not in explained(folder, "plain", 1).proposed
    assert own.kind == "searcher" and "quasi-random: the first 3 trials" in own.proposed
    assert "by a model (tpe) of" in modelled.proposed and "results known then, the best was trial" in modelled.proposed
    assert "drawn at random" in explained(folder, "several", 2).proposed


def test_explain_says_why_a_trial_failed_and_what_it_would_have_needed(folder: Path) -> None:
    failed = explained(folder, "plain", 0)
    assert "exit code 1" in failed.ended and failed.needed == "exit code 0, and a value of loss"
    assert failed.rank == "has no result"


def test_explain_says_how_a_trial_ranks(folder: Path) -> None:
    history = studies.read(StudyPaths(str(folder / "hpo-runs/plain")))
    assert history.best_id is not None
    best, other = explained(folder, "plain", history.best_id), explained(folder, "plain", 5)
    done = sum(bool(trial.results) for trial in history.trials)
    assert best.place == 1 and best.among == done and not best.needed
    if history.best_id != 5:
        assert other.place is not None and other.place > 1 and other.needed.startswith("loss below")


def test_explain_follows_promotions(folder: Path) -> None:
    history = studies.read(StudyPaths(str(folder / "hpo-runs/halving")))
    repeated = next(trial for trial in history.trials if trial.proposal.repeats is not None)
    found = explained(folder, "halving", repeated.id)
    assert found.kind == "repeats" and found.based_on == (repeated.proposal.repeats,)
    assert f"trial {repeated.proposal.repeats} was good enough to be promoted" in found.proposed
    first = explained(folder, "halving", repeated.proposal.repeats or 0)
    assert "a new configuration" in first.proposed and "epochs" in first.proposed
    assert "does not compare with results after 9" in first.rank and first.needed.startswith("to be promoted")


def test_explain_runs_no_code_of_a_plugin(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        (folder / "own.py").write_text(
            "import os\nfrom hpo_engine import Proposal\n"
            "assert 'EXPLAINING' not in os.environ\n"
            "class Own:\n"
            "    def __init__(self, spec): pass\n"
            "    def ask(self, history, count): return [Proposal({'x': 0.1, 'n': 1})]\n"
        )
    (folder / "own.yaml").write_text(HEAD + "objective: minimize loss\nalgorithm: own:Own\ntrials: 1\n")
    assert run(folder, "submit", "own.yaml", "--name", "own")[0] == 0
    done = command.run("explain", "own", "0", cwd=folder, env={**os.environ, "EXPLAINING": "1"})
    assert done.returncode == 0 and "the log does not say why" in done.stdout
