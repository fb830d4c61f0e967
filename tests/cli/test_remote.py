"""The command line as a client: verbs at a real server do what they do here, and a server that dies is waited for."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.helpers import wait_until
from tests.support.shell import SLEEPER, Shell

DRAWS = """\
from plugins.core.base_plugin_opt import BasePluginOptimizer


class PluginOptimizer(BasePluginOptimizer):
    def __init__(self, name, hyper_parameters, **kwargs):
        super().__init__(name, hyper_parameters, **kwargs)

    def search(self, number_samples, last_exp_results):
        return [{"x": 0.5}] * number_samples
"""


class Server:
    """`hpo-engine serve` in a process of its own, which can be killed and started again at the same port."""

    def __init__(self, folder: Path) -> None:
        self.root, self._port = folder / "served", 0
        self._env = {**os.environ, "XDG_CONFIG_HOME": str(folder), "MARK": str(folder)}
        self.start()

    def start(self) -> None:
        argv = ["serve", "--root", str(self.root), "--port", str(self._port), "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hpo_engine.cli", *argv], stdout=subprocess.PIPE, text=True, env=self._env
        )
        assert self.process.stdout is not None
        where = json.loads(self.process.stdout.readline())
        self.url, self.login, self._port = where["url"], where["login"], where["port"]

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("server"))
    yield found
    found.close()


@pytest.fixture
def client(shell: Shell, server: Server) -> Shell:
    """Somebody who has logged in, elsewhere."""
    home = shell.folder.parent
    shell.env |= {"XDG_CONFIG_HOME": f"{home}/config", "XDG_CACHE_HOME": f"{home}/cache"}
    shell.run("login", server.login)
    shell.env["HPO_ENGINE_SERVER"] = server.url
    return shell


def named(client: Shell, name: str, **replaced: str) -> str:
    text = (client.folder / "algo.yaml").read_text()
    for before, after in replaced.items():
        text = text.replace(before, after)
    client.write("algo.yaml", f"name: {name}\n{text}")
    return name


def test_a_study_at_a_server_reads_as_one_here(client: Shell, server: Server) -> None:
    client.write("lib/part.py", "x = 1\n")
    client.write("secret.txt", "left out\n")
    name = named(client, "alike", command="exclude: [secret.txt]\ncommand")
    out = client.run("submit", "algo.yaml")
    assert "[4/4] trial" in out and "alike finished" in out and f"127.0.0.1:{server.root}/alike" in out
    assert "3 files" in client.err
    assert sorted(p.name for p in (server.root / name / "model").rglob("*.*")) == ["algo.yaml", "part.py", "train.py"]
    assert (server.root / name / "algo.yaml").read_text() == (client.folder / "algo.yaml").read_text()
    _alike(client, server, ["show", name], ["show", name, "1"], ["logs", name, "2"])
    assert client.run("list").split("\n")[1].split()[:3] == [name, "finished", "4/4"]


def _alike(client: Shell, server: Server, *verbs: list[str]) -> None:
    """What a verb prints is what it prints at the server itself, but for the host before folders."""
    for verb in verbs:
        there, here = client.run(*verb), client.run(*verb, "--root", str(server.root))
        assert there.replace(f"127.0.0.1:{server.root}", str(server.root)) == here, verb


@pytest.mark.slow
def test_all_that_reads_and_goes_on(client: Shell, server: Server) -> None:
    name = named(client, "whole")
    client.run("submit", "algo.yaml")
    _alike(
        client, server, ["show", name, "--json"], ["best", name], ["best", name, "--config"], ["export", name],
        ["compare", name, "0", "1"], ["plot", name], ["backtest", name], ["explain", name], ["watch", name, "--jsonl"],
    )  # fmt: skip
    (there,), (here,) = (
        [each for each in client.json("list", *where) if each["study"] == name]
        for where in ([], ["--root", str(server.root)])
    )
    assert there.pop("owner") and there == here
    assert client.run("retry", name, "--failed") == "nothing to retry: no trial failed\n"
    client.run("report", name, "--out", "r.html")
    assert name in (client.folder / "r.html").read_text()
    assert "whole is complete already" in client.run("submit", "algo.yaml")
    assert client.json("submit", "algo.yaml", "--trials", "6")["counts"]["completed"] == 6
    client.write("algo.yaml", (client.folder / "algo.yaml").read_text().replace("[0, 2]", "[0, 3]"))
    client.refuses("submit", "algo.yaml", words="differs from this file")


def test_a_server_that_is_killed_is_waited_for(client: Shell, server: Server) -> None:
    client.write("train.py", TRAIN_UNTIL)
    name = named(client, "outlived")
    watching = client.start("submit", "algo.yaml")
    wait_until(lambda: (server.root / name / "results" / "1" / "began").exists())
    server.kill()
    (server.root / "go").touch()
    wait_until(lambda: (server.root / name / "results" / "3" / "val_dict_list.json").exists())
    server.start()
    out, err = watching.communicate(240)
    assert watching.returncode == 0, (out, err)
    assert "trying again" in out and "is back" in out and "[4/4]" in out and "outlived finished" in out


TRAIN_UNTIL = """\
import json, os, pathlib, time
pathlib.Path("began").touch()
while not (pathlib.Path(os.environ["RESULT_DIR"]).parents[2] / "go").exists():
    time.sleep(0.05)
