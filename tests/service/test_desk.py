"""The desk with real engines: what is taken in, in which order it runs, who sees what, and how it is ended."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import SpecError, StudyExists, StudyLocked, StudyNotFound
from hpo_engine.service.desk import Desk
from hpo_engine.service.records.submissions import Content, Phase, Submissions
from hpo_engine.store.lock import who_leads
from tests.support import command
from tests.support.desks import ADA, BOB, ROOT, SCRIPT, await_state, begun, request, script
from tests.support.disks import no_room
from tests.support.helpers import wait_until


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def desk(root: Path) -> Iterator[Desk]:
    """One that runs two studies at a time, with a ledger of its own: no other test's trials keep it waiting."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HPO_ENGINE_LEDGER", str(root / ".ledger"))
        desk = Desk(str(root), studies=2)
    desk.open()
    yield desk
    desk.close()


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Path]:
    """While it is there, trials do not end."""
    path = tmp_path / "hold"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


def test_a_study_is_durable_before_it_is_answered_and_runs_to_its_end(desk: Desk, root: Path, tmp_path: Path) -> None:
    view = desk.submit(ADA, request(), script(tmp_path))
    assert view.owner == "ada" and view.name.startswith("ada-hpo-") and view.state in ("queued", "running")
    with closing(sqlite3.connect(root / ".service" / "service.db")) as db:
        assert db.execute("SELECT owner FROM submissions WHERE name = ?", (view.name,)).fetchone() == ("ada",)
    done = await_state(desk, view.name, "finished")
    assert done.history is not None and done.history.best is not None and len(done.history.trials) == 2
    assert done.created == view.created == done.history.opened_at, "it begins when it was taken in"
    assert done.spec is not None and done.spec.model_dir == f"{root}/{view.name}/model"
    assert sorted(begun(root, view.name)) == ["0", "1"] and done.elsewhere == "" == done.problem
    assert desk.view(ADA, view.name).version == done.version, "nothing has changed since"


def test_names_are_one_namespace_with_the_folders_of_the_root(desk: Desk, root: Path, tmp_path: Path) -> None:
    (root / "taken").mkdir()
    with pytest.raises(StudyExists, match="something else with the name taken"):
        desk.submit(ADA, request("taken"), script(tmp_path))
    desk.submit(ADA, request("mine", trials=1), script(tmp_path))
    with pytest.raises(StudyExists, match="a study mine exists"):
        desk.submit(BOB, request("mine"), script(tmp_path))
    await_state(desk, "mine", "finished")


def test_a_request_that_is_sent_again_with_its_key_is_one_study(desk: Desk, tmp_path: Path) -> None:
    first = desk.submit(ADA, request(trials=1), script(tmp_path), key="k1")
    again = desk.submit(ADA, request(trials=1), script(tmp_path), key="k1")
    assert again.name == first.name
    with pytest.raises(StudyExists, match=f"the idempotency key was used for study {first.name}"):
        desk.submit(ADA, request(trials=2), script(tmp_path), key="k1")
    other = desk.submit(BOB, request(trials=1), script(tmp_path), key="k1")
    assert other.name != first.name, "keys of different users have nothing to do with each other"
    for view in (first, other):
        await_state(desk, view.name, "finished")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"modelSpec": {"args": "--model-main ../train.py"}}, "outside"),
        ({"hyperParams": []}, "the parameters to search"),
        ({"modelSpec": {"args": "--model-main " + "x" * 300}}, "cannot be called"),
    ],
)
def test_what_is_wrong_is_said_before_the_answer_and_leaves_nothing(
    desk: Desk, root: Path, tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SpecError, match=problem) as refused:
        desk.submit(ADA, request("wrong", **changes), script(tmp_path))
    assert ".service" not in str(refused.value), "where an upload lies is nobody's business"
    with pytest.raises(StudyNotFound):
        desk.view(ROOT, "wrong")
    assert not (root / "wrong").exists() and not os.listdir(root / ".service" / "models")


def test_each_user_sees_their_own_and_an_admin_all(desk: Desk, tmp_path: Path) -> None:
    desk.submit(ADA, request("of-ada", trials=1), script(tmp_path))
    assert "of-ada" in {view.name for view in desk.views(ADA)} & {view.name for view in desk.views(ROOT)}
    assert "of-ada" not in {view.name for view in desk.views(BOB)}
    for act in (desk.view, desk.stop, desk.restart, desk.remove):
        with pytest.raises(StudyNotFound) as refused:
            act(BOB, "of-ada")
        assert "of-ada" not in str(refused.value).replace('no study "of-ada"', ""), "no hint that it exists"
    await_state(desk, "of-ada", "finished")


