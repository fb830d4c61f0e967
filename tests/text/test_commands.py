"""Commands in messages, for studies at a server."""

from __future__ import annotations

import click
import pytest

from hpo_engine.cli import cli
from hpo_engine.text import commands


@pytest.fixture
def at_server() -> None:
    commands.name_server("https://gpu1:8642")


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("to continue: hpo-engine resume two", "to continue: hpo-engine resume two@"),
        ("hpo-engine remove a.b, then", "hpo-engine remove a.b@, then"),
        ("see hpo-engine show two.", "see hpo-engine show two@."),
        ("hpo-engine logs 'my study' 3", "hpo-engine logs 'my study'@ 3"),
        ("first: hpo-engine edit two --set trials=15", "first: hpo-engine edit two@ --set trials=15"),
        ("hpo-engine watch x; hpo-engine stop x", "hpo-engine watch x@; hpo-engine stop x@"),
        ("hpo-engine watch two --server https://b", "hpo-engine watch two --server https://b"),
        ("hpo-engine login https://gpu1:8642", "hpo-engine login https://gpu1:8642"),
        ("hpo-engine tensorboard two", "hpo-engine tensorboard two"),
    ],
)
def test_the_server_is_named_behind_the_study(at_server: None, text: str, completed: str) -> None:
    assert commands.advised(text) == completed.replace("@", " --server https://gpu1:8642")


def test_without_a_server_texts_stay_as_they_are() -> None:
    commands.name_server("")
    assert commands.advised("hpo-engine resume two") == "hpo-engine resume two"


def test_the_verbs_are_those_that_take_a_server() -> None:
    context = click.Context(cli)
    verbs = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    takes = {name for name, verb in verbs.items() if verb and any(p.name == "server" for p in verb.params)}
    assert takes - {"list"} == set(commands.AT_SERVERS)
