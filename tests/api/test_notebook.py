"""Studies in Jupyter: what a page shows, and a real kernel whose cell waits for a study."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import hpo_engine as hpo
from hpo_engine.api.notebook.live import in_notebook
from hpo_engine.api.notebook.page import space_page, study_page, trials_page
from hpo_engine.study.events import fold
from hpo_engine.study.objective import Objective
from hpo_engine.testing.histories import random_events, spec_of
from tests.support.random_studies import case

ROOT = Path(__file__).parents[2]
NASTY = "<img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """The names of a page's elements, and whether they close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names, self.open = set[str](), list[str]()
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_pages_of_many_studies_are_whole_and_small() -> None:
    for k in range(12):
        _, history = case(k)
        for page in (study_page(history, history.last_at + 5, led=bool(k % 2)), trials_page(history)):
            Tags(page)
            assert len(page) < 40_000


def test_what_users_and_trials_made_is_escaped() -> None:
    space = hpo.Space({NASTY: hpo.choice([NASTY, "b"]), "x": hpo.float(0, 1)}).search_space
    spec = spec_of(space, name="study", objectives=(Objective(NASTY),))
    for seed in range(3):
        history = fold(random_events(spec, trials=6, seed=seed))
        pages = [study_page(history, history.last_at, led=True), trials_page(history)]
        pages.append(space_page(hpo.Space.of(space).to_dict(), [f"x < 1  # {NASTY}"]))
        for page in pages:
            assert "img" not in Tags(page).names and "&lt;img" in page


def test_this_process_is_not_a_notebook() -> None:
    assert not in_notebook()


CELL = """
import time
import hpo_engine as hpo
def slow(lr):
    for step in range(1, 10_000):
        time.sleep(0.02)
        hpo.report(step=step, loss=lr)
study = hpo.tune(slow, {"lr": hpo.float(0, 1)}, trials=50, trackers=[])
print(study.state, study.reason)
"""


class Kernel:
    """A real one, whose cells are run and listened to."""

    def __init__(self, folder: Path) -> None:
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(folder))

    def messages(self, code: str, on: Any) -> list[tuple[str, Any]]:
        """What running `code` sends, until it is done; `on(kind, content)` is called with each."""
        sent = self.client.execute(code)
        found: list[tuple[str, Any]] = []
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            message = self.client.get_iopub_msg(timeout=120)
            kind, content = message["msg_type"], message["content"]
            found.append((kind, content))
            on(kind, content)
            if (kind, content.get("execution_state")) == ("status", "idle") and message["parent_header"][
                "msg_id"
            ] == sent:
                return found
        raise TimeoutError

    def press(self, comm: str) -> None:
        data = {"method": "custom", "content": {"stop": True}}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", {"comm_id": comm, "data": data}))

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.mark.slow
def test_the_button_stops_a_study_while_its_cell_runs_and_an_interrupt_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("anywidget")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    kernel = Kernel(tmp_path)
    comms: list[str] = []

    def press(kind: str, content: Any) -> None:
        if kind == "comm_open" and "page" in content["data"].get("state", {}):
            comms.append(content["comm_id"])
        elif comms and kind == "comm_msg" and "1 running" in str(content["data"].get("state", {}).get("page")):
            kernel.press(comms.pop())

    def interrupt(kind: str, content: Any) -> None:
        if kind == "comm_msg" and re.search("1 running", str(content["data"].get("state", {}).get("page"))):
            kernel.manager.interrupt_kernel()

    try:
        messages = kernel.messages(CELL, press)
        assert ("stream", {"name": "stdout", "text": "stopped the notebook's button\n"}) in messages
        last = [content["data"] for kind, content in messages if kind == "update_display_data"][-1]
        assert 'class="state stopped"' in last["text/html"]
        messages = kernel.messages("study.resume()", interrupt)
        assert [content["ename"] for kind, content in messages if kind == "error"] == ["KeyboardInterrupt"]
        assert hpo.Study.load(tmp_path / "hpo-runs" / "slow").state == "stopped"
    finally:
        kernel.close()
        hpo.Study.load(tmp_path / "hpo-runs" / "slow").stop(kill=True)