def test_more_studies_than_fit_wait_and_users_take_turns(desk: Desk, root: Path, tmp_path: Path, hold: Path) -> None:
    for number in range(3):
        desk.submit(ADA, request(f"a{number}", trials=1, hold=str(hold)), script(tmp_path))
        wait_until(partial(_runs_or_must_wait, root, number))
    desk.submit(BOB, request("b0", trials=1, hold=str(hold)), script(tmp_path))
    waiting = desk.view(ADA, "a2")
    assert (waiting.state, waiting.history, waiting.paths) == ("queued", None, None)
    assert waiting.spec is not None and waiting.spec.budget.trials == 1
    desk.stop(ADA, "a0")
    wait_until(lambda: begun(root, "b0"))
    assert desk.view(ADA, "a2").state == "queued", "bob had none"
    assert desk.stop(ADA, "a2").state == "stopped" and not (root / "a2").exists()
    hold.unlink()
    for name in ("a1", "b0"):
        await_state(desk, name, "finished")
    assert desk.restart(ADA, "a2").state in ("queued", "running")
    await_state(desk, "a2", "finished")
    assert desk.view(ADA, "a0").state == "stopped" and begun(root, "a2") == ["0"]


def _runs_or_must_wait(root: Path, number: int) -> bool:
    return number > 1 or bool(begun(root, f"a{number}"))


def test_a_finished_study_goes_on_with_new_limits(desk: Desk, root: Path, tmp_path: Path) -> None:
    desk.submit(ADA, request("longer", trials=1), script(tmp_path))
    await_state(desk, "longer", "finished")
    with pytest.raises(SpecError, match="has had 1|has 1"):
        desk.restart(ADA, "longer", {"trials": 0})
    desk.restart(ADA, "longer", {"trials": 3})
    wait_until(lambda: len(begun(root, "longer")) == 3)
    view = await_state(desk, "longer", "finished")
    assert view.history is not None and len(view.history.trials) == 3


def test_what_runs_is_removed_by_force_only(desk: Desk, root: Path, tmp_path: Path, hold: Path) -> None:
    desk.submit(ADA, request("busy", hold=str(hold)), script(tmp_path))
    wait_until(lambda: begun(root, "busy"))
    with pytest.raises(StudyLocked, match="busy runs .*stop it first"):
        desk.remove(ADA, "busy")
    with pytest.raises(StudyLocked, match="runs already"):
        desk.restart(ADA, "busy")
    desk.remove(ADA, "busy", force=True)
    assert not (root / "busy").exists()
    with pytest.raises(StudyNotFound):
        desk.view(ROOT, "busy")
    desk.submit(BOB, request("busy", trials=1), script(tmp_path))  # the name is free again
    await_state(desk, "busy", "finished")


def test_an_engine_that_is_killed_is_started_again(desk: Desk, root: Path, tmp_path: Path, hold: Path) -> None:
    desk.submit(ADA, request("killed", hold=str(hold)), script(tmp_path))
    wait_until(lambda: len(begun(root, "killed")) == 2)
    holder = who_leads(f"{root}/killed/engine.lock")
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    wait_until(lambda: (now := who_leads(f"{root}/killed/engine.lock")) is not None and now.pid != holder.pid)
    hold.unlink()
    await_state(desk, "killed", "finished")
    assert sorted(begun(root, "killed")) == ["0", "1"], "its trials went on meanwhile"


