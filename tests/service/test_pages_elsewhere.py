"""What pages of other sites can do to somebody who is signed in, in a real Chromium: link here, and nothing else."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.guarded import Process, hpo_engine, serving
from tests.support.pages import PHONE, Window, chromium, window

pytestmark = pytest.mark.slow
PASSWORD = "correct horse battery staple"
EVIL = """<!doctype html><title>elsewhere</title>
<a href="{url}/studies/none?a=1&amp;b=2">a link</a>
<form id="upload" method="post" enctype="multipart/form-data" action="{url}/platform/rest/deeplearning/v1/hypersearch">
<textarea name="data">{{}}</textarea></form>
<form id="out" method="post" action="{url}/logout"></form>
<form id="in" method="post" action="{url}/login"><input name="name" value="ada"><input name="password" value="x"></form>
<form id="get" method="get" target="frame" action="{url}/"></form><iframe name="frame"></iframe>
"""
FETCH = """async (target) => {
  const ways = [["POST", "no-cors"], ["POST", "cors"], ["DELETE", "cors"], ["PUT", "cors"], ["GET", "cors"], ["GET", "no-cors"]];
  const seen = [];
  for (const [method, mode] of ways) {
    const body = method === "GET" ? undefined : "{}";
    try {
      const answer = await fetch(target, {method, mode, body, credentials: "include", headers: {"Content-Type": "text/plain"}});
      seen.push(await answer.text());
    } catch (error) { seen.push(""); }
  }
  return seen;
}"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("root")
    assert hpo_engine("users", "add", "ada", "--root", str(root), stdin=PASSWORD + "\n").returncode == 0
    with serving(root) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def signed_in(service: Process, browser: Any) -> Iterator[Window]:
    with window(browser, f"127.0.0.1:{service.where['port']}") as found:
        found.page.goto(service.url)
        found.page.fill("input[name=name]", "ada")
        found.page.fill("input[name=password]", PASSWORD)
        found.page.click("button.primary")
        found.page.wait_for_url(service.url + "/")
        yield found


@pytest.fixture(scope="module")
def elsewhere(service: Process) -> Iterator[str]:
    """A site on another port and under another name, both of which make it another one."""
    text = EVIL.format(url=service.url).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def test_a_page_elsewhere_reads_and_changes_nothing(service: Process, signed_in: Window, elsewhere: str) -> None:
    page = signed_in.page
    for form in ("upload", "out", "in"):
        page.goto(elsewhere)
        with page.expect_navigation():
            page.evaluate("(id) => document.getElementById(id).submit()", form)
        assert "a page of another site has sent this" in page.content()
    page.goto(elsewhere)
    for path in ("/api/v1/studies", "/logout", "/platform/rest/deeplearning/v1/hypersearch", "/auth/v1/logon"):
        assert page.evaluate(FETCH, service.url + path) == [""] * 6
    page.evaluate("() => document.getElementById('get').submit()")
    page.wait_for_timeout(500)
    assert len(page.frames) == 2 and "Studies" not in page.frames[1].content()
    assert page.goto(service.url + "/").status == 200 and page.url == service.url + "/", "still signed in"


def test_a_link_elsewhere_leads_here_and_finds_its_reader_signed_in(signed_in: Window, elsewhere: str) -> None:
    signed_in.page.goto(elsewhere)
    signed_in.page.click("text=a link")
    signed_in.page.wait_for_selector("text=All studies")
    assert (
        signed_in.page.url.endswith("/studies/none?a=1&b=2")
        and signed_in.page.locator("form[action='/logout']").count()
    )


def test_signing_in_shows_no_fault_leaves_no_token_and_no_cookie_to_scripts(service: Process, browser: Any) -> None:
    for size, dark in ((None, False), (PHONE, True)):
        with window(browser, f"127.0.0.1:{service.where['port']}", size=size, dark=dark) as found:
            found.page.goto(service.url + "/studies/none")
            assert found.page.url == service.url + "/login?next=/studies/none"
            assert found.faults() == []
            found.page.goto(service.url + "/login?token=" + service.token)
            assert found.page.url == service.url + "/" and found.page.evaluate("document.cookie") == ""
            assert found.page.evaluate("document.referrer") == "" and service.token not in found.page.content()
            found.sound()
