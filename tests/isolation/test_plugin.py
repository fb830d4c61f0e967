"""Search plugins of WMLA's form: what they get, what they may return, and what happens to those that misbehave."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.errors import SearcherError, SpecError
from hpo_engine.isolation.handed import Handed
from hpo_engine.isolation.plugin import PluginSearcher
from hpo_engine.space.params import Choice, Constant, Float, Int
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.events import TrialReopened, apply
from hpo_engine.study.spec import SearchPlugin
from hpo_engine.testing.histories import opened, proposed, with_fate
from tests.support.plugins import HEAD, STATE, WALK, at, ended, searched, searching, spec_for, values, written

EXAMPLE = Path(__file__).parents[2] / "examples/wmla_plugin"


def asked(folder: Path, text: str, count: int = 1, **settings: Any) -> list[dict[str, Any]]:
    """What a plugin with this text answers first."""
    spec = spec_for(written(folder / "plugin", text), **settings)
    searcher = PluginSearcher(spec, at(folder))
    try:
        return values(searcher.ask(opened(spec), count))
    finally:
        searcher.close()


def refused(folder: Path, text: str, **settings: Any) -> str:
    with pytest.raises(SearcherError) as caught:
        asked(folder, text, **settings)
    return str(caught.value)


# -- what they get -----------------------------------------------------------------------------------------------------


def test_the_plugin_of_the_example_proposes_what_it_did_with_wmla() -> None:
    space = SearchSpace((Float("learning_rate", 0.001, 0.1, step=0.002),))
    spec = spec_for(EXAMPLE / "draws", space, random_seed="2")
    searcher = PluginSearcher(spec)
    history = searched(searcher, opened(spec), 3)
    searcher.close()
    assert values(history) == [{"learning_rate": 0.081}, {"learning_rate": 0.031}, {"learning_rate": 0.091}]


def test_hyper_parameters_have_every_field_and_ranges_with_steps_are_lists() -> None:
    space = SearchSpace(
        (
            Float("stepped", 0.0, 0.3, step=0.1), Int("whole", 1, 9), Float("power", -3, 0, power=10),
            Float("log", 1e-4, 0.1, log=True), Choice("mixed", (True, None, "x")), Constant("fixed", 5),
        )
    )  # fmt: skip
    entries = Handed(space).entries
    assert [entry["name"] for entry in entries] == ["stepped", "whole", "power", "log", "mixed"]
    assert len({tuple(entry) for entry in entries}) == 1, "every field is in each"
    stepped, whole, power, log, mixed = entries
    assert (stepped["type"], stepped["dataType"]) == ("Discrete", "DOUBLE")
    assert stepped["discreteDbVal"] == [0.0, 0.1, 0.2, 0.3] and stepped["step"] is None
    assert (whole["type"], whole["minIntVal"], whole["maxIntVal"]) == ("Range", 1, 9)
    assert (power["minDbVal"], power["maxDbVal"], power["power"]) == (-3, 0, 10)
    assert (log["minDbVal"], log["maxDbVal"], log["power"]) == (-4, -1, 10)
    assert mixed["discreateStrVal"] == ["true", "null", "x"]
    found = Handed(space).taken(
        {"stepped": 0.1 + 0.2, "whole": 4.0, "power": -2, "log": -1, "mixed": "true", "fixed": 5}
    )
    assert found == {"stepped": 0.3, "whole": 4, "power": 0.01, "log": 0.1, "mixed": True, "fixed": 5}
    assert type(found["whole"]) is int


def test_values_of_parameters_that_do_not_apply_are_dropped() -> None:
    space = SearchSpace((Choice("kind", ("a", "b")), Float("only_a", 0, 1, when={"kind": "a"})))
    assert Handed(space).taken({"kind": "b", "only_a": 0.5}) == {"kind": "b"}
    assert Handed(space).taken({"kind": "b"}) == {"kind": "b"}
    with pytest.raises(ValueError, match="only_a"):
        Handed(space).taken({"kind": "a"})


def test_rules_cannot_be_handed_over() -> None:
    space = SearchSpace((Float("x", 0, 1), Float("y", 0, 1)), require=("x <= y",))
    with pytest.raises(SpecError, match="require"):
        Handed(space)


def test_results_are_those_that_ended_since_and_options_are_texts(tmp_path: Path) -> None:
    text = searching("""
        print("SEEN", json.dumps([number_samples, last, self.kwargs]))
        return [{"rate": 0.5, "size": 1, "kind": "a"}]
    """)
    spec = spec_for(written(tmp_path / "plugin", text), seed_of="3", flag=True, width=7)
    searcher, history = PluginSearcher(spec, at(tmp_path)), opened(spec)
    history = searched(searcher, history, 1)
    history = searched(searcher, history, 1, fates=("completed", "failed"))
    searcher.ask(history, 1)
    searcher.close()
    lines = [line for line in (tmp_path / "searcher.log").read_text().splitlines() if line.startswith("SEEN")]
    seen = [json.loads(line[5:]) for line in lines]
    assert seen[0] == [1, None, {"seed_of": "3", "flag": "true", "width": "7"}]
    ((first,), (second,)) = (call[1] for call in seen[1:])
    assert first["params"] == {"rate": 0.5, "size": 1, "kind": "a"} and first["score"] == first["metricVal"] == 0.0
    assert (first["id"], first["state"]) == (0, "FINISHED") and first["hyperParams"][0]["fixedVal"] == "0.5"
    assert (second["id"], second["state"], second["score"]) == (1, "FAILED", None)


def test_numpy_values_are_plain_ones(tmp_path: Path) -> None:
    text = "import numpy as np\n" + searching(
        'return [{"rate": np.float32(0.5), "size": np.int64(3), "kind": np.str_("b")}] * number_samples'
    )
    (found,) = asked(tmp_path, text)
    assert found == {"rate": 0.5, "size": 3, "kind": "b"}
    assert {name: type(value) for name, value in found.items()} == {"rate": float, "size": int, "kind": str}


def test_an_answer_is_used_up_before_the_next_call_and_a_short_one_is_the_last(tmp_path: Path) -> None:
    text = searching("""
        self.calls = getattr(self, "calls", 0) + 1
        return [{"rate": i / 8, "size": self.calls, "kind": "a"} for i in range(3 if self.calls == 1 else 1)]
    """)
    spec = spec_for(written(tmp_path / "plugin", text))
    searcher, history = PluginSearcher(spec, at(tmp_path)), opened(spec)
    for count, sizes in ((1, [1]), (1, [1]), (5, [1]), (2, [2]), (2, [])):
        answer = searcher.ask(history, count)
        assert [p.params["size"] for p in answer] == sizes
        history = ended(proposed(history, answer))
    assert searcher.over(history) == "plugin mine has nothing more to propose"
    searcher.close()


# -- misbehaviour ------------------------------------------------------------------------------------------------------

MISBEHAVIOUR = {
    "raises": ('raise ValueError("no such thing")', "ValueError: no such thing (optimizer.py:8, in search: raise"),
    "exits": ("sys.exit(3)", "it ended its process (exit 3)"),
    "ends at once": ('print("last words", flush=True); os._exit(7)', "exit code 7 before it had answered; its last"),
    "crashes": ("os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
    "returns text": ('return "abc"', "search returned a str, not a list"),
    "returns one": ('return {"rate": 1}', "search returned a dict, not a list"),
    "returns numbers": ("return [1, 2]", "search returned a list with an int in it, not a dict"),
    "returns objects": ('return [{"rate": object()}]', "search proposed an object for rate"),
    "leaves one out": ('return [{"rate": 0.5, "size": 1}]', "it has no value for kind"),
    "adds one": ('return [{"rate": 0.5, "size": 1, "kind": "a", "sze": 1}]', 'sze is not a parameter of the space'),
    "is outside": ('return [{"rate": 1.5, "size": 1, "kind": "a"}]', "rate: 1.5 is outside 0.0 ... 1.0"),
    "has nan": ('return [{"rate": float("nan"), "size": 1, "kind": "a"}]', "rate"),
    "closes all": ("os.closerange(3, 200); time.sleep(0); return []", ""),
    "kills its keeper": ("os.kill(os.getppid(), 9); time.sleep(60)", "killed by SIGKILL"),
}  # fmt: skip


@pytest.mark.by_default("raises", "crashes", "is outside")
@pytest.mark.parametrize("manner", MISBEHAVIOUR)
def test_misbehaviour_is_one_clear_message(manner: str, tmp_path: Path) -> None:
    body, expected = MISBEHAVIOUR[manner]
    message = refused(tmp_path, searching(body))
    assert message.startswith("plugin mine failed at trial 0: "), message
    assert expected in message and "\n" not in message, message
    assert str(tmp_path / "searcher.log") in message


def test_one_that_hangs_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    text = searching(f"""
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
                time.sleep(600)
            os._exit(0)
        while not os.path.exists({str(tmp_path / "pid")!r}): pass
        print("stuck here")
        while True: pass
    """)
    message = refused(tmp_path, text, limit_s=1.0)
    assert "no answer within 1 s; its last output: stuck here" in message
    pid = int((tmp_path / "pid").read_text())
    _wait(lambda: not os.path.exists(f"/proc/{pid}"))


def test_what_it_prints_goes_to_the_log_up_to_a_limit(tmp_path: Path) -> None:
    text = searching("""
        for _ in range(40):
            os.write(1, b"x" * (1 << 20))
        logger.info("as told")
        return [{"rate": 0.5, "size": 1, "kind": "a"}]
    """)
    assert asked(tmp_path, text) == [{"rate": 0.5, "size": 1, "kind": "a"}]
    log = tmp_path / "searcher.log"
    assert 16 << 20 <= log.stat().st_size < 17 << 20
    assert log.read_bytes().endswith(b"[more output is dropped]\n")


@pytest.mark.slow
def test_a_file_that_is_no_plugin_is_named(tmp_path: Path) -> None:
    assert "SyntaxError" in refused(tmp_path / "1", "def x(:")
    assert "has no class PluginOptimizer" in refused(tmp_path / "2", "x = 1")
    assert "ModuleNotFoundError: No module named 'nowhere'" in refused(tmp_path / "3", "import nowhere")
    with pytest.raises(SpecError, match="there is no file"):
        PluginSearcher(spec_for(tmp_path / "4"))


def test_it_ends_when_nobody_holds_it_any_more(tmp_path: Path) -> None:
    text = searching(f"""
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        return [{{"rate": 0.5, "size": 1, "kind": "a"}}]
    """)
    spec = spec_for(written(tmp_path / "plugin", text))
    searcher: PluginSearcher | None = PluginSearcher(spec)
    assert searcher is not None
    searcher.ask(opened(spec), 1)
    pid = int((tmp_path / "pid").read_text())
    assert os.path.exists(f"/proc/{pid}")
    searcher = None
    _wait(lambda: not os.path.exists(f"/proc/{pid}"))


@pytest.mark.skipif(not os.path.exists("/usr/bin/python3"), reason="no other interpreter")
def test_another_interpreter_needs_nothing_of_ours(tmp_path: Path) -> None:
    text = searching("""
        logger.warning(sys.executable)
        return [{"rate": 0.25, "size": 2, "kind": "b"}]
    """)
    folder = written(tmp_path / "plugin", text)
    spec = spec_for(folder)
    assert spec.isolation is not None
    spec = replace(spec, isolation=replace(spec.isolation, plugin=SearchPlugin(str(folder), python="/usr/bin/python3")))
    searcher = PluginSearcher(spec, at(tmp_path))
    assert values(searcher.ask(opened(spec), 1)) == [{"rate": 0.25, "size": 2, "kind": "b"}]
    searcher.close()
    log = (tmp_path / "searcher.log").read_text()
    assert "WARNING /usr/bin/python3" in log and sys.executable not in log


# -- restarts ----------------------------------------------------------------------------------------------------------

PLUGINS = {"with state": WALK + STATE, "by replay": WALK}
FATES = ("completed", "failed", "completed", "pruned")


@pytest.fixture(scope="module", params=PLUGINS)
def uninterrupted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, ...]]:
    """(folder, spec, history) of a search in batches of 1 and 3 that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("plugin")
    spec = spec_for(written(folder / "plugin", PLUGINS[request.param]), start="5")
    searcher = PluginSearcher(spec, at(folder))
    history = searched(searcher, opened(spec), 4, fates=FATES)
    history = searched(searcher, history, 6, batch=3, fates=FATES)
    searcher.close()
    yield folder, spec, history


