"""What a trial leaves: helpers that end by themselves are nobody's business, all else is ended and counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.both import Both
from tests.support.helpers import processes_with

MAIN = """
import multiprocessing, os, sys, time
def work(n=1):
    return n + 1
if __name__ == "__main__":
"""
ORDINARY = {
    "spawn": """
        process = multiprocessing.get_context("spawn").Process(target=work)
        process.start()
        process.join()
    """,
    "forkserver": """
        process = multiprocessing.get_context("forkserver").Process(target=work)
        process.start()
        process.join()
    """,
    "pool-that-nobody-closes": """
        pool = multiprocessing.get_context("spawn").Pool(2)
        print(pool.map(work, range(4)))
    """,
    "pool-of-forks-that-nobody-closes": """
        pool = multiprocessing.get_context("fork").Pool(2)
        print(pool.map(work, range(4)))
    """,
    "pool-executor-that-nobody-shuts-down": """
        import concurrent.futures
        pool = concurrent.futures.ProcessPoolExecutor(2)
        print(list(pool.map(work, range(4))))
    """,
    "daemonic-process": """
        multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,), daemon=True).start()
    """,
    "manager": """
        manager = multiprocessing.Manager()
        print(manager.dict({"a": 1}))
    """,
    "shared-memory": """
        from multiprocessing import shared_memory
        memory = shared_memory.SharedMemory(create=True, size=100)
        memory.close()
    """,
    "semaphore": "lock = multiprocessing.get_context('spawn').Lock()",
    "joblib": """
        import joblib
        print(joblib.Parallel(n_jobs=2)(joblib.delayed(work)(i) for i in range(4)))
    """,
    "child-that-ends-a-little-later": "import subprocess; subprocess.Popen(['sleep', '0.05'])",
    "leaves-without-its-exit-functions": """
        process = multiprocessing.get_context("spawn").Process(target=work)
        process.start()
        process.join()
        sys.stdout.flush()
        os._exit(0)
    """,
}
LEFT = {
    "daemon": ("import subprocess; subprocess.Popen(['sleep', '{token}'], start_new_session=True)", 1),
    "two": ("import subprocess; [subprocess.Popen(['sleep', '{token}']) for _ in range(2)]", 2),
    "one-that-ignores-sigterm": (
        "import subprocess; subprocess.Popen(['sh', '-c', 'trap \"\" TERM; : > ready; exec sleep {token}'])\n"
        "while not os.path.exists('ready'): time.sleep(0.01)",
        1,
    ),
    "one-that-keeps-a-helper": (
        "multiprocessing.get_context('spawn').Process(target=time.sleep, args=({token},)).start()\nos._exit(0)",
        1,
    ),
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with closing(Both(tmp_path_factory.mktemp("leftovers"))) as made:
        yield made


def _leftovers(both: Both, kind: str, text: str, trial: int) -> int:
    lines = text.strip().splitlines()
    script = MAIN + "".join(f"    {line.strip()}\n" for line in lines)
    both.launch(kind, {"train.py": script}, ("train.py",), trial)
    (end,) = both.end(kind)
    assert end.exit.code == 0, end
    return end.exit.leftovers


@pytest.mark.by_default("forkserver-cold", "pool-that-nobody-closes")
@pytest.mark.parametrize("kind", ["cold", "warm"])
@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_use_of_processes_leaves_nothing_behind(name: str, kind: str, both: Both) -> None:
    if name == "joblib":
        pytest.importorskip("joblib")
    assert _leftovers(both, kind, ORDINARY[name], list(ORDINARY).index(name)) == 0


@pytest.mark.by_default("one-that-ignores-sigterm-warm")
@pytest.mark.parametrize("kind", ["cold", "warm"])
@pytest.mark.parametrize("name", LEFT)
def test_what_does_not_end_by_itself_is_ended_and_counted(name: str, kind: str, both: Both) -> None:
    (text, count), trial = LEFT[name], 100 + list(LEFT).index(name)
    token = str(600_000 + trial)
    assert _leftovers(both, kind, text.replace("{token}", token), trial) == count
    assert not processes_with(token)


def test_trial_that_leaves_nothing_waits_for_nothing(both: Both) -> None:
    """The wait is for those that leave something: the quickest of 20 warm trials takes less than one wait."""
    from hpo_engine.executors.local import supervision

    _leftovers(both, "warm", "pass", 200)
    took = []
    for trial in range(201, 221):
        begin = time.monotonic()
        assert _leftovers(both, "warm", "pass", trial) == 0
        took.append(time.monotonic() - begin)
    assert min(took) < supervision._MOMENT_S


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cold", "warm"])
@pytest.mark.parametrize(
    "text",
    [
        """
        loader = torch.utils.data.DataLoader(range(8), num_workers=2, persistent_workers=True)
        print(list(loader), list(loader))
        """,
        """
        loader = torch.utils.data.DataLoader(range(8), num_workers=2, multiprocessing_context="forkserver")
        iterator = iter(loader)
        print(next(iterator))
        """,
        """
        torch.multiprocessing.set_sharing_strategy("file_system")
        print(list(torch.utils.data.DataLoader(range(8), num_workers=2)))
        """,
        "torch.multiprocessing.spawn(work, nprocs=2)",
    ],
)
def test_ordinary_use_of_torch_leaves_nothing_behind(text: str, kind: str, both: Both) -> None:
    pytest.importorskip("torch")
    assert _leftovers(both, kind, f"import torch.utils.data, torch.multiprocessing\n{text}", 300 + len(text)) == 0
