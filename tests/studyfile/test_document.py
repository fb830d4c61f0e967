"""Reading study files: YAML 1.2 scalars, what is refused and in which line, JSON through the same door, writing."""

from __future__ import annotations

import json
import math
import os
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.studyfile.document import (
    Document,
    decode,
    dump,
    join,
    jsontext,
    pythontext,
    read_document,
    read_text,
    yamltext,
)
from tests.support.examples import some


def read(text: str, file: str = "algo.yaml") -> Any:
    return read_document(text, file).data


def refusal(text: str, file: str = "algo.yaml") -> str:
    begin = time.process_time()
    with pytest.raises(SpecError) as error:
        read_document(text, file)
    assert time.process_time() - begin < 60  # what grows out of hand takes minutes
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 300
    return message


# -- scalars ----------------------------------------------------------------------------------------------------------

YAML_1_2 = {
    "1e-4": 1e-4, "1E5": 1e5, ".5": 0.5, "5.": 5.0, "-1.5e+3": -1500.0, "1e3": 1000.0, "+1": 1,
    "-.inf": -math.inf, ".Inf": math.inf, "+.INF": math.inf, "0o10": 8, "0x10": 16, "010": 10, "1_000": "1_000",
    "yes": "yes", "no": "no", "on": "on", "Off": "Off", "y": "y",
    "true": True, "False": False, "TRUE": True, "tRue": "tRue",
    "1:30": "1:30", "2020-01-01": "2020-01-01", "0b1": "0b1", "0o9": "0o9", "0x": "0x", "e1": "e1", "1e": "1e",
    ".": ".",
    "~": None, "null": None, "NULL": None, "nUll": "nUll", '"1"': "1", "'true'": "true", "<<": "<<", "=": "=",
}  # fmt: skip