def test_studies_of_the_command_line_show_up_and_belong_to_admins(desk: Desk, root: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import json\njson.dump([{'loss': 1.0}], open('val_dict_list.json', 'w'))\n")
    (tmp_path / "hand.yaml").write_text(
        "command: python train.py\nobjective: minimize loss\nalgorithm: random\ntrials: 1\nspace: {x: {float: [0, 1]}}\n"
    )
    done = command.run("submit", "hand.yaml", "--root", str(root), "--quiet", cwd=tmp_path, env=os.environ)
    assert done.returncode == 0, done.stderr
    view = desk.view(ROOT, "hand")
    assert (view.state, view.owner, view.elsewhere) == ("finished", "", "")
    with pytest.raises(StudyNotFound):
        desk.view(ADA, "hand")
    desk.restart(ROOT, "hand", {"trials": 2})
    wait_until(lambda: (history := desk.view(ROOT, "hand").history) is not None and len(history.trials) == 2)
    await_state(desk, "hand", "finished")
    studies.remove(StudyPaths(str(root / "hand")))
    with pytest.raises(StudyNotFound):
        desk.view(ROOT, "hand")
    desk.submit(ADA, request("hand", trials=1), script(tmp_path))  # the name is free for anybody
    await_state(desk, "hand", "finished", caller=ADA)


def test_an_engine_of_somebody_else_is_shown_as_such(desk: Desk, root: Path, tmp_path: Path, hold: Path) -> None:
    desk.submit(ADA, request("lent", hold=str(hold)), script(tmp_path))
    wait_until(lambda: begun(root, "lent"))
    desk.stop(ADA, "lent")
    await_state(desk, "lent", "stopped")
    process = command.start(
        "resume", "lent", "--root", str(root), "--quiet", cwd=tmp_path, env=os.environ, stdout=command.PIPE
    )
    view = wait_until(lambda: (view := desk.view(ADA, "lent")).elsewhere and view)
    assert str(process.pid) in view.elsewhere and view.state in ("running", "stopped")
    hold.unlink()
    assert process.wait(60) == 0
    assert await_state(desk, "lent", "finished").elsewhere == ""


def test_a_name_that_the_command_line_takes_meanwhile_fails_the_submission_and_harms_neither(
    desk: Desk, root: Path, tmp_path: Path, hold: Path
) -> None:
    for name in ("one", "two"):
        desk.submit(BOB, request(name, trials=1, hold=str(hold)), script(tmp_path))
    wait_until(lambda: begun(root, "one") and begun(root, "two"))
    desk.submit(ADA, request("wanted"), script(tmp_path))
    (root / "wanted").mkdir()
    (root / "wanted" / "mine.txt").write_text("x")
    hold.unlink()
    view = await_state(desk, "wanted", "failed")
    assert "was made by somebody else" in view.problem
    desk.remove(ADA, "wanted")
    assert (root / "wanted" / "mine.txt").read_text() == "x"


def test_a_stop_without_an_engine_and_a_name_that_is_none(desk: Desk) -> None:
    for name in ("..", ".service", "a/b", "\0", "no such"):
        with pytest.raises(StudyNotFound):
            desk.view(ROOT, name)


def test_content_of_a_placed_submission_is_its_text_only(desk: Desk, root: Path, tmp_path: Path) -> None:
    view = desk.submit(ADA, request("kept", trials=1), script(tmp_path, "# " + "x" * 100_000 + "\n" + SCRIPT))
    await_state(desk, view.name, "finished")
    with closing(Submissions.at(f"{root}/.service/service.db")) as submissions:
        row = submissions.get("kept")
        assert row is not None and row.placed and row.kept == ""
        assert submissions.content(row) == Content(request("kept", trials=1), None)
    assert not os.listdir(root / ".service" / "models"), "a large upload is gone once it is in the study's folder"


SEARCHER = """\
import os
open({witness!r}, "a").write(str(os.getpid()) + "\\n")
class Corner:
    def __init__(self, spec): pass
    def ask(self, history, count):
        from hpo_engine.core.proposing import Proposal
        raise NotImplementedError
{more}
"""
OWN = """\
command: python train.py
objective: minimize loss
algorithm: mine.py:Corner
trials: 1
space: {x: {float: [0, 1]}}
"""


@pytest.mark.parametrize(
    ("more", "problem"),
    [("", ""), ("os._exit(3)", "ended the process"), ("raise RuntimeError('broken')", "broken")],
)
def test_code_that_comes_with_a_study_is_not_loaded_in_the_service(
    desk: Desk, tmp_path: Path, more: str, problem: str
) -> None:
    folder, witness = tmp_path / "model", tmp_path / "witness"
    folder.mkdir()
    (folder / "train.py").write_text("pass")
    (folder / "mine.py").write_text(SEARCHER.format(witness=str(witness), more=more))
    if problem:
        with pytest.raises(SpecError, match=problem):
            desk.checked(OWN, model_dir=str(folder))
    else:
        spec, _ = desk.checked(OWN, model_dir=str(folder))
        assert spec.algorithm.name == f"{folder}/mine.py:Corner"
    assert str(os.getpid()) not in witness.read_text().split()


def test_what_is_over_is_removed_from_a_full_disk(desk: Desk, root: Path, tmp_path: Path) -> None:
    """It makes the room that is missing."""
    view = desk.submit(ADA, request("in-the-way", trials=1), script(tmp_path))
    await_state(desk, view.name, "finished")
    wait_until(lambda: [row.phase for row in desk._submissions.all() if row.name == view.name] == [Phase.IDLE])
    with no_room():
        desk.remove(ADA, "in-the-way")
        with pytest.raises(StudyNotFound):
            desk.view(ADA, "in-the-way")
    assert not (root / "in-the-way").exists()
    assert desk.submit(ADA, request("in-the-way", trials=1), script(tmp_path)).state in ("queued", "running")
    await_state(desk, "in-the-way", "finished")
