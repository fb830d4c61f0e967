"""Reading Python dicts as study files: what notebooks hold is read as Python would, code is refused, nothing is run."""

from __future__ import annotations

import ast
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.studyfile.document import pythontext, read_document
from tests.support.examples import some

FILES = ("algo.json", "algo.py", "algo.txt", "algo.yaml", "algo")

NOTEBOOK = """\
# what the notebook sends
hpo_input = {
    'modelSpec': {
        'args': '--exec-start PyTorch \\
                 --model-main train.py ' + "--numWorker 1",  # two pieces
    },
    "algoDef": {'maxJobNum': -1, 'objectiveMetric': 'loss', 'additionalMetrics': None, "eta": 1e-1},
    'hyperParams': (
        {'name': 'lr', 'userDefined': False, 'discreteDbVal': [], 'step': (.5)},
        {'name': ('it'  # joined over lines
                  "'s"), 'userDefined': True,},
    ),
}
"""


def read(text: str, file: str = "algo.txt") -> Any:
    return read_document(text, file).data


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("head", ["hpo_input = {", "hpo_input: dict = {", "data = hpo_input = {", "data = \\\n{", "{"])
def test_a_notebooks_dict_is_read_whatever_the_file_is_called(file: str, head: str) -> None:
    text = NOTEBOOK.replace("hpo_input = {", head)
    found = read_document(text, file)
    assert found.data == json.loads(
        json.dumps(ast.literal_eval(NOTEBOOK.partition("=")[2].strip().replace("' + ", "' ")))
    )
    line = text.split("\n").index("    'hyperParams': (") + 1
    assert (found.line("hyperParams"), found.line("hyperParams[1].userDefined")) == (line, line + 3)


def test_imports_before_the_dict_are_passed_over() -> None:
    text = "# a cell\nimport json, os.path\nfrom a.b import c as d\n\ndata = {\n 'a': 1}\n"
    for file in FILES:
        found = read_document(text, file)
        assert (found.data, found.line("a")) == ({"a": 1}, 6)
    assert read("from x: 1", "algo.yaml") == {"from x": 1}
    assert read("import x: 1\nb: 2", "algo.yaml") == {"import x": 1, "b": 2}