@pytest.mark.parametrize("loader", ["C", "Python"])
@pytest.mark.parametrize(("text", "value"), YAML_1_2.items())
def test_scalars_follow_yaml_1_2(text: str, value: Any, loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if loader == "Python":
        monkeypatch.setattr(yamltext, "_Loader", yaml.SafeLoader)
    found = read(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


def test_nan_and_empty_values() -> None:
    assert math.isnan(read("a: .nan")["a"])
    assert read("a:\nb: 1") == {"a": None, "b": 1}


# -- refusals ---------------------------------------------------------------------------------------------------------

REFUSED = {
    "alias": ("a: 1\nb: *x", "algo.yaml:2: alias *x is not allowed"),
    "anchor": ("a: 1\nb: &x 1", "algo.yaml:2: anchor &x is not allowed"),
    "recursive alias": ("&x [*x]", "algo.yaml:1: anchor"),
    "merge key": ("a: &x {b: 1}\nc: {<<: *x}", "algo.yaml:1: anchor"),
    "python tag": ("a: !!python/object/apply:os.system [ls]", "algo.yaml:1: tag "),
    "plain tag": ("a: !x 1", "algo.yaml:1: tag !x is not allowed"),
    "standard tag": ("a: !!str 1", "algo.yaml:1: tag "),
    "duplicate key": ("a: 1\nb: 2\na: 3", 'algo.yaml:3: duplicate key "a"; it is also in line 1'),
    "duplicate nested key": ("x:\n  a: 1\n  a: 3", 'algo.yaml:3: duplicate key "a"'),
    "duplicate key, otherwise quoted": ("a: 1\n'a': 3", 'algo.yaml:2: duplicate key "a"'),
    "two documents": ("a: 1\n---\nb: 2", "algo.yaml:3: a second document begins here"),
    "number as key": ("1: 2", 'algo.yaml:1: a key must be text, not 1; put it in quotes: "1"'),
    "truth as key": ("true: 2", "algo.yaml:1: a key must be text, not true"),
    "null as key": ("~: 2", "algo.yaml:1: a key must be text"),
    "list as key": ("? [1]\n: 2", "algo.yaml:1: a key must be text, not a list or mapping"),
    "long key": ("k" * 1001 + ": 2", "algo.yaml:1: a key has 1001 characters"),
    "directive": ("%TAG ! x\n---\na: 1", "algo.yaml:1: directives are not allowed"),
    "deep": ("a: " + "[" * 5000 + "]" * 5000, "algo.yaml:1: nested deeper than 20 levels"),
    "deep, unclosed": ("[" * 500_000, "algo.yaml:1: nested deeper than 20 levels"),
    "deep mappings": ("{a: " * 5000, "algo.yaml:1: nested deeper than 20 levels"),
    "deep blocks": ("- " * 5000, "algo.yaml:1: nested deeper than 20 levels"),
    "50 MB": ("a: b\n" * 10_000_000, "algo.yaml: is larger than 1 MB"),
    "1 MB of two-byte letters": ("a: " + "é" * 600_000, "algo.yaml: is larger than 1 MB"),
    "many values": ("[" + "0," * 250_000 + "]", "algo.yaml:1: contains more than 200,000 values"),
    "empty": ("", "algo.yaml:1: is empty"),
    "comments only": ("# a\n\n# b\n", "algo.yaml:1: is empty"),
    "BOM": ("\ufeffa: 1", "algo.yaml:1: begins with a byte order mark"),
    "NUL": ("a: 1\nb: \0", "algo.yaml:2: contains a NUL character"),
    "escaped NUL": ('a: 1\nb: "\\0"', "algo.yaml:2: contains a NUL character"),
    "half a surrogate": ("a: 1\nb: \ud800", "algo.yaml:2: contains half of a surrogate pair"),
    "control character": ("a: 1\nb: \x07", "algo.yaml:2: not valid YAML: a control character (U+0007)"),
    "too large a number": ("a: 1\nb: 1e999", "algo.yaml:2: 1e999 is too large for a number"),
    "100,000 digits": ("a: " + "1" * 100_000, "algo.yaml:1: a number of 100000 digits"),
    "tab": ("a:\n\tb: 1", "algo.yaml:2: not valid YAML: a tab cannot indent; use spaces"),
    "colon in text": ("a: 1\nb: c: d", 'algo.yaml:2: not valid YAML: a ":" is not expected here'),
    "open bracket": ("a: [1, 2\nb: 3", 'algo.yaml:2: not valid YAML: a "[" or "{" opened in line 1'),
    "open quote": ('a: 1\nb: "x\nc: 1', "algo.yaml:2: not valid YAML: a quote that opens here is not closed"),
    "at sign": ("a: @x", 'algo.yaml:1: not valid YAML: text cannot begin with "@"; put it in quotes'),
    "odd escape": ('a: "\\q"', "algo.yaml:1: not valid YAML"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_with_file_and_line(what: str) -> None:
    text, message = REFUSED[what]
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_twenty_levels_are_the_most(opening: str, closing: str) -> None:
    for text, file in ((f"{opening * 20}1{closing * 20}", "a.yaml"), (f"{opening * 20}1{closing * 20}", "a.json")):
        read_document(text, file)
    for file in ("a.yaml", "a.json"):
        assert "nested deeper than 20 levels" in refusal(f"{opening * 21}1{closing * 21}", file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamltext, "_Loader", yaml.SafeLoader)
        assert "nested deeper than 20 levels" in refusal(f"{opening.replace(':', ': ') * 21}1{closing * 21}" + "\n#")


@pytest.mark.parametrize(
    "text",
    ["[" * 500_000, "{a: " * 200_000, "? " * 300_000, "!" * 900_000, "&a " * 300_000, "%TAG !a! x\n" * 50_000,
     ":" * 900_000, '"' + '\\"' * 400_000, '{"' + '\\"' * 400_000, '{"a":' * 150_000, "#\n" * 400_000, "\t" * 900_000],
)  # fmt: skip
def test_hostile_megabyte_is_refused_at_once(text: str) -> None:
    refusal(text)


def test_python_parser_refuses_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamltext, "_Loader", yaml.SafeLoader)
    for what in (
        "alias",
        "anchor",
        "python tag",
        "duplicate key",
        "two documents",
        "deep",
        "tab",
        "open bracket",
        "NUL",
    ):
        assert refusal(REFUSED[what][0]).startswith("algo.yaml:"), what


# -- JSON -------------------------------------------------------------------------------------------------------------

REFUSED_JSON = {
    "two commas": ('{"a": 1,,}', "not valid JSON"),
    "no quotes": ('{"a": b}', "not valid JSON: Expecting value (column 7)"),
    "trailing data": ('{"a": 1}\nx', "algo.json:2: not valid JSON: Extra data"),
    "unclosed": ('{"a": [1', "not valid JSON"),
    "NaN": ('{"a": 1,\n "b": NaN}', "algo.json:2: not valid JSON: NaN is not a number"),
    "infinity": ('{"a": -Infinity}', "algo.json:1: not valid JSON: -Infinity is not a number"),
    "1e999": ('{"a": 1,\n "b": 1e999}', "algo.json:2: 1e999 is too large"),
    "duplicate": ('{"a": 1,\n "a": 2}', 'algo.json:2: duplicate key "a"; it is also in line 1'),
    "duplicate by escape": ('{"a": 1,\n "\\u0061": 2}', "algo.json:2: duplicate key"),
    "half a surrogate": ('{"a": "\\ud800"}', "algo.json:1: contains half"),
    "NUL": ('{"a": "\\u0000"}', "algo.json:1: contains a NUL"),
    "deep": ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", "algo.json:1: nested deeper"),
    "digits": ('{"a": ' + "9" * 5000 + "}", "algo.json:1: a number of 5000 digits"),
    "values": ('{"a": [' + "0," * 450_000 + "0]}", "algo.json:1: contains more than"),
}


@pytest.mark.parametrize("what", [pytest.param(w, marks=[pytest.mark.slow] * (w == "values")) for w in REFUSED_JSON])
def test_json_is_refused_as_json(what: str) -> None:
    text, message = REFUSED_JSON[what]
    assert message in refusal(text, "algo.json")


def test_json_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As "values", with a limit that is reached sooner."""
    for reader in (jsontext, pythontext):  # which may have written it
        monkeypatch.setattr(reader, "MAX_VALUES", 2_000)
    assert REFUSED_JSON["values"][1] in refusal('{"a": [' + "0," * 4_500 + "0]}", "algo.json")


def test_json_with_tabs_escapes_and_pairs() -> None:
    text = '{\n\t"a":\t[1,\t{"b": "\\u00e9\\ud83d\\ude00\\n\\/"}],\r\n\t"c": 010e1}'.replace("010e1", "10e-1")
    assert read(text) == json.loads(text)


def test_command_with_overrides_in_the_first_line_is_yaml() -> None:
    """`name: words={` is neither a Python dict with a type nor anything else but text."""
    text = "command: python train.py optimizer.lr={lr} model.width={width}\nobjective: minimize loss\n"
    assert read_document(text, "algo.yaml").data["command"].endswith("lr={lr} model.width={width}")
    assert read_document("hpo: dict[str, Any] = {'command': 'x'}\n", "algo").data == {"command": "x"}


def test_flow_mapping_that_is_no_json_is_yaml() -> None:
    assert read("{a: 1, b: [x]}") == {"a": 1, "b": ["x"]}
    assert "not valid JSON" in refusal("{a: 1}", "algo.json")


@given(st.dictionaries(st.text(max_size=5), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8),
    max_size=4), st.sampled_from([None, 1, "\t"]))  # fmt: skip
@settings(max_examples=some(60))
def test_json_reads_as_json_reads_it(data: dict[str, Any], indent: int | str | None) -> None:
    text = json.dumps(data, indent=indent)
    if "\\u0000" not in text:
        assert read(text, "a.json") == json.loads(text)


# -- lines ------------------------------------------------------------------------------------------------------------

TEXT = """\
name: x
space:
  lr: {float: [0, 1],
       log: true}
  a.b:
    choice:
      - 1
      - 2
list:
  - name: p
    kind: q
  - name: r
"""
LINES = {
    "": 1, "name": 1, "space": 2, "space.lr": 3, "space.lr.float": 3, "space.lr.float[1]": 3, "space.lr.log": 4,
    "space.a.b": 5, "space.a.b.choice": 6, "space.a.b.choice[1]": 8, "list": 9, "list[0]": 10, "list[0].kind": 11,
    "list[1].name": 12, "list[7].name": 9, "list[1].none": 12, "nowhere.at.all": 1, "space.lr.low": 3,
}  # fmt: skip


@pytest.mark.parametrize("path", LINES)
def test_line_of_a_field_or_of_its_parent(path: str) -> None:
    assert read_document(TEXT, "x").line(path) == LINES[path]


def test_lines_of_json_and_yaml_agree() -> None:
    text = json.dumps(read(TEXT), indent=1)
    as_json = read_document(text, "x.json")
    as_yaml = Document(*_yaml(text))
    assert as_json.data == as_yaml.data
    for path in LINES:
        assert as_json.line(path) == as_yaml.line(path), path


def _yaml(text: str) -> tuple[Any, str, Any]:
    data, marks = yamltext.read_yaml(text, "x")
    return data, "x", marks


def test_paths() -> None:
    assert join(join(join("", "a"), 3), "b") == "a[3].b"


# -- files ------------------------------------------------------------------------------------------------------------


def test_bytes_that_are_no_utf8_name_the_line() -> None:
    with pytest.raises(SpecError, match=r"^a.yaml:2: byte 0xe9 is not UTF-8 text"):
        decode(b"a: 1\nb: \xe9\n", "a.yaml")
    with pytest.raises(SpecError, match=r"^a.yaml:1: is UTF-16 text; save it as UTF-8"):
        decode("a: 1".encode("utf-16"), "a.yaml")


def test_files_that_are_none(tmp_path: Any) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "algo.yaml").write_text("a: 1")
    (tmp_path / "big.yaml").write_bytes(b"")
    os.truncate(tmp_path / "big.yaml", 10 << 40)
    os.mkfifo(tmp_path / "pipe")
    for name, message in {
        "none.yaml": "no such file",
        "study": f"is a folder; name the study file: {folder}/algo.yaml",
        "pipe": "is not a regular file",
        "big.yaml": "is larger than 1 MB",
        "a\0b": "cannot be read",
        "x" * 300: "cannot be read",
    }.items():
        begin = time.process_time()
        with pytest.raises(SpecError) as error:
            read_text(f"{tmp_path}/{name}")
        assert message in str(error.value)
        assert time.process_time() - begin < 60  # what grows out of hand takes minutes
    assert read_text(f"{folder}/algo.yaml") == "a: 1"


# -- writing ----------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.sampled_from(
    [*YAML_1_2, "yes", "1e-4", "- a", "a: b", "#", "{", "'", '"', " a", "a ", "a\nb", "\u2028", "\x85", "\x07", "%a",
     "=", "2020-01-01 10:00:00", "x" * 200, "a " * 100]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=4))
@settings(max_examples=some(60))
def test_what_is_written_reads_back(data: dict[str, Any]) -> None:
    found = read(dump(data)) if data else {}
    assert repr(found) == repr(data)  # repr: 1, 1.0 and true differ


def test_writing_keeps_parameters_on_a_line() -> None:
    space = {f"lr{i}": {"float": [0.0001, 0.1], "log": True} for i in range(5)}
    text = dump({"space": space, "name": "no", "when": "2020-01-01"})
    assert "  lr3: {float: [0.0001, 0.1], log: true}\n" in text
    assert yaml.safe_load(text)["name"] == "no", "a reader of YAML 1.1 would see false"
    assert yaml.safe_load(text)["when"] == "2020-01-01"


# -- anything ---------------------------------------------------------------------------------------------------------


@given(st.text(st.sampled_from("abc:-[]{}&*!#|>'\"%@`,? \n\t\\0123.eE~<\0\x07\ufeff\ud800é"), max_size=40) | st.text())
@settings(max_examples=some(120))
def test_any_text_is_read_or_refused(text: str) -> None:
    for file in ("a.yaml", "a.json"):
        try:
            read_document(text, file)
        except SpecError as error:
            assert "\n" not in str(error)


@given(st.binary(max_size=40))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    try:
        decode(data, "a")
    except SpecError as error:
        assert "\n" not in str(error)