@pytest.mark.by_default("nothing", "old one")
@pytest.mark.parametrize("lost", ["nothing", "the state", "all states but an old one", "half a state"])
def test_a_search_goes_on_as_if_it_had_not_been_interrupted(
    uninterrupted: tuple[Any, ...], lost: str, tmp_path: Path
) -> None:
    _, spec, whole = uninterrupted
    home, state = at(tmp_path), tmp_path / "searcher.state"
    history, old = opened(spec), b""
    for batch, trials in ((1, 1), (1, 1), (1, 2), (3, 3), (3, 3)):
        searcher = PluginSearcher(spec, home)
        history = searched(searcher, history, trials, batch=batch, fates=FATES)
        searcher.close()
        if lost == "the state":
            state.unlink()
        elif lost == "half a state":
            state.write_bytes(state.read_bytes()[:-3])
        elif lost.startswith("all"):
            old = old or state.read_bytes()
            state.write_bytes(old)
    assert values(history) == values(whole)


@pytest.mark.slow
def test_an_answer_that_was_not_logged_is_given_again(uninterrupted: tuple[Any, ...], tmp_path: Path) -> None:
    _, spec, whole = uninterrupted
    searcher, home = PluginSearcher(spec, at(tmp_path)), at(tmp_path)
    history = searched(searcher, opened(spec), 4, fates=FATES)
    answer = searcher.ask(history, 3)
    searcher.close()
    again = PluginSearcher(spec, home)
    assert values(again.ask(history, 3)) == values(answer) == values(whole)[4:7]
    some = proposed(history, again.ask(history, 1))  # the engine died after it had logged one of three
    again.close()
    third = PluginSearcher(spec, home)
    assert values(third.ask(some, 5)) == values(answer)[1:]
    third.close()


