"""`hpo-engine serve` as a process of its own, and clients of other programs."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from hpo_engine.errors import SpecError, StudyLocked
from hpo_engine.service.listening import Listening
from hpo_engine.service.server import serve
from tests.support.guarded import Process, hpo_engine, serving
from tests.support.helpers import wait_until


def _never(where: dict[str, Any]) -> None:
    pytest.fail("it serves")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def service(root: Path) -> Iterator[Process]:
    with serving(root, "--tls", "--allow-host", "hpo.example") as found:
        yield found


def asked(service: Process, path: str, host: str = "127.0.0.1") -> requests.Response:
    """As the administrator, with nothing trusted but the self-made certificate."""
    url = f"https://{host}:{service.where['port']}{path}"
    headers = {"X-Auth-Token": service.token}
    return requests.get(url, headers=headers, verify=service.where["certificate"], timeout=60)


def test_clients_trust_the_self_made_certificate_and_no_other(service: Process) -> None:
    for host in ("127.0.0.1", "localhost"):
        assert asked(service, "/api/v1/studies", host).status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(service.url, timeout=60)
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(service.url.replace("https", "http"), timeout=60)
    context = ssl.create_default_context(cafile=service.where["certificate"])
    if hasattr(ssl, "VERIFY_X509_STRICT"):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_connection(("127.0.0.1", service.where["port"])) as plain:
        assert context.wrap_socket(plain, server_hostname="localhost").version() in ("TLSv1.2", "TLSv1.3")


def test_the_fingerprint_that_is_printed_is_that_of_the_certificate(service: Process) -> None:
    from hashlib import sha256

    found = ssl.get_server_certificate(("127.0.0.1", service.where["port"]))
    assert sha256(ssl.PEM_cert_to_DER_cert(found)).hexdigest() == service.where["fingerprint"].replace(":", "").lower()
    key = Path(service.where["certificate"]).parent / "key.pem"
    assert os.stat(key).st_mode & 0o777 == 0o600


def test_cookies_are_for_tls_only(service: Process) -> None:
    url = f"{service.url}/login?token={service.token}"
    answer = requests.get(url, verify=service.where["certificate"], allow_redirects=False, timeout=60)
    assert answer.status_code == 303 and "; Secure" in answer.headers["set-cookie"] and "server" not in answer.headers


def test_another_name_may_be_allowed(service: Process) -> None:
    for host, status in (("hpo.example", 200), ("hpo.example:443", 200), ("evil.example", 403)):
        headers = {"Host": host, "X-Auth-Token": service.token}
        answer = requests.get(
            f"{service.url}/api/v1/studies", headers=headers, verify=service.where["certificate"], timeout=60
        )
        assert answer.status_code == status


def test_programs_find_the_service_and_no_secret_in_its_address(service: Process, root: Path) -> None:
    kept = json.loads((root / ".service" / "server.json").read_text())
    assert kept["url"] == service.url and kept["pid"] == service.process.pid
    assert service.token not in json.dumps(kept) and service.token in service.where["login"]


def test_a_root_has_one_service(service: Process, root: Path) -> None:
    with pytest.raises(StudyLocked, match=f"process {service.process.pid}") as caught:
        serve(str(root), Listening(), _never)
    assert caught.value.exit_code == 4


@pytest.mark.slow
def test_users_may_be_added_while_it_runs(service: Process, root: Path) -> None:
    def get(auth: tuple[str, str] | None = None, **headers: str) -> int:
        url = f"{service.url}/api/v1/studies"
        return requests.get(
            url, auth=auth, headers=headers, verify=service.where["certificate"], timeout=60
        ).status_code

    ada = ("ada", "correct horse battery staple")
    assert get(ada) == 401
    assert hpo_engine("users", "add", "ada", "--root", str(root), stdin=ada[1] + "\n").returncode == 0
    assert get(ada) == 200
    token = hpo_engine("users", "token", "add", "ada", "--label", "laptop", "--root", str(root)).stdout.strip()
    assert get(Authorization=f"Bearer {token}") == 200
    listed = json.loads(hpo_engine("users", "token", "list", "ada", "--json", "--root", str(root)).stdout)
    assert [each["label"] for each in listed] == ["laptop"]
    assert hpo_engine("users", "token", "revoke", listed[0]["id"], "--root", str(root)).returncode == 0
    assert get(Authorization=f"Bearer {token}") == 401
    assert hpo_engine("users", "remove", "ada", "--root", str(root)).returncode == 0
    assert get(ada) == 401
    audit = json.loads(hpo_engine("users", "audit", "--json", "--root", str(root)).stdout)
    assert audit[-1]["status"] == 401 and token not in json.dumps(audit)


@pytest.mark.parametrize(("asked", "says"), [
    (Listening("0.0.0.0"), "can be reached from other machines"), (Listening("::"), "--insecure"),
    (Listening(certificate="/etc/passwd"), "no certificate"), (Listening(certificate="/no/such/file"), "No such file"),
    (Listening(key="x.pem"), "--tls-cert"), (Listening(certificate="x.pem", self_made=True), "only one of them"),
    (Listening("192.0.2.77", insecure=True), "cannot listen on 192.0.2.77"), (Listening("no.such.invalid", insecure=True), "cannot listen"),
])  # fmt: skip
def test_what_cannot_be_served_is_one_line(tmp_path: Path, asked: Listening, says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        serve(str(tmp_path), asked, _never)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SpecError, match="--port"):
        serve(str(tmp_path), Listening(port=taken.getsockname()[1]), _never)


@pytest.mark.slow
def test_refusals_reach_the_command_line(tmp_path: Path) -> None:
    with serving(tmp_path) as own:
        second = hpo_engine("serve", "--root", str(tmp_path), "--port", "0")
        assert second.returncode == 4 and len(second.stderr.splitlines()) == 1 and second.stdout == ""
        taken = hpo_engine("serve", "--root", str(tmp_path / "x"), "--port", str(own.where["port"]))
        assert taken.returncode == 2 and len(taken.stderr.splitlines()) == 1
    refused = hpo_engine("serve", "--root", str(tmp_path / "x"), "--host", "0.0.0.0")
    assert refused.returncode == 2 and "in the clear" in refused.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.by_default(1)
def test_a_signal_ends_it_though_somebody_listens_to_events(tmp_path: Path, number: int, code: int) -> None:
    with serving(tmp_path, "--access-log") as own:
        stream = requests.get(f"{own.url}/events", headers={"X-Auth-Token": own.token}, stream=True, timeout=60)
        assert stream.status_code == 200
        assert requests.get(f"{own.url}/login?token={own.token}", timeout=60).status_code == 200
        began = time.monotonic()
        assert own.end(number) == code
        assert time.monotonic() - began < 30 and not (tmp_path / ".service" / "server.json").exists()
        assert own.process.stderr is not None
        said = own.process.stderr.read()
        assert own.token not in said and "Traceback" not in said and "GET /login 303" in said


@pytest.mark.slow
def test_trickling_clients_and_an_endless_body_leave_others_alone(tmp_path: Path) -> None:
    """500 sockets send a byte now and then, and one sends a body without an end: honest requests stay quick, the
    process does not grow, and all of them are cut."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(2000, hard)), hard))
    with serving(tmp_path) as own:
        address = ("127.0.0.1", own.where["port"])
        before = _rss_mb(own.process.pid)
        heads = [
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"",
            b"POST /platform/rest/deeplearning/v1/hypersearch HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: "
            + own.token.encode() + b"\r\nContent-Length: 100000\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n",
        ]  # fmt: skip
        sockets = [socket.create_connection(address) for _ in range(500)]
        for place, each in enumerate(sockets):
            each.setblocking(False)
            each.sendall(heads[place % 3])
        flood = subprocess.Popen([sys.executable, "-c", _FLOOD, *map(str, address), own.token])
        took, peak, open_ = [], before, list(sockets)
        with requests.Session() as session:
            while open_:
                began = time.monotonic()
                assert session.get(own.url + "/healthz", timeout=60).status_code == 200
                took.append(time.monotonic() - began)
                peak = max(peak, _rss_mb(own.process.pid))
                open_ = [each for each in open_ if _trickled(each)]
                threading.Event().wait(0.05)
                assert len(took) < 5000, f"{len(open_)} are still open"
        assert flood.wait(120) == 0
        for each in sockets:
            each.close()
        assert peak - before < 64 and sorted(took)[int(0.99 * len(took))] < 5
        wait_until(lambda: not os.listdir(tmp_path / ".service" / "spool"))


_FLOOD = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
head = "POST /platform/rest/deeplearning/v1/hypersearch HTTP/1.1\\r\\nHost: localhost\\r\\nX-Auth-Token: %s\\r\\n"
s.sendall((head % sys.argv[3]).encode() + b"Content-Type: multipart/form-data; boundary=x\\r\\n")
s.sendall(b"Transfer-Encoding: chunked\\r\\n\\r\\n20\\r\\n--x\\r\\nContent-Disposition: form-da\\r\\n")
try:
    while True:
        s.sendall(b"10000\\r\\n" + b"a" * 65536 + b"\\r\\n")
except OSError:
    pass
"""


def _trickled(each: socket.socket) -> bool:
    """Sends a byte; False if the connection has been closed."""
    try:
        each.send(b"\r" if each.fileno() % 2 else b"a")
        return bool(each.recv(1000))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _rss_mb(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)
