"""Folders as the engine lays them out, under a plain and under an odd name."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.support")

from hpo_engine.contract.layout import lay_out, lay_out_study  # noqa: E402
from hpo_engine.contract.paths import StudyPaths, TrialPaths  # noqa: E402
from tests.support.examples import ALL  # noqa: E402


@pytest.fixture(params=["plain", "odd name '\"\\ \n é"])
def study(tmp_path: Path, request: pytest.FixtureRequest) -> StudyPaths:
    paths = StudyPaths(str(tmp_path / request.param))
    os.mkdir(paths.root)
    lay_out_study(paths, "ada")
    return paths


@pytest.fixture
def trial(study: StudyPaths) -> TrialPaths:
    paths = study.trial(3)
    lay_out(paths)
    return paths


# Each run tries new cases; only a build must not turn red by the luck of a draw. How long a case takes says nothing
# beside other tests.
QUICK = 12  # cases of a property where slow tests are left out
for _name, _most in (("all", ALL), ("quick", QUICK)):
    settings.register_profile(
        _name,
        deadline=None,
        max_examples=_most,
        derandomize=bool(os.environ.get("CI")),
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("all")

# Hundreds of engines are started: each would compile the same files anew where Python is told to keep no bytecode.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A suite that was started in the background, or under nohup, ignores signals, and so would every engine that it starts.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    """Before the tests are imported: how many cases they try is settled then."""
    settings.load_profile("quick" if config.option.markexpr == "not slow" else "all")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """How many processes share the tests: one for a part of them (each process has its imports), or where one watches."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    tests = Path(__file__).parent
    whole = any(Path(arg).resolve() in (tests, *tests.parents) for arg in config.args)
    if not whole or any(config.getoption(name, None) for name in ("keyword", "lf")) or config.option.capture == "no":
        return 0
    return len(os.sched_getaffinity(0)) + 2  # a good part of the time is waiting for other processes


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow what `by_default` does not name."""
    cases: dict[tuple[str, tuple[int | str, ...]], list[pytest.Function]] = {}
    for item in items:
        if not isinstance(item, pytest.Function) or item.get_closest_marker("slow"):
            continue
        if mark := item.get_closest_marker("by_default"):
            cases.setdefault((item.nodeid.partition("[")[0], mark.args), []).append(item)
    for (test, wanted), found in cases.items():
        kept = {
            item
            for place, item in enumerate(found)
            if any(
                place < case if isinstance(case, int) else case in item.name[len(item.originalname) :]
                for case in wanted
            )
        }
        if not kept and len(found) > 5:  # fewer may be those that the command line names
            raise pytest.UsageError(f"{test}: none of its cases is one of {wanted}")
        for item in set(found) - kept:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def _machine_of_all_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """For engines that a fixture of a whole module starts: they do not wait for trials of anybody else."""
    os.environ["HPO_ENGINE_LEDGER"] = str(tmp_path_factory.getbasetemp() / "ledger" / "all")


@pytest.fixture(autouse=True)
def _machine_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has the machine to itself, as if no study ran beside it."""
    monkeypatch.setenv("HPO_ENGINE_LEDGER", str(tmp_path_factory.getbasetemp() / "ledger" / secrets.token_hex(4)))
