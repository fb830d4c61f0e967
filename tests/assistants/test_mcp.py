"""The tools for assistants, asked by the protocol's own client over a real process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from hpo_engine.control.engines import command_line
from tests.support import command
from tests.support.shell import ALGO, TRAIN

mcp = pytest.importorskip("mcp")


def conversation(root: Path, calls: list[tuple[str, dict[str, Any]]]) -> tuple[list[Any], list[tuple[bool, Any, str]]]:
    """The tools, and for each call: whether it is an error, the value, the text."""
    argv = command_line("mcp", "--root", str(root))
    env = {**os.environ, "HOME": str(root.parent)}

    async def talk() -> tuple[list[Any], list[tuple[bool, Any, str]]]:
        parameters = mcp.StdioServerParameters(command=argv[0], args=list(argv[1:]), env=env)
        out = []
        async with mcp.Client(mcp.stdio_client(parameters, errlog=sys.__stderr__)) as client:
            tools = (await client.list_tools()).tools
            for name, arguments in calls:
                done = await client.call_tool(name, arguments)
                text = " ".join(getattr(part, "text", "") for part in done.content)
                out.append((bool(done.is_error), done.structured_content, text))
        return tools, out

    return anyio.run(talk)


def test_assistant_looks_queues_and_stops(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "algo.yaml").write_text(f"name: mine\n{ALGO}")
    root = tmp_path / "runs"
    done = command.run("submit", "algo.yaml", "--root", str(root), cwd=tmp_path, env=os.environ)
    assert done.returncode == 0, done.stderr
    done = command.run("resume", "mine", "--root", str(root), "--trials", "9", "--detach", cwd=tmp_path, env=os.environ)
    tools, answers = conversation(
        root,
        [
            ("list_studies", {}),
            ("show_study", {"study": "mine"}),
            ("stop_study", {"study": "mine"}),
            ("list_trials", {"study": "mine", "state": "completed", "limit": 2}),
            ("best_trial", {"study": "mine"}),
            ("show_trial", {"study": "mine", "trial": 0}),
            ("read_log", {"study": "mine", "trial": 0}),
            ("figure_data", {"study": "mine", "figure": "history"}),
            ("enqueue", {"study": "mine", "configurations": [{"x": 0.5, "kind": "a b"}]}),
            ("explain_trial", {"study": "mine", "trial": 0}),
            ("enqueue", {"study": "mine", "configurations": [{"y": 0.5}]}),
            ("show_trial", {"study": "mine", "trial": 99}),
            ("show_study", {"study": "min"}),
            ("list_trials", {"study": "mine", "state": "complete"}),
            ("stop_trials", {"study": "mine", "trials": [77]}),
        ],
    )
    reading = {tool.name for tool in tools if tool.annotations.read_only_hint}
    assert reading == {tool.name for tool in tools} - {"enqueue", "stop_study", "stop_trials"}
    good, bad = answers[:10], answers[10:]
    assert not any(error for error, _, _ in good[:8]), answers
    listed, shown, stopped, page, best, trial, log, figure, queued, words = (value for _, value, _ in good)
    assert [each["study"] for each in listed["studies"]] == ["mine"] and shown["file"]["space"]["x"] == {
        "float": [0, 2]
    }
    assert words["proposed"]["kind"] == "searcher" and words["ended"] == "by itself"
    assert stopped["state"] in ("stopped", "finished")
    values = [each["value"] for each in page["trials"]]
    assert values == sorted(values) and page["trials"][0]["trial"] == best["best"]["trial"]
    assert [row["step"] for row in trial["reports"]] == [1, 2, 3] and "training with" in log["lines"][0]
    assert figure["charts"][0]["series"]
    if stopped["state"] == "stopped":
        assert queued["queued"] == [0]
    texts = [text for error, _, text in bad if error]
    assert len(texts) == len(bad), answers
    for text, part in zip(
        texts, ("is not a parameter", "no trial 99", 'no study "min"', "did you mean", "no trial 77"), strict=True
    ):
        assert part in text and "Traceback" not in text
