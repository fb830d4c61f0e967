"""What is hidden of a command line and of a URL, and what is not."""

from __future__ import annotations

import pytest

from hpo_engine.text.secrets import is_secret_name, without_secrets, words_without_secrets


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("--api-key abc --lr 0.1", "--api-key *** --lr 0.1"),
        ("--wandb_api_key=abc train", "--wandb_api_key=*** train"),
        ("env HF_TOKEN=abc python train.py", "env HF_TOKEN=*** python train.py"),
        ("--password --lr 1", "--password --lr 1"),
        ("-password -1secret", "-password ***"),
        ("db.password=abc dbPassword:abc", "db.password=*** dbPassword:***"),
        ("--token {token} --auth={auth}", "--token {token} --auth={auth}"),
        ("--tokenizer bert --max-tokens 100 --key lr --monkey 1", "--tokenizer bert --max-tokens 100 --key lr --monkey 1"),
        ("--uri postgres://me:pw@host/db", "--uri postgres://***@host/db"),
        ("--url=https://h/x?token=abc&page=2", "--url=https://h/x?token=***&page=2"),
        ("curl ghp_0123456789abcdefghij hf_0123456789abcdefghij", "curl *** ***"),
    ],
)  # fmt: skip
def test_secrets_in_command_lines_are_hidden_and_nothing_else(words: str, shown: str) -> None:
    assert " ".join(words_without_secrets(words.split())) == shown


def test_header_in_one_word_is_hidden() -> None:
    assert words_without_secrets(["-H", "Authorization: Bearer abcdefghijkl"])[1] == "Authorization:***"
    assert without_secrets("sent Bearer abcdefghijkl to https://a:b@c.d/e") == "sent Bearer *** to https://***@c.d/e"
    assert without_secrets("git@github.com:me/repo.git and ssh://git@host/x") == (
        "git@github.com:me/repo.git and ssh://***@host/x"
    )


def test_names_of_secrets() -> None:
    secret = ["token", "HF_TOKEN", "apiKey", "AWS_SECRET_ACCESS_KEY", "--client-secret", "AUTH", "GH_PAT", "apikey"]
    plain = ["tokenizer", "n_tokens", "key", "turkey", "passes", "pattern", "author", "", "--", "path", "secretary"]
    assert [name for name in secret if not is_secret_name(name)] == []
    assert [name for name in plain if is_secret_name(name)] == []
