"""Placeholders in commands: what each becomes, what is refused, and that no value can be more than it is."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.placeholders import Form, PlaceholderError, Template, as_word, literal
from tests.support.examples import some

KNOWN = ("lr", "batch_size", "momentum", "amp", "layers", "model.learning_rate", "optimizer")
VALUES: dict[str, Any] = {
    "lr": 1e-4,
    "batch_size": 32,
    "momentum": 0.9,
    "amp": True,
    "layers": [64, 32],
    "model.learning_rate": 0.01,
    "optimizer": "adam",
    "trial": 7,
}


def filled(command: str, values: dict[str, Any] = VALUES, spellings: dict[str, str] | None = None) -> list[str]:
    template = Template.parse(shlex.split(command), KNOWN)
    rest = [name for name in KNOWN if name not in template.placed]
    return list(template.fill(values, rest, spellings))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train --lr {lr} --batch-size={batch_size}", ["train", "--lr", "0.0001", "--batch-size=32"]),
        ("train run-{trial}-{lr}.txt", ["train", "run-7-0.0001.txt"]),
        ("train {model.learning_rate}", ["train", "0.01"]),
        ("train {amp?--amp}", ["train", "--amp"]),
        ("train {amp?--amp:--no-amp}", ["train", "--amp"]),
        ("train --amp={amp?1:0}", ["train", "--amp=1"]),
        ("train {layers}", ["train", "[64, 32]"]),
        ("train {layers...}", ["train", "64", "32"]),
        ("train {lr...}", ["train", "0.0001"]),
        ("train {{lr}} '{{' '}' {}", ["train", "{lr}", "{{", "}", "{}"]),
        ("train '${HOME}' '${lr' $x ${lr}", ["train", "${HOME}", "${lr", "$x", "${lr}"]),
        (
            "train '{\"a\": {\"b\": 1}}' {1..3} {a,b} '{print $1}'",
            ["train", '{"a": {"b": 1}}', "{1..3}", "{a,b}", "{print $1}"],
        ),
        ("train 'optimizer={lr: {lr}}'", ["train", "optimizer={lr: 0.0001}"]),
        ("sh -c 'echo {lr} $0' {lr}", ["sh", "-c", "echo {lr} $0", "0.0001"]),
        ("env X=1 bash -o pipefail -ec '{lr}' {lr}", ["env", "X=1", "bash", "-o", "pipefail", "-ec", "{lr}", "0.0001"]),
        ("python -W ignore -c '{lr}'", ["python", "-W", "ignore", "-c", "{lr}"]),
        ("python train.py -c {lr}", ["python", "train.py", "-c", "0.0001"]),
        ("python -m train -e {lr} -c {lr}", ["python", "-m", "train", "-e", "0.0001", "-c", "0.0001"]),
        ("sh -c 'exec \"$@\"' sh --lr {lr}", ["sh", "-c", 'exec "$@"', "sh", "--lr", "0.0001"]),
        ("flock file python train.py -c {lr}", ["flock", "file", "python", "train.py", "-c", "0.0001"]),
        ("python -Wonce train.py -c {lr}", ["python", "-Wonce", "train.py", "-c", "0.0001"]),
        ("python -mcProfile train.py -c {lr}", ["python", "-mcProfile", "train.py", "-c", "0.0001"]),
        ("bash --norc train.sh -c {lr}", ["bash", "--norc", "train.sh", "-c", "0.0001"]),
        ("perl train.pl -e {lr}", ["perl", "train.pl", "-e", "0.0001"]),
        ("train ''", ["train", ""]),
    ],
)
def test_what_a_placeholder_becomes(command: str, words: list[str]) -> None:
    assert filled(command) == words


@pytest.mark.parametrize(
    "command",
    [
        "sh -ce TEXT",
        "bash -ceu TEXT",
        "bash -c -- TEXT",
        "bash -c -x TEXT",
        "bash +o posix -c TEXT",
        "bash -oc pipefail TEXT",
        "bash --rcfile file -c TEXT",
        "tcsh -c TEXT",
        "fish --command=TEXT",
        "{optimizer} -c TEXT",
        "python -cTEXT",
        "python -Ic TEXT",
        "/opt/bin/python3.12 --check-hash-based-pycs always -c TEXT",
        "perl -lane TEXT",
        "perl -E TEXT",
        "Rscript -e 1 -e TEXT",
        "node -r module -e TEXT",
        "node -p TEXT",
        "julia -t 4 --eval=TEXT",
        "php -r TEXT",
        "env -S TEXT",
        "env X=1 timeout 5 sh -ce TEXT",
        "su - user -c TEXT",
        "flock file -c TEXT",
    ],
)
def test_no_value_becomes_part_of_a_program(command: str) -> None:
    """Read by the shell or interpreter as code: `sh -ce`, `bash -c --` and `env -S` were not known as such."""
    words = filled(command.replace("TEXT", "'x {lr} {params:name=value}'"), without(optimizer="sh"))
    assert any("{lr}" in word for word in words)
    assert not any("0.0001" in word for word in words)


def without(*names: str, **others: Any) -> dict[str, Any]:
    return {**{name: value for name, value in VALUES.items() if name not in names}, **others}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train --momentum {momentum} --lr {lr}", ["train", "--lr", "0.0001"]),
        ("train --momentum={momentum} --lr {lr}", ["train", "--lr", "0.0001"]),
        ("train --fast --momentum={momentum}", ["train", "--fast"]),  # an option by itself
        ("train file {momentum}", ["train", "file"]),
        ("train -1 {momentum}", ["train", "-1"]),  # a number
        ("train -- {momentum}", ["train", "--"]),
        ("train --lr={lr} {momentum}", ["train", "--lr=0.0001"]),  # has its value
        ("train -m {momentum}", ["train"]),
        ("train --span {momentum}-{lr}", ["train"]),
        ("train --layers {momentum...}", ["train"]),
        ("train --mode {momentum?a:b}", ["train"]),
        ("train --opts m={momentum} lr={lr}", ["train", "--opts", "lr=0.0001"]),  # takes several words, as in OpenMMLab
        ("train --opts {momentum?m=1} x=1 --fast", ["train", "--opts", "x=1", "--fast"]),
        ("train --opts lr={lr} m={momentum}", ["train", "--opts", "lr=0.0001"]),
        ("train --opts m={momentum} n={momentum} file", ["train", "file"]),
        (
            "train --opts m={momentum} {params:+name=value} {lr}{layers}{amp}{batch_size}{optimizer}",
            ["train", "--opts", "+model.learning_rate=0.01", "0.0001[64, 32]true32adam"],
        ),
        ("train --set m={momentum} --set lr={lr}", ["train", "--set", "lr=0.0001"]),
    ],
)
def test_a_parameter_that_does_not_apply_takes_its_word_and_its_option_away(command: str, words: list[str]) -> None:
    assert filled(command, without("momentum")) == words


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train --fast {amp?--amp}", ["train", "--fast"]),
        ("train {amp?--amp:--no-amp}", ["train", "--no-amp"]),
        ("train --mode {amp?amp}", ["train"]),
        ("train --mode={amp?amp}", ["train", "--mode="]),
    ],
)
def test_false(command: str, words: list[str]) -> None:
    assert filled(command, without(amp=False)) == words


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ("train {params}", ["--lr", "0.0001", "--batch_size", "32"]),
        ("train {params:-}", ["--lr", "0.0001", "--batch-size", "32"]),
        ("train {params:--name=value}", ["--lr=0.0001", "--batch_size=32"]),
        ("train {params:--name=value,-}", ["--lr=0.0001", "--batch-size=32"]),
        ("train '{params:--name value,-}'", ["--lr", "0.0001", "--batch-size", "32"]),
        ("train {params:name=value}", ["lr=0.0001", "batch_size=32"]),
        ("train {params:++name=value}", ["++lr=0.0001", "++batch_size=32"]),
        ("train {params:/name:value}", ["/lr:0.0001", "/batch_size:32"]),
    ],
)
def test_all_parameters_at_once(command: str, start: list[str]) -> None:
    assert filled(command)[1 : 1 + len(start)] == start


def test_all_parameters_are_those_that_apply_and_are_not_placed_otherwise() -> None:
    words = filled("train -l {lr} {params:--name=value}", without("momentum", "layers"))
    assert words == [
        "train", "-l", "0.0001", "--batch_size=32", "--amp=true", "--model.learning_rate=0.01", "--optimizer=adam",
    ]  # fmt: skip


def test_a_parameter_s_own_spelling() -> None:
    words = filled("train {params}", without("layers", "amp", "momentum"), {"lr": "-l", "batch_size": "optim.bs="})
    assert words == ["train", "-l", "0.0001", "optim.bs=32", "--model.learning_rate", "0.01", "--optimizer", "adam"]


def test_a_value_that_begins_with_a_dash_is_joined_with_its_option() -> None:
    assert "--lr=-1e-05" in filled("train {params}", without(lr=-1e-5))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("{lrr}", '{lrr} names no parameter; did you mean "lr"?'),
        ("{parms}", 'did you mean "params"?'),
        ("{momentun?a:b}", 'did you mean "momentum"?'),
        ("{layer...}", 'did you mean "layers"?'),
        ("--x={params}", "must be a word by itself"),
        ("{layers...}.txt", "must be a word by itself"),
        ("{params:--lr}", "{params:--lr} must be {params:--name=value}"),
        ("{HOME}", "({{HOME}} is that text)"),
        ("{layers...?a}", "names no parameter"),
    ],
)
def test_what_cannot_be_filled_is_refused(word: str, said: str) -> None:
    with pytest.raises(PlaceholderError) as raised:
        Template.parse(["train", word], KNOWN)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_parameter_hides_what_has_its_name_otherwise() -> None:
    assert Template.parse(["{seed}", "{params}"], ["seed", "params"]).fill({"seed": 1, "params": 2}) == ("1", "2")


@given(st.lists(st.text(), min_size=1))
@settings(max_examples=some(300))
def test_literal_text_stays(words: list[str]) -> None:
    assert Template.parse([literal(word) for word in words], KNOWN).fill({}) == tuple(words)


PIECES = st.sampled_from(
    ["{lr}", "{layers...}", "{params}", "{amp?--a:--b}", "{amp?x}", "{{", "}}", "${", "{", "}", "--x", " ", "=", "{trial}",
     "{params:name=value}", "{a?b?c:d}", "{...}", "{?}", "{params:}", "{params:,-}"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.lists(PIECES | st.text(max_size=5), max_size=4).map("".join), min_size=1, max_size=5), st.data())
@settings(max_examples=some(500))
def test_any_command_is_refused_in_one_line_or_filled_with_whole_words(words: list[str], data: st.DataObject) -> None:
    try:
        template = Template.parse(words, KNOWN)
    except PlaceholderError as error:
        assert str(error) and "\n" not in str(error)
        return
    values = data.draw(st.fixed_dictionaries({"trial": st.integers(0)}, optional=dict.fromkeys(KNOWN, JSON)))
    out = template.fill(values, [name for name in KNOWN if name not in template.placed])
    assert all(isinstance(word, str) for word in out)
    for word in words:
        if word in ("{lr}", "{trial}") and word[1:-1] in values:
            assert as_word(values[word[1:-1]]) in out


@given(JSON)
def test_a_value_is_one_word_from_which_it_can_be_read_again(value: Any) -> None:
    (word,) = Template.parse(["{lr}"], KNOWN).fill({"lr": value})
    assert word == value if isinstance(value, str) else json.loads(word) == value


@pytest.mark.parametrize(
    "text", ["", "--name", "value", "name", "--name==value", "name value extra", "{name}=value", ","]
)
def test_forms_that_are_none(text: str) -> None:
    with pytest.raises(PlaceholderError):
        Form.parse(text)
