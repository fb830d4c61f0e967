"""What an import makes on the disk: a cache that all processes share does no harm, what a process has for itself does."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from hpo_engine.contract.outputlog import logfiles
from tests.support.both import Both

SHARED = {
    "named-for-the-user": """
        import getpass, tempfile
        os.makedirs(os.path.join(tempfile.gettempdir(), f"libinductor_{getpass.getuser()}"), exist_ok=True)
    """,
    "below-home": """
        import pathlib
        folder = pathlib.Path.home() / ".cache" / "lib" / "index"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "fonts.json").write_text("{}")
    """,
    "named-by-a-variable": "os.makedirs(os.path.join(os.environ['XDG_CACHE_HOME'], 'lib'), exist_ok=True)",
    "named-for-a-version": """
        import sys
        os.makedirs(os.path.expanduser(f"~/.lib/v2.13.0-py{sys.version_info[0]}{sys.version_info[1]}"), exist_ok=True)
    """,
    "named-for-its-content": """
        import hashlib
        os.makedirs(os.path.expanduser("~/.lib/" + hashlib.sha256(b"x").hexdigest()[:16]), exist_ok=True)
    """,
    "drawn-then-renamed": """
        import tempfile
        if not os.path.exists(os.path.expanduser("~/lib")):
            os.rename(tempfile.mkdtemp(dir=os.path.expanduser("~")), os.path.expanduser("~/lib"))
    """,
    "removed-at-once": """
        import tempfile
        with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as file:
            pass
    """,
    "tidied-at-the-end": """
        import atexit
        folder = os.path.expanduser("~/lib")
        os.makedirs(folder, exist_ok=True)
        atexit.register(lambda: [os.remove(os.path.join(folder, name)) for name in os.listdir(folder) if "old" in name])
    """,
    "removed-at-the-end-if-there-is-any": """
        import atexit, shutil
        folders = []
        atexit.register(lambda: [shutil.rmtree(folder) for folder in folders])
    """,
    "two-levels-with-a-file-descriptor": """
        fd = os.open(os.path.expanduser("~"), os.O_RDONLY)
        try:
            os.mkdir("lib", dir_fd=fd)
        except FileExistsError:
            pass
        os.close(fd)
    """,
    "kept-as-a-method": """
        class Accessor:
            mkdir, open = os.mkdir, os.open
        if not os.path.exists(os.path.expanduser("~/lib")):
            Accessor().mkdir(os.path.expanduser("~/lib"))
        os.close(Accessor().open(os.path.expanduser("~/lib"), os.O_RDONLY))
    """,
}

OWN = {
    "temporary-folder": ("import tempfile\nfolder = tempfile.mkdtemp('-lib')", "makes a temporary folder"),
    "temporary-folder-elsewhere": (
        "import tempfile\nfolder = tempfile.mkdtemp(dir=os.path.expanduser('~'))",
        "makes a temporary folder",
    ),
    "temporary-folder-that-an-object-removes": (
        "import tempfile\nfolder = tempfile.TemporaryDirectory(prefix='matplotlib-')",
        "makes a temporary folder",
    ),
    "temporary-file": ("import tempfile\nfd, path = tempfile.mkstemp()\nos.close(fd)", "makes a temporary file"),
    "temporary-file-by-its-class": (
        "import tempfile\nfile = tempfile.NamedTemporaryFile(delete=False)\nfile.close()",
        "makes a temporary file",
    ),
    "temporary-name": ("import tempfile\nos.mkdir(tempfile.mktemp())", "makes what each process has for itself"),
    "pid": ("os.mkdir(os.path.expanduser(f'~/lib-{os.getpid()}'))", "makes what each process has for itself"),
    "uuid": ("import uuid\nos.makedirs(os.path.expanduser(f'~/lib/{uuid.uuid4()}'))", "has for itself"),
    "hex-digits": ("import secrets\nos.mkdir(os.path.expanduser('~/lib_' + secrets.token_hex(4)))", "has for itself"),
    "random-letters": (
        "import random, string\nos.mkdir(os.path.expanduser('~/lib-' + ''.join(random.choices(string.ascii_lowercase, k=8))))",
        "has for itself",
    ),
    "time": ("import time\nos.mkdir(os.path.expanduser(f'~/run-{time.time_ns()}'))", "has for itself"),
    "removed-at-the-end": (
        "import atexit, shutil\npath = os.path.expanduser('~/lib')\nos.makedirs(path, exist_ok=True)\n"
        "atexit.register(shutil.rmtree, path, True)",
        "removes at its end",
    ),
    "removed-by-a-function": (
        "import atexit, shutil\npath = os.path.expanduser('~/lib')\nos.makedirs(path, exist_ok=True)\n"
        "def bye():\n    tidy()\natexit.register(bye)\n"
        "def tidy(path=path):\n    shutil.rmtree(path, ignore_errors=True)",
        "removes at its end",
    ),
    "removed-by-a-finalizer": (
        "import shutil, weakref\nclass Cache: pass\ncache = Cache()\npath = os.path.expanduser('~/lib')\n"
        "os.makedirs(path, exist_ok=True)\nweakref.finalize(cache, shutil.rmtree, path, ignore_errors=True)",
        "removes at its end",
    ),
    "file-removed-at-the-end": (
        "import atexit\npath = os.path.expanduser(f'~/lib-{os.getpid()}.lock')\nopen(path, 'w').close()\n"
        "atexit.register(os.unlink, path)",
        "removes at its end",
    ),
    "file-of-the-process": (
        "import tempfile\nopen(f'{tempfile.gettempdir()}/lib-{os.getpid()}.log', 'w').close()",
        "makes a temporary file for its process",
    ),
    "below-the-working-folder": (
        "os.makedirs('lib_output', exist_ok=True)",
        "makes a folder in the working directory (lib_output)",
    ),
}


def _ran(tmp_path: Path, text: str, trials: int = 2) -> list[str]:
    """What was said of a study whose script imports a library of this text, on a machine with nothing on it yet."""
    site = tmp_path / "lib" / "site-packages"
    for folder in (site, tmp_path / "home", tmp_path / "tmp"):
        folder.mkdir(parents=True)
    lines = text.splitlines()
    indent = len(lines[1]) - len(lines[1].lstrip()) if len(lines) > 1 and not lines[0].strip() else 0
    (site / "lib.py").write_text("\n".join(["import os", *(line[indent:] for line in lines)]) + "\n")
    env = {
        "PYTHONPATH": str(site), "HOME": f"{tmp_path}/home", "TMPDIR": f"{tmp_path}/tmp",
        "XDG_CACHE_HOME": f"{tmp_path}/home/caches", "USER": os.environ.get("USER", "somebody"),
    }  # fmt: skip
    with closing(Both(tmp_path)) as both:
        for trial in range(trials):
            both.launch("warm", {"train.py": "import lib"}, ("train.py",), trial, env)
        assert [end.exit.code for end in both.end("warm", trials)] == [0] * trials
        return both.refused()


@pytest.mark.by_default("tidied-at-the-end")
@pytest.mark.parametrize("name", SHARED)
def test_cache_that_all_processes_share_keeps_no_study_cold(name: str, tmp_path: Path) -> None:
    assert _ran(tmp_path, SHARED[name]) == []


@pytest.mark.by_default("[temporary-name]", "[pid]", "removed-at-the-end")
@pytest.mark.parametrize("name", OWN)
def test_what_each_process_has_for_itself_is_found_out(name: str, tmp_path: Path) -> None:
    text, why = OWN[name]
    told = _ran(tmp_path, text)
    assert len(told) == 1 and why in told[0] and "import lib" in told[0]


def test_refused_import_leaves_no_temporary_folder_of_the_launcher(tmp_path: Path) -> None:
    """Its process ends without exit functions: what it drew would stay for ever."""
    assert _ran(
        tmp_path, "import atexit, shutil, tempfile\natexit.register(shutil.rmtree, tempfile.mkdtemp())", trials=1
    )
    assert list((tmp_path / "tmp").iterdir()) == []


def test_thread_that_is_about_to_end_keeps_no_study_cold(tmp_path: Path) -> None:
    """As matplotlib has one while it makes its list of fonts, on a machine that has none yet."""
    text = "import threading\ntimer = threading.Timer(60, print)\ntimer.start()\ntimer.cancel()"
    late = "import threading, time\nthreading.Thread(target=time.sleep, args=(0.05,)).start()"
    assert _ran(tmp_path, f"{text}\n{late}", trials=1) == []


@pytest.mark.slow
@pytest.mark.parametrize("package", ["lightning.pytorch", "matplotlib.pyplot", "numba", "transformers"])
def test_packages_on_a_machine_with_empty_folders(package: str, tmp_path: Path) -> None:
    """Only matplotlib must be found out, and only if it cannot have its usual folders and draws one."""
    pytest.importorskip(package.partition(".")[0])
    for kind, home in (("usual", tmp_path / "home"), ("none", Path("/proc/nowhere"))):
        temporary = tmp_path / kind / "tmp"
        temporary.mkdir(parents=True)
        with closing(Both(tmp_path / kind)) as both:
            env = {"HOME": str(home), "TMPDIR": str(temporary)}
            launch = both.launch(
                "warm", {"train.py": f"import {package}, sys\nprint(*sys.modules)"}, ("train.py",), env=env
            )
            (end,) = both.end("warm")
            assert end.exit.code == 0
            modules = Path(launch.paths.attempt(1), logfiles.NAME).read_text().split()
            draws = kind == "none" and "matplotlib" in modules
            told = both.refused()
            assert len(told) == draws and all(f"makes a temporary folder ({temporary}/matplotlib-" in t for t in told)
