"""Any command, variables and files with placeholders: refused in one line each, or filled with whole values.

Each case is a study drawn by its number: hostile values, conditional parameters, the script's own files in every format.
"""

from __future__ import annotations

import ast
import configparser
import itertools
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hpo_engine.contract.command import program_texts
from hpo_engine.contract.ownfiles import read, with_values
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.placeholders import as_word
from hpo_engine.contract.placing import Placed, values_of
from hpo_engine.errors import SpecError
from hpo_engine.study.spec import ScriptFile, StudySpec
from hpo_engine.studyfile.document.yamltext import dump
from tests.support.native import parse

NASTY = [
    "$(touch hacked)", "`touch hacked`", "; touch hacked", "a && touch hacked", "'", '"', "\\", "a b", "", "-", "--lr", "-c",
    "{lr}", "{{", "}}", "{params}", "${HOME}", "*", "~", "#", "%", "=", "é😀", "\t", "a\nb", ": x", "- y", "[1, 2", "null", "on",
    "1e-3", "0x1F", "x" * 500, "!tag", "&a", "*a", "|", ">", "@", "%(x)s", "\u2028", "\x7f",
]  # fmt: skip
PIECES = [
    "{lr}", "{n}", "{kind}", "{text}", "{flag?--amp}", "{flag?--amp:--no-amp}", "{flag?on:off}", "{text?x}", "{layers}", "{layers...}",
    "{late}", "{late...}", "{late?--x:--y}", "{params}", "{params:-}", "{params:--name=value}", "{params:name=value}",
    "{params:++name=value}", "{params:--name value,-}", "{params:x}", "{trial}", "{study}", "{seed}", "{result_dir}", "{log_dir}",
    "{data_dir}", "{epochs}", "{{lr}}", "{", "}", "{}", "{lrr}", "{lr?}", "{?a}", "{...}", "{lr:.3f}", "{ lr }", "${lr}", "$lr", "<lr>",
    "--lr", "--lr=", "-l", "train.py", "a b", "'", '"', "\\", "=", ":", "é", "--", "|", ">", "$(date)", "{model.lr}",
]  # fmt: skip
STARTS = [
    ["python", "train.py"], ["python", "-u", "train.py"], ["sh", "train.sh"], ["sh", "-c", "echo {lr} {text} {params}"], ["{kind}"],
    ["bash", "-ec", "echo $0 {text}", "{text}"], ["python", "-c", "print('{text}')"], ["env", "X={lr}", "python", "train.py"],
    ["python", "{kind}.py"], ["perl", "-e", "{text}"], ["timeout", "9", "sh", "-c", "{layers...}"],
]  # fmt: skip
TEXTS = {
    "a.yaml": "# mine\noptimizer: {lr: 0.1, name: adam}\nlayers: [1, 2]\ndeep:\n  er:\n    x: |\n      lines\n      of text\nq: 'a'  # b\n",
    "a.json": '{\n  "lr": 0.1,\n  "a.b": {"c": [1, {"d": 2}]},\n  "e": null\n}\n',
    "a.toml": 'lr = 0.1  # rate\n[model]\nwidth = 3\nnames = ["a", "b"]\n[model.deep]\nx = "y"\n',
    "a.ini": "[train]\nlr = 0.1\n; mine\nname = x\n[a.b]\nc = 1\n",
    "train.py": "LR = 0.1  # é\nNAME: str = 'x'\nclass Config:\n    width = 3\nD = {'a': 1, 'b': {'c': [2]}}\nE = dict(x=1)\nLR2 = LR\n",
    "run.in": "lr {lr} {flag?yes:no} {{lr}} {} ${HOME} {text}\n",
}
KEYS = {
    "a.yaml": ["optimizer.lr", "optimizer", "optimizer.name", "layers", "layers.1", "layers.7", "deep.er.x", "q", "+new", "+deep.y", "no", ""],
    "a.json": ["lr", "a.b.c", "a.b.c.1.d", "a.b", "e", "+f", "+a.b.g", "x.y"],
    "a.toml": ["lr", "model.width", "model.names", "model.names.0", "model.deep.x", "+model.z", "model", "no"],
    "a.ini": ["train.lr", "train.name", "a.b.c", "+train.z", "+none.z", "lr"],
    "train.py": ["LR", "NAME", "Config.width", "D", "D.a", "D.b.c", "E.x", "LR2", "no", "+no"],
}  # fmt: skip


def case(number: int) -> tuple[dict[str, Any], str]:
    """A study file, and the text of one of its files made by chance."""
    draw = random.Random(number)
    few = lambda items, most: [draw.choice(items) for _ in range(draw.randint(0, most))]  # noqa: E731
    values = [*NASTY, 1, -1, 0.5, -1e-300, 10**30, True, None, [], [1, "a b"], {"a": "$(x)"}, [["$(touch hacked)"]]]
    study: dict[str, Any] = {
        "command": [*draw.choice(STARTS), *("".join(few(PIECES, 3)) or "x" for _ in range(draw.randint(0, 5)))],
        "objective": "minimize loss",
        "space": {
            "lr": {"float": [1e-6, 0.1], "log": True},
            "n": {"int": [-5, 5]},
            "flag": {"choice": [True, False]},
            "kind": {"choice": ["python", "sh"]},
            "text": {"choice": list(dict.fromkeys(few(NASTY, 4) + ["a"]))},
            "layers": {"choice": [[1], [2, "a b"], [], draw.sample(NASTY, 3)]},
            "late": {"choice": [json.loads(json.dumps(draw.choice(values))), "z"], "when": {"flag": True}},
            "model.lr": draw.choice([0.5, {"constant": draw.choice(values)}]),
        },
        "env": {f"V{k}": "".join(few(PIECES, 3)) for k in range(draw.randint(0, 2))},
        "files": {},
    }
    if draw.random() < 0.3:
        study["resource"] = {"name": "epochs", "max": 9}
    if draw.random() < 0.3:
        study["params_env"] = draw.choice(["HP_", "RESULT_", "X", "A B", "é", "P"])
    placed = [
        "lr",
        "n",
        "flag",
        "text",
        "layers",
        "late",
        "model.lr",
        "seed",
        "run {trial}",
        "{late}",
        "{text}/{lr}",
        "lrr",
        "{lrr}",
    ]
    for path in few(list(KEYS), 2):
        study["files"][path] = {draw.choice(KEYS[path]): draw.choice(placed) for _ in range(draw.randint(1, 3))}
    if draw.random() < 0.3:
        study["files"][draw.choice(["run.txt", "a.ini", "none/run"])] = {
            "template": draw.choice(["run.in", "odd.in", "no"])
        }
    return study, "".join(few([*PIECES, *NASTY], 8))