def test_a_process_that_is_killed_is_started_again(uninterrupted: tuple[Any, ...], tmp_path: Path) -> None:
    _, spec, whole = uninterrupted
    searcher, history = PluginSearcher(spec, at(tmp_path)), opened(spec)
    for batch, trials in ((1, 4), (3, 6)):
        for _ in range(0, trials, batch):
            history = searched(searcher, history, batch, batch=batch, fates=FATES)
            process = searcher._process
            assert process is not None
            os.kill(process._keeper.pid, signal.SIGKILL)
            process._keeper.wait()
    searcher.close()
    assert values(history) == values(whole)


@pytest.mark.slow
def test_one_that_is_killed_in_a_call_gets_that_call_again_once(tmp_path: Path) -> None:
    marker = str(tmp_path / "marker")
    once = WALK.replace(
        "        for result",
        f"        if number_samples == 2 and not os.path.exists({marker!r}):\n"
        f"            open({marker!r}, 'w').close()\n            os.kill(os.getpid(), 9)\n        for result",
    )
    assert once != WALK
    histories = []
    for name, text in (("calm", WALK), ("killed", once)):
        spec = spec_for(written(tmp_path / name, text), start="5")
        searcher = PluginSearcher(spec, at(tmp_path / name))
        history = searched(searcher, opened(spec), 2)
        histories.append(searched(searcher, history, 4, batch=2))
        searcher.close()
    assert os.path.exists(marker) and values(histories[0]) == values(histories[1])


@pytest.mark.slow
def test_a_retried_trial_is_told_again_and_replayed_as_it_was(tmp_path: Path) -> None:
    spec = spec_for(written(tmp_path / "plugin", WALK), start="5")
    histories = []
    for restarted in (False, True):
        searcher = PluginSearcher(spec)
        history = searched(searcher, opened(spec), 2, fates=("failed", "completed"))
        history = searched(searcher, history, 1)
        history = apply(history, TrialReopened(history.last_at + 1, 0))
        history = with_fate(history, 0, "completed", 3.0)
        if restarted:
            searcher.close()
            searcher = PluginSearcher(spec)
        histories.append(searched(searcher, history, 2))
        searcher.close()
    assert values(histories[0]) == values(histories[1])


def _wait(done: Any, limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_modules_of_the_plugin_are_not_importable_here() -> None:
    assert HEAD.count("plugins.core") == 2
    with pytest.raises(ImportError):
        __import__("plugins.core.logger")