LIKE_PYTHON = [
    "{'a': ''}", "{'a': ''''''}", "{'a': '''x'''}", '{"a": "" \'b\'}', "{'a': r'\\''}", "{'a': R'''\n'''}",
    "{'a': 'it\\'s'}", "{'a': u'x'}", '{\'a\': """a"b""" "c"}', "{'a': '\\x41\\\nb'}", "{'a': '\\d'}",
    "{'a': -1, 'b': +2, 'c': - 3.5, 'd': 1., 'e': .5, 'f': 1e5, 'g': (), 'h': 1_000, 'i': 0x10}",
    "{'a': ((1, 2), (3,), (4), [(5)], {})}", "{'a': True, 'b': False, 'c': None}", '{"a": [1, 2,],}', "{}", "{ }",
    "{'a': 12345678901234567890, 'b': 0.1, 'c': 1e-320}", "{'\u00e9\U0001f600': '\u00fc'}", "{'a': 'x' # c\n 'y'}",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of the escape that Python does not know
@pytest.mark.parametrize("text", LIKE_PYTHON)
@pytest.mark.parametrize("file", ["a.py", "a.json", "a"])
def test_python_is_read_as_python_reads_it(text: str, file: str) -> None:
    wanted = json.dumps(ast.literal_eval(text))
    assert json.dumps(read(text, file)) == wanted, "types, too"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
@settings(max_examples=some(50))
def test_what_repr_writes_is_read_back(data: dict[str, Any]) -> None:
    text = repr(data)
    if "\\x00" not in text and "\\ud" not in text:
        assert read(text) == data


REFUSED = {
    "a variable": ("{'a': 1,\n 'b': args}", 'x:2: not a Python dict: "args" is a variable; write its value out'),
    "a call": ("{'a': dict(b=1)}", '"dict" is a call; write its value out'),
    "an import after it": ("data = {'a': 1}\nimport json", "x:2: not a Python dict: more follows"),
    "more after it": ("data = {'a': 1}\nprint(data)", "x:2: not a Python dict: more follows after the first value"),
    "a change after it": ("data = {'a': 1}\ndata['a'] = 2", "x:2: not a Python dict: more follows"),
    "two dicts": ("{'a': 1}\n{'b': 2}", "x:2: not a Python dict: more follows"),
    "an f-string": ("{'a':\n f'x{1}'}", "x:2: not a Python dict: an f-string is code; write the text out"),
    "bytes": ("{'a': b'x'}", "bytes are not text"),
    "arithmetic": ("{'a': 2 * 3}", '"*" is not expected here'),
    "a comprehension": ("{'a': [i for i in x]}", '"i" is a variable'),
    "a set": ("{'a', 'b'}", 'a ":" is missing after the key "a"'),
    "a number for a key": ("{'x': {1: 2}}", "a key must be text in quotes"),
    "the same key twice": ("{'a': 1,\n 'a': 2}", 'x:2: duplicate key "a"; it is also in line 1'),
    "JSON's word": ("{'a': true}", "true is JSON's word; Python's is True"),
    "no comma": ("{'a': 1\n 'b': 2}", 'x:2: not a Python dict: a "," or "}" is missing before'),
    "no value": ("{'a': }", '"}" is not expected here'),
    "an open quote": ("{'a': 1,\n 'b': 'x}", "x:2: not a Python dict: a quote that opens here is not closed"),
    "an open bracket": ("{'a': [1,\n 2", 'the "[" of line 1 is not closed'),
    "an open dict": ("{'a': 1,\n", "it ends where a value is expected"),
    "octal of old": ("{'a': 012}", '"012" is not a number'),
    "imaginary": ("{'a': 1j}", '"1j" is not a number'),
    "too large a number": ("{'a': 1e999}", "1e999 is too large for a number"),
    "digits": ("{'a': " + "9" * 5000 + "}", "a number of 5000 digits"),
    "a NUL": ("{'a': '\\x00'}", "contains a NUL"),
    "half a surrogate": ("{'a': '\\ud800'}", "contains half of a surrogate pair"),
    "a bad escape": ("{'a': '\\N{no such thing}'}", "has an escape that cannot be read"),
    "deep": ("{'a': " + "[" * 5000, "nested deeper than 20 levels"),
    "deep dicts": ("{'a':" * 200_000, "nested deeper than 20 levels"),
    "signs": ("{'a': " + "-" * 100_000 + "}", '"}" is not expected here'),
    "pieces": ("{'a': " + "'x'+" * 20_000, "it ends where a value is expected"),
    "a megabyte of pieces": ("{'a': " + "'x'+" * 200_000, "it ends where a value is expected"),
    "values": ("{'a': [" + "0," * 450_000 + "0]}", "contains more than"),
    "quotes": ("{'a': " + "'" * 1_000_000, "a quote that opens here is not closed"),
    "backslashes": ("{'a': '" + "\\\\" * 500_000, "a quote that opens here is not closed"),
}


COSTLY = ("values", "a megabyte of pieces")


@pytest.mark.by_default("signs", "pieces")
@pytest.mark.parametrize("what", [pytest.param(w, marks=[pytest.mark.slow] * (w in COSTLY)) for w in REFUSED])
def test_refusal(what: str) -> None:
    text, message = REFUSED[what]
    begin = time.process_time()
    with pytest.raises(SpecError) as error:
        read(text, "x")
    assert time.process_time() - begin < 60
    assert message in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 300


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As "values", with a limit that is reached sooner."""
    monkeypatch.setattr(pythontext, "MAX_VALUES", 2_000)
    with pytest.raises(SpecError, match=REFUSED["values"][1]):
        read("{'a': [" + "0," * 4_500 + "0]}", "x")


def test_nothing_is_run() -> None:
    for text in (
        "import json; json.x()\ndata = {'a': 1}",
        "{'a': __import__('os').abort()}",
        "data = {'a': [].append(1)}",
        "{**x}",
        "{'a': lambda: 1}",
    ):
        with pytest.raises(SpecError):
            read(text, "a.py")


JSON_OR_PYTHON = {
    "a slip in JSON": ('{"a": true "b": 1}', "algo.json", "not valid JSON"),
    "a slip in Python": ("{\"a\": True, 'b' 1}", "algo.json", "not a Python dict"),
    "single quotes": ("{'a': 1 'b': 2}", "algo.json", "not a Python dict"),
    "JSON in a file of Python": ('{"a": true,}', "algo.py", "not a Python dict: true is JSON's word"),
    "continued text": ('{"a": "x \\\n y", "b": z}', "algo.json", 'algo.json:2: not a Python dict: "z" is a variable'),
}


@pytest.mark.parametrize("what", JSON_OR_PYTHON)
def test_the_refusal_is_in_the_language_that_was_written(what: str) -> None:
    text, file, message = JSON_OR_PYTHON[what]
    with pytest.raises(SpecError) as error:
        read(text, file)
    assert message in str(error.value)


def test_json_and_yaml_stay_what_they_are() -> None:
    assert read('{"a": null, "b": true}', "algo.py") == {"a": None, "b": True}
    assert read("{a: [x, None]}", "algo.yaml") == {"a": ["x", "None"]}
    assert read("{'a': [x, None]}", "algo.yaml") == {"a": ["x", "None"]}
    assert read("a = b: 1", "algo.yaml") == {"a = b": 1}
    assert read("a: {'b': None}", "algo.yaml") == {"a": {"b": "None"}}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("train.py", "import torch\n\nprint(torch.ones(3))\n"),
        ("train.py", "config = {'lr': 0.1}\nfor epoch in range(3):\n    print(epoch)\n"),
        ("run.sh", "set -e\npython train.py\n"),
        ("run", "#!/bin/sh\npython train.py\n"),
        ("train.js", "const fs = require('fs');\n"),
    ],
)
def test_a_script_in_place_of_a_study_file_is_recognised(file: str, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_document(text, file)
    told = f"{file}: looks like a script, not like a study file; hpo-engine init {file} writes one for it"
    assert str(caught.value) == told


def test_a_request_with_code_after_it_is_no_script() -> None:
    with pytest.raises(SpecError, match="more follows after the first value"):
        read_document("import requests\ndata = {'algoDef': {}}\nfor x in data:\n    pass\n", "algo.py")