def folder_of(tmp_path: Path) -> Path:
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "train.sh").touch()
    return tmp_path


def check(number: int, folder: Path) -> bool:
    """Whether the study of this number is accepted."""
    study, odd = case(number)
    (folder / "odd.in").write_text(odd)
    try:
        spec = parse(dump(study), folder)
    except SpecError as error:
        for problem in error.problems:
            assert problem.text and "\n" not in problem.text and problem.path, problem
        return False
    assert all("\n" not in note for note in spec.notes)
    placed = Placed(spec, spec.command, spec.env)
    rng = np.random.default_rng(number)
    for trial_id in range(3):
        trial = StudyPaths(str(folder / "s")).trial(trial_id)
        config = spec.space.sample(rng) | ({} if spec.resource is None else {spec.resource.name: 3})
        values = values_of(spec, trial, config)
        check_words(spec, placed.command(values), values)
        environment = placed.environment(values)
        assert all(isinstance(text, str) and "\0" not in text for text in environment.values())
        assert "RESULT_DIR" not in environment
        for file in spec.files:
            check_file(file, read(str(folder), file.source), values, spec.config_names)
    return True


def check_words(spec: StudySpec, words: tuple[str, ...], values: dict[str, Any]) -> None:
    """Programs in words are as they were written, and each placeholder that is a word by itself is a whole value."""
    assert words and words[0] and all(isinstance(word, str) for word in words)
    texts = {spec.command[k] for k in program_texts(spec.command)}
    assert texts <= set(words)
    for word in spec.command:
        if (name := word[1:-1]) in values and word == f"{{{name}}}" and word not in texts:
            assert as_word(values[name]) in words


def check_file(file: ScriptFile, before: str, values: dict[str, Any], known: tuple[str, ...]) -> None:
    after = with_values(file, before, values, known)
    if file.keys is None:
        assert file.source != "run.in" or after.startswith(f"lr {as_word(values['lr'])} ")
        return
    one, other = dict(leaves(parsed(file.path, before))), dict(leaves(parsed(file.path, after)))
    for key, placed in file.keys.items():
        if placed in values:
            there = at(parsed(file.path, after), key.removeprefix("+"))
            assert there == values[placed] or there == as_word(values[placed]), (key, placed)
    changed = tuple(key.removeprefix("+") for key in file.keys)
    for path in one.keys() | other.keys():
        if not any(path == key or path.startswith(f"{key}.") or key.startswith(f"{path}.") for key in changed):
            assert one.get(path) == other.get(path), path


def parsed(path: str, text: str) -> Any:
    suffix = path.rpartition(".")[2]
    if suffix == "yaml":
        return yaml.safe_load(text)
    if suffix == "json":
        return json.loads(text)
    if suffix == "toml":
        import tomlkit

        return tomlkit.parse(text).unwrap()
    if suffix == "ini":
        ini = configparser.ConfigParser(interpolation=None, allow_no_value=True)
        ini.read_string(text)
        return {name: dict(ini[name]) for name in ini.sections()}
    found: dict[str, Any] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = f"Config.{target.id}" if target.id == "width" else target.id  # type: ignore[attr-defined]
            value = node.value
            if isinstance(value, ast.Call):
                found[name] = {keyword.arg: ast.literal_eval(keyword.value) for keyword in value.keywords}
            elif not isinstance(value, ast.Name) and value is not None:
                found[name] = ast.literal_eval(value)
    return found


def at(place: Any, key: str) -> Any:
    parts = key.split(".")
    for begin in range(len(parts), 0, -1):
        name: Any = ".".join(parts[:begin])
        if isinstance(place, list):
            if not name.isdecimal():
                continue
            name = int(name)
        if isinstance(place, list) or name in place:
            return place[name] if begin == len(parts) else at(place[name], ".".join(parts[begin:]))
    raise KeyError(key)


def leaves(place: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    items = place.items() if isinstance(place, dict) else enumerate(place) if isinstance(place, list) else None
    if items is None:
        yield prefix, place
        return
    yield from itertools.chain.from_iterable(leaves(value, f"{prefix}.{key}".lstrip(".")) for key, value in items)


@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(60, 5060, 500))])
def test_anything_with_placeholders_is_refused_in_one_line_or_filled_with_whole_values(
    first: int, tmp_path: Path
) -> None:
    folder, accepted = folder_of(tmp_path), 0
    count = 500 if first else 60
    for number in range(first, first + count):
        begin = time.process_time()
        try:
            accepted += check(number, folder)
        except Exception as error:
            raise AssertionError(f"case {number}: {case(number)}") from error
        assert time.process_time() - begin < 60, f"case {number} takes for ever"
    assert count / 10 < accepted < count, "cases of both kinds"
    assert not list(folder.rglob("hacked"))
