"""Small scripts that look at what a process can see of itself; each is run by a new interpreter and by a fork."""

from __future__ import annotations

from textwrap import dedent

SCRIPTS: dict[str, str] = {
    "names": """
        for name, value in list(globals().items()):
            print(name, type(value).__name__, value if isinstance(value, (str, dict, type(None))) else "")
        import sys
        print(sys.modules["__main__"].__dict__ is globals(), __loader__.name, __loader__.path)
    """,
    "arguments": """
        import sys
        print(sys.argv, sys.orig_argv, sys.path, sys.flags, sys.executable, sys.prefix, sys.warnoptions, sys._xoptions)
    """,
    "place": """
        import os, pathlib
        print(os.getcwd(), __file__, pathlib.Path(__file__).parent, sorted(os.listdir(".")))
    """,
    "environment": """
        import os, subprocess, sys
        print(sorted(os.environ.items()))
        print(sorted(subprocess.run(["env"], capture_output=True, text=True).stdout.splitlines()))
        shown = {entry for entry in open("/proc/self/environ", "rb").read().split(b"\\0") if entry}
        print(sorted(shown))
    """,
    "streams": """
        import os, stat, sys
        for fd, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
            mode = os.fstat(fd).st_mode
            print(stream.name, stream.encoding, stream.errors, stream.isatty(), stream.seekable(), stream.line_buffering,
                  stream.write_through, stat.S_ISFIFO(mode), stat.S_ISCHR(mode), type(stream.buffer).__name__)
        print(repr(sys.stdin.read()), sys.__stdout__ is sys.stdout)
    """,
    "files": """
        import os
        print(sorted(os.listdir("/proc/self/fd"))[:-1], [os.get_inheritable(fd) for fd in (0, 1, 2)])
    """,
    "process": """
        import os, resource, threading
        print(os.getpgrp() == os.getpid(), os.getsid(0) == os.getppid(), os.umask(0o22), os.nice(0),
              len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_NOFILE), os.getuid(),
              len(os.listdir("/proc/self/task")), threading.active_count(), threading.main_thread().ident
              == threading.get_ident(), threading.current_thread().name)
    """,
    "title": """
        import os
        print(open("/proc/self/cmdline", "rb").read().rstrip(b"\\0").replace(b"\\0", b" "))
    """,
    "signals": """
        import signal
        print([str(signal.getsignal(n)) for n in range(1, 65)], signal.pthread_sigmask(signal.SIG_BLOCK, ()),
              signal.set_wakeup_fd(-1), signal.sigpending())
    """,
    "handler": """
        import os, signal
        signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
        os.kill(os.getpid(), signal.SIGTERM)
        print("goes on")
    """,
    "interrupted-while-threads-end": """
        import signal, threading, time

        def handler(*_):
            raise RuntimeError("enough")

        threading.Thread(target=time.sleep, args=(1.5,)).start()
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
    """,
    "exit-number": "import sys; print('a'); sys.exit(7)",
    "exit-text": "import sys; sys.exit('in words')",
    "exit-text-without-streams": "import sys; sys.stdout = sys.stderr = None; sys.exit('in words')",
    "exit-none": "raise SystemExit",
    "exit-true": "raise SystemExit(True)",
    "exit-large": "raise SystemExit(2**70)",
    "exit-negative": "raise SystemExit(-1)",
    "exit-at-once": "import os; print('lost?'); os._exit(3)",
    "error": """
        def f(x):
            return 1 / x

        def g():
            try:
                f(0)
            except ZeroDivisionError as error:
                raise ValueError("outer") from error

        g()
    """,
    "error-in-module": "import helper\nhelper.fail()",
    "error-group": "raise RuntimeError('a\\nb')",
    "syntax": "print('never')\ndef f(:\n    pass\n",
    "bytes": "# -*- coding: latin-1 -*-\nprint('\u00e4', ascii('\u00e4'))",
    "not-utf8": "print('\u00e4')",
    "interrupt": "raise KeyboardInterrupt",
    "sigint": "import os, signal; os.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(5)",
    "sigterm": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "sigkill": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "sigpipe": "import os\nr, w = os.pipe(); os.close(r); os.write(w, b'x')",
    "abort": "import os; os.abort()",
    "raise-signal": "import signal; signal.raise_signal(signal.SIGUSR1)",
    "hook": """
        import sys
        sys.excepthook = lambda kind, error, trace: print("mine", kind.__name__, error, trace.tb_frame.f_code.co_name)
        raise ValueError(3)
    """,
    "hook-broken": """
        import sys
        def hook(kind, error, trace):
            raise KeyError("broken")
        sys.excepthook = hook
        raise ValueError(3)
    """,
    "exit-functions": """
        import atexit, sys
        atexit.register(print, "first")
        atexit.register(lambda: print("last", sys.modules["__main__"].__dict__ is globals()))
        def broken():
            raise ValueError("in an exit function")
        atexit.register(broken)
        sys.exit(4)
    """,
    "objects-at-the-end": """
        class Loud:
            def __init__(self, name): self.name = name
            def __del__(self): print("gone", self.name)
        a = Loud("a")
        b = Loud("b"); b.me = b
        out = open("unclosed.txt", "w")
        out.write("kept")
        import helper
        helper.kept = Loud("in helper")
    """,
    "signal-at-the-end": """
        import os, signal
        signal.signal(signal.SIGTERM, lambda *_: print("heard"))
        class Last:
            def __del__(self): os.kill(os.getpid(), signal.SIGTERM)
        last = Last()
    """,
    "proxies-at-the-end": """
        import weakref
        class Net: pass
        class Odd:
            @property
            def __class__(self): raise KeyError("asked")
        net = Net(); left = weakref.proxy(net), Odd(); del net
        print("ends well")
    """,
    "threads-at-the-end": """
        import threading, time
        def late():
            time.sleep(0.2)
            print("thread done", threading.main_thread().is_alive())
        threading.Thread(target=late).start()
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        print("main done")
    """,
    "thread-error": """
        import threading
        t = threading.Thread(target=lambda: 1 / 0, name="T")
        t.start(); t.join()
    """,
    "buffers": """
        import os, sys
        sys.stdout.write("no newline")
        sys.stderr.write("error, ")
        os.write(1, b"raw, ")
    """,
    "c-buffers": """
        import ctypes
        libc = ctypes.CDLL(None)
        libc.printf(b"from C\\n")
    """,
    "stdout-closed": "import sys; print('a'); sys.stdout.close()",
    "stdout-broken": "import os, sys\nr, w = os.pipe(); os.dup2(w, 1); os.close(w); os.close(r); print('a')",
    "much": "for i in range(20000): print('line', i)",
    "children": """
        import subprocess, sys
        print(subprocess.run([sys.executable, "-c", "import sys; print(sys.argv, sys.flags.isolated); sys.exit(5)", "x"]))
        print(subprocess.run("echo $0; exit 3", shell=True, capture_output=True).stdout)
    """,
    "fork": """
        import os
        if os.fork() == 0:
            print("child", flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
    """,
    "processes-fork": """
        import multiprocessing as mp
        def square(x): return x * x
        if __name__ == "__main__":
            with mp.get_context("fork").Pool(2) as pool:
                print(pool.map(square, range(5)))
    """,
    "processes-spawn": """
        import multiprocessing as mp, os, sys
        def square(x): return x * x, os.path.basename(sys.argv[0]), __name__
        if __name__ == "__main__":
            with mp.get_context("spawn").Pool(1) as pool:
                print(pool.map(square, range(2)))
            print(mp.process.ORIGINAL_DIR)
    """,
    "processes-forkserver": """
        import multiprocessing as mp
        def square(x): return x * x
        if __name__ == "__main__":
            with mp.get_context("forkserver").Pool(1) as pool:
                print(pool.map(square, range(2)))
    """,
    "futures": """
        import concurrent.futures as f
        with f.ThreadPoolExecutor(2) as pool:
            print(list(pool.map(abs, [-1, 2])))
        pool = f.ThreadPoolExecutor(1)
        pool.submit(print, "left open")
    """,
    "asyncio": """
        import asyncio
        async def main():
            await asyncio.sleep(0.01)
            p = await asyncio.create_subprocess_exec("true")
            print(await p.wait())
        asyncio.run(main())
    """,
    "logging": """
        import logging, sys
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
        record = logging.LogRecord("x", 20, "f", 1, "m", (), None)
        logging.info("hello")
        print(0 <= record.relativeCreated < 60000, logging.getLogger().handlers, logging.raiseExceptions)
    """,
    "warnings": """
        import warnings
        def f():
            warnings.warn("old", DeprecationWarning)
            warnings.warn("odd", UserWarning)
        f(); f()
        print(len(warnings.filters), warnings.showwarning.__name__)
    """,
    "collector": """
        import gc
        print(gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks)
        class Node: pass
        before = len([o for o in gc.get_objects() if isinstance(o, Node)])
        n = Node(); n.me = n; del n
        print(before, gc.collect() > 0)
    """,
    "modules": """
        import sys
        print([m for m in sys.modules if m.split(".")[0] in ("engine", "hpo_engine", "launcher", "shim")], "runpy" in sys.modules)
        import engine, shim
        print(engine.here, shim.here)
    """,
    "pickle": """
        import pickle
        class Net: pass
        text = pickle.dumps(Net())
        print(text, type(pickle.loads(text)) is Net)
    """,
    "source": """
        import inspect, linecache, sys
        def f(): return 1
        print(inspect.getsource(f), inspect.getfile(f), inspect.getmodule(f).__name__, linecache.getline(__file__, 2))
        print(f.__code__.co_filename, f.__module__, sys._getframe().f_code.co_name)
    """,
    "faulthandler": "import faulthandler; print(faulthandler.is_enabled())",
    "recursion": """
        import sys
        print(sys.getrecursionlimit(), sys.getswitchinterval())
        def f(n): return f(n + 1)
        try: f(0)
        except RecursionError as error: print(error)
    """,
    "context": """
        import sys
        print(sys.exc_info(), sys.gettrace(), sys.getprofile())
        try: raise KeyError(1)
        except KeyError as error: print(error.__context__, error.__traceback__.tb_next)
    """,
    "future": "from __future__ import annotations\ndef f(x: nothing): ...\nprint(f.__annotations__)",
    "no-future": "def f(x: int): ...\nprint(f.__annotations__)",
    "time": "import time; print(time.process_time() < 5, time.tzname)",
    "locale": "import locale, sys; print(locale.getlocale(), sys.getfilesystemencoding(), sys.getdefaultencoding())",
    "tempfile": "import tempfile, os; print(tempfile.gettempdir(), os.path.exists(tempfile.mkdtemp()))",
    "hash": "print(hash(1.5), hash(2**70), hash((1, 2)))",
}

OPTIONED: dict[str, tuple[tuple[str, ...], str]] = {
    "optimised": (("-O",), "assert False\nprint(__debug__)"),
    "unbuffered": (("-u",), "import os, sys; sys.stdout.write('a'); os._exit(0)"),
    "strict": (
        ("-W", "error", "-X", "dev"),
        "import sys, warnings; print(sys.warnoptions, sys.flags)\nwarnings.warn('x')",
    ),
    "isolated": (("-I",), "import sys; print(sys.path, sys.flags.isolated)"),
    "siteless": (("-S", "-E"), "import sys; print(sys.path, 'site' in sys.modules)"),
}
"""Options of the interpreter, and a script that sees them."""

HELPER = "here = 'helper'\ndef fail():\n    raise OSError('from the helper')\n"


def source(text: str) -> str:
    return dedent(text).lstrip("\n")
