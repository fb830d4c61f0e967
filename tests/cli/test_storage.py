"""What the disk does to a study: damage in the log, a full disk, an output that takes nothing."""

from __future__ import annotations

import re
import sqlite3

import pytest

from tests.cli.test_cli import Shell, shell

__all__ = ["shell"]


@pytest.fixture
def done(shell: Shell) -> Shell:
    """With a study that has finished."""
    shell.run("submit", "algo.yaml", "--trials", "2", "--quiet")
    return shell


# -- the log -----------------------------------------------------------------------------------------------------------


def test_changed_digit_is_refused_by_every_verb_that_reads_the_log_and_cutting_it_goes_on(done: Shell) -> None:
    path = done.folder / "hpo-runs" / "my-study" / "study.db"
    db = sqlite3.connect(path, isolation_level=None)
    (number, body) = db.execute("SELECT seq, body FROM events WHERE kind = 'trial_ended' LIMIT 1").fetchone()
    changed = re.sub(r'"value":\d', '"value":0', body).replace('"value":0.', '"value":1.')
    assert changed != body
    db.execute("UPDATE events SET body = ? WHERE seq = ?", (changed, number))
    db.close()
    verbs = (["show", "my-study"], ["show", "my-study", "0"], ["best", "my-study"], ["export", "my-study"],
             ["resume", "my-study", "--trials", "3"], ["retry", "my-study", "--failed"], ["submit", "algo.yaml"],
             ["stop", "my-study"], ["watch", "my-study"], ["logs", "my-study", "0"])  # fmt: skip
    words = f"study.db: damaged: event {number} is not what was written; the last good one is event {number - 1}"
    for args in verbs:
        done.refuses(*args, words=words, code=5)
    assert done.json("list")[0]["study"] == "my-study"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DELETE FROM events WHERE seq >= ?", (number,))
    db.close()
    done.run("submit", "algo.yaml", "--trials", "2")
    assert done.json("show", "my-study")["counts"] == {"completed": 2}
