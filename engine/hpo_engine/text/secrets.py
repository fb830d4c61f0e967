"""Secrets in texts that leave the machine or are shown: passwords in URLs, values of options such as --api-key."""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "***"
_PART = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_LAST = frozenset((
    "token", "secret", "password", "passwd", "passphrase", "pwd", "apikey", "credential", "credentials", "auth",
    "authorization", "bearer", "pat",
))  # fmt: skip
_BEFORE_KEY = frozenset(
    ("api", "access", "secret", "private", "auth", "account", "encryption", "license", "signing", "ssh")
)
_USER_INFO = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_IN_QUERY = re.compile(r"(?<=[?&])([\w.\-]+)=([^&#\s]+)")
_HEADER = re.compile(r"(?i)\b(bearer|basic|token)\s+[\w.~+/=\-]{8,}")
_KNOWN = re.compile(  # tokens that services give out: GitHub, GitLab, Hugging Face, OpenAI, AWS, Slack
    r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|sk-|AKIA|xox[abprs]-)[\w\-]{12,}"
)
_ASSIGNED = re.compile(r"(-{0,2}[A-Za-z_][\w.\-]*)([=:])(.+)", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{[^{}\s]+\}")


def is_secret_name(name: str) -> bool:
    """Whether what is called so is likely a secret: `--api-key`, `HF_TOKEN`, `db.password`; not `tokenizer`."""
    parts = [part.lower() for part in _PART.findall(name)]
    if not parts:
        return False
    return parts[-1] in _LAST or (parts[-1] == "key" and len(parts) > 1 and parts[-2] in _BEFORE_KEY)


def without_secrets(text: str) -> str:
    """The text with user names and passwords in URLs, and what looks like an access token, hidden."""
    text = _USER_INFO.sub(HIDDEN, text)
    text = _IN_QUERY.sub(lambda m: f"{m[1]}={HIDDEN}" if is_secret_name(m[1]) else m[0], text)
    return _KNOWN.sub(HIDDEN, _HEADER.sub(lambda m: f"{m[1]} {HIDDEN}", text))


def words_without_secrets(words: Sequence[str]) -> tuple[str, ...]:
    """The words of a command line with secret values hidden: `--token X`, `--token=X`, `TOKEN=X`.

    A value that is one placeholder of the engine's, such as `{token}`, says nothing and stays.
    """
    out, hide = list[str](), False
    for word in words:
        if hide and not word.startswith("--"):
            out.append(_hidden(word))
            hide = False
            continue
        found = _ASSIGNED.fullmatch(word)
        if found is not None and is_secret_name(found[1]):
            out.append(f"{found[1]}{found[2]}{_hidden(found[3])}")
        else:
            out.append(without_secrets(word))
        hide = word.startswith("-") and found is None and is_secret_name(word)
    return tuple(out)


def _hidden(value: str) -> str:
    return value if _PLACEHOLDER.fullmatch(value) else HIDDEN
