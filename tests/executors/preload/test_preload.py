"""A script that is forked with its imports done sees what a new interpreter would have shown it."""

from __future__ import annotations

import hashlib
import json
import os
import py_compile
import select
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hpo_engine.contract import binding
from hpo_engine.contract.outputlog import logfiles
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.executors.preload import imports, launcherspec
from hpo_engine.executors.preload.launcherspec import Command
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Resources, StudySpec
from hpo_engine.study.trial import Exit, StopCause
from tests.support.both import Both
from tests.support.helpers import processes_with, put
from tests.support.likeness import HELPER, OPTIONED, SCRIPTS, source


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    with closing(Both(tmp_path)) as made:
        yield made
    assert not made.refused() or "expected" in made.said


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """One for many scripts, which come one after the other."""
    with closing(Both(tmp_path_factory.mktemp("shared"))) as made:
        yield made


FILES = {
    "helper.py": HELPER,
    "engine/__init__.py": "here = 'own engine'\n",
    "shim.py": "here = 'own shim'\n",
}


@pytest.fixture
def name_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A file name that scripts share which have the same to import: a launcher goes by the script's path.

    Those that are odd to read have a launcher of their own, which has to read them.
    """

    def name(script: str) -> str:
        if script in ("syntax", "bytes", "not-utf8"):
            return f"{script}.py"
        text = source(SCRIPTS[script])
        for file, content in {"train.py": text, **FILES}.items():
            put(f"{tmp_path}/{file}", content.encode("latin-1"))
        steps = imports.of_script(f"{tmp_path}/train.py").steps
        return f"train_{hashlib.sha256(json.dumps(steps).encode()).hexdigest()[:8]}.py"

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return name


@pytest.mark.by_default("processes-fork]", "environment", "interrupted")
@pytest.mark.parametrize("name", SCRIPTS)
def test_script_sees_no_difference(name: str, shared: Both, name_of: Callable[[str], str]) -> None:
    script, trial = name_of(name), list(SCRIPTS).index(name)
    files, argv = {script: source(SCRIPTS[name]), **FILES}, (script, "--lr", "0.1", "a b")
    cold, warm = (shared.seen(kind, files, argv, trial=trial) for kind in ("cold", "warm"))
    assert warm == cold and not shared.refused()
    assert cold[1] or cold[0][0] != 0 or name in ("exit-none", "exit-at-once", "objects-at-the-end", "sigpipe")


@pytest.mark.parametrize("name", OPTIONED)
def test_options_of_the_interpreter_hold(name: str, shared: Both) -> None:
    (options, text), trial = OPTIONED[name], 1000 + list(OPTIONED).index(name)
    script = f"{name}.py"
    cold, warm = (shared.seen(kind, {script: text}, (*options, script), trial=trial) for kind in ("cold", "warm"))
    assert warm == cold and not shared.refused()


def test_module_is_run_as_with_dash_m(both: Both) -> None:
    text = "import sys\nfrom . import other\nprint(sys.argv, sys.path[0], __name__, __package__, __spec__.name, __file__)\n"
    files = {"pack/__init__.py": "", "pack/other.py": "", "pack/train.py": text + "1 / 0\n"}
    cold, warm = (both.seen(kind, files, ("-m", "pack.train", "x")) for kind in ("cold", "warm"))
    assert warm == cold and cold[0][0] == 1


@pytest.mark.by_default(1)
@pytest.mark.parametrize(
    "script", ["lnk/../train.py", "./train.py", ".//train.py", "sub/../train.py", "out/../train.py", "lnk/train.py"]
)
def test_the_same_file_runs_whatever_links_and_dots_lead_to_it(both: Both, script: str) -> None:
    say = "import json\nimport helper\nimport sys\nprint(WHERE, __file__, sys.argv, sys.path[0], helper.here)\n"
    files = {f"{place}train.py": say.replace("WHERE", repr(place)) for place in ("", "sub/", "sub/deep/")}
    files |= {f"{place}helper.py": f"here = {place!r}\n" for place in ("", "sub/", "sub/deep/")}
    put(f"{both.root}/else/train.py", say.replace("WHERE", "'else'"))
    put(f"{both.root}/else/helper.py", "here = 'else'\n")
    os.mkdir(f"{both.root}/else/deep")
    for kind in ("cold", "warm"):
        study = StudyPaths(str(both.root / kind))
        for folder in (study.model, study.trial(0).result_dir):
            os.makedirs(folder)
            os.symlink("sub/deep", f"{folder}/lnk")
            os.symlink(f"{both.root}/else/deep", f"{folder}/out")
    cold, warm = (both.seen(kind, files, (script, "x")) for kind in ("cold", "warm"))
    assert warm == cold and cold[0][0] == 0, (cold, warm)
    assert not both.refused()


def test_paths_into_the_trials_folder_are_its_own_in_every_fork(both: Both) -> None:
    text = """