json.dump([{"step": 1, "loss": 1.0}], open("val_dict_list.json", "w"))
"""


def test_ctrl_c_stops_the_study_at_the_server(client: Shell, server: Server) -> None:
    client.write("train.py", SLEEPER)
    name = named(client, "stopped", trials="trial: {grace: 20}\ntrials")
    running = client.start("submit", "algo.yaml")
    wait_until(lambda: (server.root / name / "results" / "1" / "began").exists())
    os.kill(running.pid, signal.SIGINT)
    out, err = running.communicate(240)
    assert running.returncode == 130 and "press Ctrl-C again to kill" in out and "stopped" in out, (out, err)
    assert client.json("show", name)["state"] == "stopped"


def test_advice_names_the_server_that_was_named(client: Shell, server: Server) -> None:
    at = ["--server", client.env.pop("HPO_ENGINE_SERVER")]
    name = named(client, "advised")
    out = client.run("submit", "algo.yaml", *at)
    assert f"hpo-engine best advised --server {server.url} --config" in out and "continues after" not in out
    client.write("algo.yaml", (client.folder / "algo.yaml").read_text().replace("[0, 2]", "[0, 3]"))
    client.refuses("submit", "algo.yaml", *at, words=f"hpo-engine remove {name} --server {server.url}, or another")
    client.write("edit.sh", "sed -i 's/^trials: .*/trials: 9/' \"$1\"\n")
    client.env["EDITOR"] = "sh edit.sh"
    assert f"hpo-engine resume {name} --server {server.url}\n" in client.run("edit", name, *at)


@pytest.mark.slow
def test_changes_are_asked_of_the_server(client: Shell, server: Server) -> None:
    client.write("train.py", SLEEPER)
    name = named(client, "changed", trials="trial: {grace: 20}\ntrials")
    assert client.json("submit", "algo.yaml", "--detach")["server"] == server.url
    wait_until(lambda: (server.root / name / "results" / "1" / "began").exists())
    client.refuses("submit", "algo.yaml", words="runs at http.* already", code=4)
    assert client.json("cancel", name, "0") == [{"trial": 0, "state": "stopped"}]
    wait_until(lambda: (server.root / name / "results" / "2" / "began").exists())
    assert "first in line" in client.run("enqueue", name, "x=1.5", "kind=a b")
    client.refuses("enqueue", name, "x=9", words="x: ")
    client.refuses("cancel", name, "77", words="has no trial 77")
    assert "trial 1 is paused" in client.run("pause", name, "1", "--kill")
    assert "trials: 4 -> 9" in client.run("edit", name, "--set", "trials=9", "--yes")
    client.refuses("edit", name, "--set", "trails=9", "--yes", words='no field "trails"; did you mean "trials"')
    assert "changed is stopped; to continue" in client.run("stop", name, "--kill")
    assert client.json("resume", name, "--detach")["study"] == name
    client.run("stop", name, "--kill")
    client.refuses("remove", name, words="add --yes")
    client.run("remove", name, "--yes")
    assert not (server.root / name).exists()
    client.refuses("show", name, words="no study")


@pytest.mark.slow
def test_what_is_wrong_is_said_as_it_is_here(client: Shell, server: Server) -> None:
    client.write(
        "bad.yaml", "command: python train.py\nobjective: {metric: loss, goal: down}\nspace: {x: {float: [0, 2]}}\n"
    )
    there, here = (
        client.refuses("submit", "bad.yaml", words="bad.yaml:2"),
        client.process("submit", "bad.yaml", "--root", "r"),
    )
    assert there == here.stderr
    client.refuses("show", "nothing", words='no study "nothing"')
    client.refuses("list", "--server", server.url, "--root", "x", words="exclude each other")
    client.refuses("list", "--server", "ftp://x", words="https://HOST:PORT")
    client.refuses("list", "--server", "elsewhere", words="logged in")
    assert client.run("list", "--server", "127.0.0.1").startswith("STUDY") or "no studies" in client.run("list")
    client.refuses("replay", "alike", "0", words="works on this machine only")
    client.refuses("list", "--server", "http://127.0.0.1:1", words="cannot be reached", code=5)
    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=_some_web_page, args=(other,), daemon=True).start()
        client.refuses(
            "list", "--server", f"http://127.0.0.1:{other.getsockname()[1]}", words="not an hpo-engine service"
        )
    client.env["HPO_ENGINE_TOKEN"] = "wrong"
    client.refuses("list", words="log in again: hpo-engine login")
    del client.env["HPO_ENGINE_TOKEN"]
    kept = Path(client.env["XDG_CONFIG_HOME"]) / "hpo-engine" / "servers.json"
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.parent.stat().st_mode & 0o777 == 0o700
    client.run("logout", server.url)
    client.refuses("list", words="asks who you are")


@pytest.mark.slow
def test_a_plugin_is_installed_for_the_service_that_runs(client: Shell, server: Server) -> None:
    client.write("mine/optimizer.py", DRAWS)
    study = "name: plugged\nalgorithm: mine\ncommand: python train.py\nobjective: minimize loss\ntrials: 2\n"
    client.write("algo.yaml", f"{study}space: {{x: {{choice: [0.5, 1]}}}}\n")
    client.env["HPO_ENGINE_ALGORITHMS"] = f"{client.folder.parent}/algorithms"
    client.run("algorithms", "install", "mine")
    client.refuses("submit", "algo.yaml", words='unknown algorithm "mine"')
    client.refuses("algorithms", "install", "mine", "--service", "nowhere", words="there is no folder nowhere")
    client.run("algorithms", "install", "mine", "--service", str(server.root))
    assert "[2/2] trial" in client.run("submit", "algo.yaml")
    client.run("algorithms", "uninstall", "mine", "--service", str(server.root))
    client.refuses("submit", "algo.yaml", "--name", "other", words='unknown algorithm "mine"')


def _some_web_page(listener: socket.socket) -> None:
    while True:
        sock, _ = listener.accept()
        sock.recv(10_000)
        sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nhi")
        sock.close()


def test_a_lost_answer_makes_no_second_study(client: Shell, server: Server) -> None:
    """The line breaks after the server has taken the study in: the client sends it again, and it is the same one."""
    name = named(client, "once")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, submits = listener.getsockname()[1], list[bytes]()
        threading.Thread(target=_forward, args=(listener, server, submits), daemon=True).start()
        client.env["HPO_ENGINE_TOKEN"] = server.login.rpartition("=")[2]
        out = client.run("submit", "algo.yaml", "--server", f"http://127.0.0.1:{port}")
    assert "broken off" in client.err and "trying again" in client.err and "once finished" in out
    assert len(submits) == 2 and sum(path.name.startswith(name) for path in server.root.iterdir()) == 1


def _forward(listener: socket.socket, server: Server, submits: list[bytes]) -> None:
    """Passes requests on, and answers back, but for the answer to the first submit."""
    host, port = server.url.removeprefix("http://").split(":")

    def serve(sock: socket.socket) -> None:
        with sock, socket.create_connection((host, int(port))) as there:
            first = sock.recv(65536)
            submit = first.startswith(b"POST /api/v1/studies ")
            if submit:
                submits.append(first)
            there.sendall(first)
            threading.Thread(target=_pump, args=(sock, there), daemon=True).start()
            if submit and len(submits) == 1:
                there.recv(65536)  # it is done
                sock.shutdown(socket.SHUT_RDWR)
            else:
                _pump(there, sock)

    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
