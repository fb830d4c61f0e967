"""Words of a command line, held against the system's own shell."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hpo_engine.studyfile.native.values import argv
from hpo_engine.studyfile.shellwords import split
from tests.support.examples import some

TABLE = [
    "python train.py --lr 0.1",
    "  blanks\t around  ",
    r'"a\$b" "a\`b" "a\"b" "a\\b"',  # in double quotes the backslash goes before these ...
    r'"a\nb" "\d+" "a\ b" "\x"',  # ... and before no others
    '"a\\\nb"',
    "a\\\nb",
    "a \\\n b",
    "\\\na",
    "'a\\\nb' '\\' '\\$'",
    r"\$x \` \" \' \\ \a \ b \#c",
    "a#b 'c' #d e",
    "# all of it",
    "a #b\n",
    "'#a' \"#b\" \\#c x#",
    "'' \"\" x''y",
    "a'b'\"c\"d",
    "'a\nb' \"c\nd\"",
    "--name='two words' --empty=\"\"",
    "größe 'ü\u00a0x' a\u00a0b",
    "carriage\rreturn form\ffeed",
    "\"'\" '\"'",
    '"a"#b',
]


def by_the_shell(text: str) -> list[str]:
    """What `sh` makes of the text as arguments of printf."""
    script = 'eval "set -- $1\n" && for word do printf "%s\\0" "$word"; done'
    done = subprocess.run(["sh", "-c", script, "sh", text], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("text", TABLE)
def test_words_are_those_of_the_shell(text: str) -> None:
    assert split(text) == by_the_shell(text)


@settings(max_examples=some(60), deadline=None)
@given(st.lists(st.sampled_from(["a", "b c", "'", '"', "\\", " ", "#", '\\"', "é", "="])).map("".join))
def test_words_of_any_text_are_those_of_the_shell(text: str) -> None:
    try:
        words = split(text)
    except ValueError:
        assume(not text.endswith("\\"))  # a lone backslash at the end: shells differ
        done = subprocess.run(["sh", "-nc", f"set -- {text}\n"], capture_output=True)
        assert done.returncode != 0
        return
    assert words == by_the_shell(text)


def test_what_only_a_running_shell_would_do_is_not_done() -> None:
    assert split("echo $HOME `id` $(id) ~ *.py {a,b} a>b c|d e&&f g;h $'x'") == [
        "echo", "$HOME", "`id`", "$(id)", "~", "*.py", "{a,b}", "a>b", "c|d", "e&&f", "g;h", "$x",
    ]  # fmt: skip


def test_line_breaks_separate_words() -> None:
    assert split("python train.py\n  --lr 0.1\n") == ["python", "train.py", "--lr", "0.1"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("python 'train.py", "a quote is not closed (the ' at character 8)"),
        ('python "a\\"', 'a quote is not closed (the " at character 8)'),
        ("python a'b'c'", "a quote is not closed (the ' at character 13)"),
        ("python \\\n  x 'a", "a quote is not closed (the ' at line 2, character 5)"),
        ("python x\\", "a backslash stands at the end (character 9)"),
        ('python "x\\', 'a quote is not closed (the " at character 8)'),
    ],
)
def test_what_cannot_be_split_is_told_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        argv(text)
    assert str(caught.value) == f"cannot be split into words: {problem}"