import json
import os, sys
import part, other
from pack import deep
names = ("PYTHONPATH", "CONF", "PATH")
print(sys.argv, sys.orig_argv, [p for p in sys.path if "results" in p or "model" in p], __file__)
print(part.__file__, other.__file__, deep.__file__, {n: os.environ[n] for n in names}, open(sys.argv[2]).read())
print(os.popen("echo $PYTHONPATH $CONF").read())
"""
    files = {"sub/train.py": text, "lib/part.py": "", "other.py": "", "src/pack/__init__.py": "", "src/pack/deep.py": "",
             "conf/c.txt": "conf", "bin/x": ""}  # fmt: skip
    for trial in (1, 10):  # one's path is the beginning of the other's
        seen = []
        for kind in ("cold", "warm"):
            here = StudyPaths(str(both.root / kind)).trial(trial).result_dir
            env = {
                "PYTHONPATH": f"{here}/lib:{here}:/else:{here}/src",
                "CONF": f"{here}/conf",
                "PATH": f"{here}/bin:/usr/bin:/bin",
            }
            argv = (f"{here}/sub/train.py", "--x", f"{here}/conf/c.txt")
            seen.append(both.seen(kind, files, argv, trial=trial, env=env))
        assert seen[0] == seen[1] and seen[0][0][0] == 0, seen
        assert seen[0][1].count(f"ROOT/results/{trial}/") > 10 and "ROOT/model" not in seen[0][1]
    keys = set()
    for trial in (2, 20):
        here = StudyPaths(str(both.root / "warm")).trial(trial).result_dir
        launch = both.launch(
            "warm", files, (f"{here}/sub/train.py",), trial, {"PYTHONPATH": f"{here}/lib", "CONF": f"{here}/c"}
        )
        start = launcherspec.spec_of(launch, sys.executable, None)
        assert start is not None
        keys.add(start.key)
    both.end("warm", 2)
    assert len(keys) == 1  # one launcher serves both
    assert not both.refused()


def test_an_import_that_looks_at_a_path_into_the_trials_folder_is_not_done_ahead(both: Both) -> None:
    both.said.append("expected")
    site = both.root / "lib/site-packages"
    put(f"{site}/lib.py", "import os\nplace = os.environ.get('CONF')\n")
    here = StudyPaths(str(both.root / "warm")).trial(0).result_dir
    env = {"PYTHONPATH": str(site), "CONF": f"{here}/conf"}
    seen = both.seen("warm", {"train.py": "import lib\nprint(lib.place)"}, ("train.py",), env=env)
    assert seen[1] == "ROOT/results/0/conf\n"
    assert "looks at CONF" in both.refused()[0]


def test_what_is_no_script_is_told_by_the_interpreter(both: Both) -> None:
    cold, warm = (both.seen(kind, {"a.py": ""}, ("nothing.py",)) for kind in ("cold", "warm"))
    assert warm == cold and cold[0][0] == 2


def test_script_that_is_gone_when_its_turn_comes(both: Both) -> None:
    seen = []
    for kind in ("cold", "warm"):
        both.launch(kind, {"train.py": "print(1)"}, ("train.py",))
        both.end(kind)
        result_dir = StudyPaths(str(both.root / kind)).trial(1).result_dir
        both.launch(kind, {"train.py": "import os, time"}, ("train.py",), trial=1)
        both.end(kind)
        os.remove(f"{result_dir}/train.py")
        executor = both.executor(kind)
        paths = StudyPaths(str(both.root / kind)).trial(1)
        os.makedirs(paths.attempt(2), exist_ok=True)
        again = BoundLaunch(
            1, 2, "nonce-again", Resources(100), preload="auto" if kind == "warm" else "off",
            argv=(sys.executable, "train.py"), env={"PATH": os.environ["PATH"]}, paths=paths,
        )  # fmt: skip
        executor.launch(again)
        (end,) = both.end(kind)
        log = Path(paths.attempt(2), logfiles.NAME).read_text().replace(f"{both.root}/{kind}", "ROOT")
        seen.append((end.exit.code, log))
    assert seen[0] == seen[1] and seen[0][0] == 2


def test_chance_differs_from_trial_to_trial(both: Both) -> None:
    text = "import random, uuid, numpy\nprint(random.random(), numpy.random.rand(), uuid.uuid4(), numpy.random.default_rng().random())"
    seen = []
    for trial in range(3):
        launch = both.launch("warm", {"train.py": text}, ("train.py",), trial=trial)
        both.end("warm")
        seen.append(Path(launch.paths.attempt(1), logfiles.NAME).read_text().split())
    for column in zip(*seen, strict=True):
        assert len(set(column)) == 3


def test_variable_set_before_an_import_is_set_before_it(both: Both) -> None:
    text = """
        import os
        os.environ["LIB_MODE"] = "fast"
        import lib
        print(lib.mode, os.environ["LIB_MODE"])
    """
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text("import os\nmode = os.environ.get('LIB_MODE')\nloaded_by = os.getpid()\n")
    env = {"PYTHONPATH": str(site)}
    cold, warm = (both.seen(kind, {"train.py": source(text)}, ("train.py",), env=env) for kind in ("cold", "warm"))
    assert warm == cold and "fast fast" in cold[1]


def test_imports_are_done_once_and_what_they_print_is_in_each_log(both: Both) -> None:
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text("import os\nprint('loading lib')\nloaded_by = os.getpid()\n")
    pids, logs = set(), []
    for trial in range(3):
        launch = both.launch(
            "warm", {"train.py": "import lib\nprint(lib.loaded_by)"}, ("train.py",), trial, {"PYTHONPATH": str(site)}
        )
        both.end("warm")
        first, second = Path(launch.paths.attempt(1), logfiles.NAME).read_text().splitlines()
        logs.append(first)
        pids.add(second)
    assert len(pids) == 1 and logs == ["loading lib"] * 3


def test_own_modules_are_imported_by_each_trial(both: Both) -> None:
    files = {"train.py": "import mine\nprint(mine.pid)", "mine.py": "import os, json\npid = os.getpid()"}
    pids = set()
    for trial in range(2):
        launch = both.launch("warm", files, ("train.py",), trial)
        both.end("warm")
        pids.add(Path(launch.paths.attempt(1), logfiles.NAME).read_text())
    assert len(pids) == 2


@pytest.mark.by_default(3)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "a thread"),
        ("import subprocess\np = subprocess.Popen(['sleep', '60'])", "a process"),
        ("import socket\ns = socket.socket()", "open"),
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("import os\nos.chdir('/')", "the working directory"),
        ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 3600)", "a timer"),
        ("import os\nif os.path.basename(os.getcwd()) == 'model': os.abort()", "its process dies in import lib"),
        ("import os\nwhere = os.environ.get('RESULT_DIR')", "looks at RESULT_DIR"),
        ("import tempfile\nfolder = tempfile.mkdtemp()", "makes a temporary folder"),
        ("import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)", "ignores SIGCHLD"),
        (
            "import sys, types\nsys.modules['torch'] = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=bool))\n"
            "sys.modules['torch'].cuda.is_initialized = lambda: True",
            "initialises CUDA",
        ),
    ],
)
def test_import_that_forks_cannot_share_is_found_out(text: str, why: str, both: Both) -> None:
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text(text)
    both.said.append("expected")
    for trial in range(2):
        both.launch(
            "warm", {"train.py": "try:\n    import lib\nexcept RuntimeError:\n    pass\nprint('ran')\nimport os; os._exit(0)"},
            ("train.py",), trial, {"PYTHONPATH": str(site)},
        )  # fmt: skip
    assert [end.exit.code for end in both.end("warm", 2)] == [0, 0]
    both.drive_until(lambda: not processes_with(f"PYTHONPATH={site}"))
    told = both.refused()
    assert len(told) == 1 and why in told[0] and "lib" in told[0]


def test_exit_functions_of_imports_run_in_trials_only(both: Both) -> None:
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text(
        f"import atexit\natexit.register(lambda: print('bye', file=open({str(both.root / 'log')!r}, 'a')))"
    )
    for trial in range(3):
        both.launch("warm", {"train.py": "import lib"}, ("train.py",), trial, {"PYTHONPATH": str(site)})
    both.end("warm", 3)
    both.drive_until(lambda: any("per trial (cold" in text for text in both.said))
    assert (both.root / "log").read_text() == "bye\n" * 3


@pytest.mark.by_default(1)
@pytest.mark.parametrize(
    "before",
    [
        "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'vendor'))\n",
        "import os, sys\nsys.path.insert(0, os.environ['VENDOR'])\n",
        "import sys\npath = sys.path\npath.insert(0, 'vendor')\n",
    ],
)
def test_module_that_the_script_puts_before_an_installed_one_is_the_one(before: str, both: Both) -> None:
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text("which = 'installed'")
    both.said.append("expected")
    files = {"train.py": f"{before}import lib\nprint(lib.which)", "vendor/lib.py": "which = 'own'"}
    for trial, kind in enumerate(("cold", "warm")):
        env = {"PYTHONPATH": str(site), "VENDOR": "vendor"}
        assert "own" in both.seen(kind, files, ("train.py",), trial=trial, env=env)[1]


def test_variables_that_depend_on_the_run_are_there_for_imports(both: Both) -> None:
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text("import os\nvalue = os.environ.get('A_B')")
    text = "import os, sys\nfor name in ('A_B', sys.argv[1]):\n    os.environ[name] = '1'\nimport lib\nprint(lib.value)"
    for kind in ("cold", "warm"):
        assert both.seen(kind, {"train.py": text}, ("train.py", "C_D"), env={"PYTHONPATH": str(site)})[1] == "1\n"


def test_signals_that_an_import_blocks_stay_blocked(both: Both) -> None:
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text(
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGCHLD])"
    )
    text = "import lib, signal\nprint(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    cold, warm = (
        both.seen(k, {"train.py": text}, ("train.py",), env={"PYTHONPATH": str(site)}) for k in ("cold", "warm")
    )
    assert warm == cold and "SIGUSR2" in cold[1]


def test_killed_warm_launcher_is_replaced_and_no_trial_stops(both: Both) -> None:
    text = "import os, sys, time\nprint(os.getppid(), flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
    first = both.launch("warm", {"train.py": text}, ("train.py",), 0)
    log = Path(first.paths.attempt(1), logfiles.NAME)
    both.drive_until(lambda: log.exists() and log.read_text().strip() != "")
    shim = int(log.read_text())
    launcher = int(Path(f"/proc/{shim}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(launcher, signal.SIGKILL)
    both.executor("warm").wait(1.0)
    both.executor("warm").reap()
    second = both.launch("warm", {"train.py": text}, ("train.py",), 1)
    for launch in (first, second):
        Path(launch.paths.result_dir, "go").touch()
    assert {(end.nonce, end.exit.code) for end in both.end("warm", 2)} == {("nonce-0", 0), ("nonce-1", 0)}


def test_program_that_is_killed_while_it_waits_is_replaced(both: Both) -> None:
    files = {"train.py": "import os\nprint(os.getppid())"}
    first = both.launch("warm", files, ("train.py",), 0)
    both.end("warm")
    shim = int(Path(first.paths.attempt(1), logfiles.NAME).read_text())
    children = Path(f"/proc/{shim}/task/{shim}/children")
    both.drive_until(lambda: children.read_text().strip() != "")
    (waiting,) = map(int, children.read_text().split())
    gone = os.pidfd_open(waiting)
    os.kill(waiting, signal.SIGKILL)
    assert select.select([gone], [], [], 30)[0], "an order may reach it until it is gone"
    os.close(gone)
    for trial in (1, 2):  # one of them at least is that shim's
        both.launch("warm", files, ("train.py",), trial)
    assert [end.exit.code for end in both.end("warm", 2)] == [0, 0]


def test_warm_shim_is_used_again_whatever_its_attempts_may_not_write_to(both: Both) -> None:
    files = {"train.py": "import os\nprint(os.getppid())", "data/set": ""}
    shims = set()
    for trial in range(3):
        launch = both.launch("warm", files, ("train.py",), trial, protect=("data",))
        both.end("warm")
        shims.add(Path(launch.paths.attempt(1), logfiles.NAME).read_text())
    assert len(shims) <= 2


def test_stop_does_not_wait_for_imports(both: Both) -> None:
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text("import time\ntime.sleep(50)\n")
    both.launch("warm", {"train.py": "import lib"}, ("train.py",), 0, {"PYTHONPATH": str(site)})
    both.executor("warm").wait(0.3)
    begin = time.monotonic()
    both.executor("warm").stop("nonce-0", StopCause.USER)
    (end,) = both.end("warm")
    assert end.exit == Exit(stop_cause=StopCause.USER)
    assert time.monotonic() - begin < 30


@pytest.mark.by_default("json")
@pytest.mark.parametrize("name", ["json", "select", "signal"])
def test_own_module_stands_before_one_that_the_launcher_has(name: str, both: Both) -> None:
    both.said.append("expected")
    files = {"train.py": f"import {name}\nprint({name}.here)", f"{name}.py": "here = 'mine'\n"}
    cold, warm = (both.seen(kind, files, ("train.py",)) for kind in ("cold", "warm"))
    assert warm == cold and cold[1] == "mine\n"
    assert any(f"{name}.py" in text for text in both.said[1:])


def test_import_sees_the_script_s_arguments_and_what_it_sets_stays(both: Both) -> None:
    text = """
        import os, sys
        main = sys.modules["__main__"]
        seen = sys.argv, sys.orig_argv, main.__name__, os.path.basename(main.__file__), sorted(main.__dict__)
        os.environ["LIB_HOME"] = "set"
        os.environ.pop("LIB_OLD", None)
    """
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text(source(text))
    script = """
        import lib, os, subprocess
        print(lib.seen, os.environ["LIB_HOME"], "LIB_OLD" in os.environ)
        print(subprocess.run("echo $LIB_HOME $LIB_OLD", shell=True, capture_output=True).stdout)
    """
    env = {"PYTHONPATH": str(site), "LIB_OLD": "there"}
    cold, warm = (
        both.seen(kind, {"train.py": source(script)}, ("train.py", "--lr", "1"), env=env) for kind in ("cold", "warm")
    )
    assert warm == cold and cold[0][0] == 0


@pytest.mark.by_default(1)
@pytest.mark.parametrize("name", ["train.pyc", "train.zip"])
def test_script_that_is_no_text(name: str, both: Both) -> None:
    text = "import sys\nprint('ran', sys.argv, __file__)\nsys.exit(6)\n"
    made = both.root / name
    if name.endswith("pyc"):
        (both.root / "train.py").write_text(text)
        py_compile.compile(str(both.root / "train.py"), str(made))
    else:
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("__main__.py", text)
    files = {name: made.read_bytes().decode("latin-1")}
    cold, warm = (both.seen(kind, files, (name, "a")) for kind in ("cold", "warm"))
    assert warm == cold and cold[0][0] == 6


def test_import_that_takes_for_ever_does_not_outlive_its_engine(both: Both) -> None:
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    pid = both.root / "pid"
    (site / "lib.py").write_text(
        f"import os, time\nwith open('{pid}.new', 'w') as f: f.write(str(os.getpid()))\nos.rename('{pid}.new', '{pid}')\n"
        "while True: time.sleep(60)\n"
    )
    both.launch("warm", {"train.py": "import lib"}, ("train.py",), 0, {"PYTHONPATH": str(site)})
    both.drive_until(pid.exists)
    launcher = os.pidfd_open(int(pid.read_text()))
    both.executor("warm").close()
    ended, _, _ = select.select([launcher], [], [], 30)
    os.close(launcher)
    assert ended


def test_time_limit_and_grace_hold_for_forks(both: Both) -> None:
    text = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('ready', 'w')\ntime.sleep(60)"
    launch = both.launch("warm", {"train.py": text}, ("train.py",))
    both.drive_until(Path(launch.paths.result_dir, "ready").exists)
    both.executor("warm").stop(launch.nonce, StopCause.USER)
    (end,) = both.end("warm")
    assert end.exit.signal == signal.SIGKILL and end.exit.stop_cause == "user"


@pytest.mark.by_default(1)
@pytest.mark.parametrize("argv", [("train.py", "--lr", "1", "--lib"), ("-m", "train", "--lib")])
def test_arguments_are_as_an_import_has_left_them(argv: tuple[str, ...], both: Both) -> None:
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text("import sys\nmine = sys.argv\nsys.argv.remove('--lib')\n")
    files = {"train.py": "import sys, lib\nprint(sys.argv, lib.mine is sys.argv, sys.orig_argv)\n"}
    cold, warm = (both.seen(kind, files, argv, env={"PYTHONPATH": str(site)}) for kind in ("cold", "warm"))
    assert warm == cold and cold[0][0] == 0


def test_interpreter_in_the_model_folder_needs_no_launcher_per_trial(both: Both) -> None:
    launch = both.launch("warm", {"train.py": ""}, ("train.py",))
    both.end("warm")
    assert launcherspec.spec_of(launch, sys.executable, None) is not None
    own = replace(launch, argv=("venv/bin/python", "train.py"))
    assert launcherspec.spec_of(own, f"{launch.paths.result_dir}/venv/bin/python", None) is None


@pytest.mark.by_default(2)
@pytest.mark.parametrize(
    ("argv", "fixed", "forked"),
    [
        (("-Wignore", "train.py", "--lr", "1"), 3, True),
        (("-Wignore", "train.py", "--lr", "1"), 1, False),  # -W{kind}, {flag?-O} and so on
        (("-u", "train.py"), 2, False),  # {script}.py
        (("-m", "train"), 2, False),
        (("train.py",), 0, False),
    ],
)
def test_word_before_the_script_that_differs_between_trials_is_not_shared(
    argv: tuple[str, ...], fixed: int, forked: bool, both: Both
) -> None:
    launch = both.launch("warm", {"train.py": ""}, argv)
    both.end("warm")
    spec = launcherspec.spec_of(replace(launch, fixed=fixed), sys.executable, None)
    assert (spec is not None) == forked
    if spec is not None:
        other = replace(launch, argv=(sys.executable, *argv[:-1], "2"), fixed=fixed)
        assert getattr(launcherspec.spec_of(other, sys.executable, None), "key", "") == spec.key


@pytest.mark.by_default(3)
@pytest.mark.parametrize(
    ("name", "forked"),
    [("LR", True), ("KERAS_BACKEND", True), ("PYTHONHASHSEED", False), ("PYTHONPATH", False), ("LD_PRELOAD", False),
     ("PATH", False), ("OMP_NUM_THREADS", False), ("TF_DETERMINISTIC_OPS", False), ("POLARS_MAX_THREADS", False)],
)  # fmt: skip
def test_variable_that_differs_and_is_read_before_any_import_is_not_shared(name: str, forked: bool, both: Both) -> None:
    """What an import reads by itself is noticed when it does."""
    launch = both.launch("warm", {"train.py": ""}, ("train.py",))
    both.end("warm")
    varying = replace(launch, varying=frozenset([name]))
    assert (launcherspec.spec_of(varying, sys.executable, None) is not None) == forked


@pytest.mark.slow
def test_other_visible_devices_have_a_launcher_of_their_own(both: Both) -> None:
    site = both.root / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "lib.py").write_text("import os\nseen = os.environ['CUDA_VISIBLE_DEVICES']\n")
    for trial, devices in enumerate(("0", "1", "0")):
        env = {"PYTHONPATH": str(site), "CUDA_VISIBLE_DEVICES": devices}
        launch = both.launch("warm", {"train.py": "import lib\nprint(lib.seen)"}, ("train.py",), trial, env)
        both.end("warm")
        assert Path(launch.paths.attempt(1), logfiles.NAME).read_text() == f"{devices}\n"


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (("python", "train.py", "-m", "x"), Command(1, script="train.py")),
        (("/usr/bin/python3.11", "-u", "-W", "ignore", "train.py"), Command(4, script="train.py")),
        (("python3", "-Wignore", "-OO", "-m", "pack.train"), Command(4, module="pack.train")),
        (("python", "-c", "print(1)"), None),
        (("python", "-"), None),
        (("python",), None),
        (("python", "-X", "importtime", "train.py"), None),
        (("python", "-i", "train.py"), None),
        (("torchrun", "train.py"), None),
        (("env", "A=1", "python", "train.py"), None),
    ],
)
def test_commands_that_can_be_forked(argv: tuple[str, ...], command: Command | None) -> None:
    assert Command.of(argv) == command


def test_every_variable_that_differs_between_attempts_is_known(tmp_path: Path) -> None:
    spec = StudySpec("a", SearchSpace((Float("x", 0, 1),)), (Objective("loss"),), ("python", "train.py"), str(tmp_path))
    one, two = (
        binding.environment(spec, StudyPaths(str(tmp_path)).trial(i), os.environ, f"nonce{i}", (), spec.env)
        for i in (1, 2)
    )
    differing = {name for name in one if one[name] != two[name]}
    result_dirs = {name for name in one if one[name] == one["RESULT_DIR"]}
    assert differing <= binding.PER_ATTEMPT | result_dirs


@pytest.mark.slow
def test_arrow_is_imported_once_for_all_trials(both: Both) -> None:
    pytest.importorskip("pyarrow")
    text = "import os\nimport pyarrow\nprint(sum(pyarrow.array([1, 2]).to_pylist()), os.environ.get('JE_ARROW_MALLOC_CONF'))"
    cold, warm = (both.seen(kind, {"train.py": text}, ("train.py",)) for kind in ("cold", "warm"))
    assert warm == cold and cold[0][0] == 0 and "3 None" in cold[1]
    assert not both.refused()


@pytest.mark.slow
def test_torch_loader_and_threads(both: Both) -> None:
    pytest.importorskip("torch")
    text = """
        import os
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        def main():
            print(torch.get_num_threads(), torch.get_num_interop_threads())
            data = TensorDataset(torch.arange(64.0).reshape(32, 2))
            print(sum(batch[0].sum().item() for batch in DataLoader(data, batch_size=8, num_workers=2)))
            torch.set_num_threads(2)
            a = torch.ones(400, 400)
            print((a @ a).sum().item())

        if __name__ == "__main__":
            main()
    """
    env = {"OMP_NUM_THREADS": "3"}
    cold, warm = (both.seen(kind, {"train.py": source(text)}, ("train.py",), env=env) for kind in ("cold", "warm"))
    assert warm == cold and cold[0][0] == 0
