"""The service's pages in a real Chromium, driven by Playwright: what they complain about is noted."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hpo_engine.control.engines import command_line
from tests.support.browser import browser_path

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
WAIT_MS = 60_000
_AXE = Path(__file__).parent.parent / "data" / "axe" / "axe-4.14.1.min.js"


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser; skips the test where there is none."""
    path = browser_path()
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Window:
    """A page of a browser. `complaints`: errors and warnings on its console, uncaught exceptions, violations of the
    policy, answers of 500. `elsewhere`: what it asked of other hosts."""

    page: Any
    host: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        """Opens a page of the service and waits until its modules are there."""
        self.page.goto(f"http://{self.host}{path}")
        self.settle()

    def settle(self) -> None:
        """Waits until what the page loads by script is in it."""
        self.page.wait_for_function(_SETTLED, timeout=WAIT_MS)

    def faults(self) -> list[str]:
        """What axe-core finds that is serious or critical: rule, element, why."""
        self.page.evaluate(_axe())
        found = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{self.page.url} {fault['id']}: {node['html'][:160]}: {node['failureSummary'][:300]}"
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"][:3]
        ]

    def sound(self) -> None:
        """Fails if the page has complained, or asked anything of another host."""
        assert self.complaints == []
        assert self.elsewhere == []


_SETTLED = """() => document.readyState === "complete" && document.documentElement.dataset.ready === "true" &&
  [...document.querySelectorAll('[data-module="trials/table"], [data-module="trials/curves"]')].every((e) => e.dataset.ready)"""


@lru_cache(maxsize=1)
def _axe() -> str:
    return _AXE.read_text(encoding="utf-8")


@contextlib.contextmanager
def window(
    browser: Any, host: str, *, size: dict[str, int] | None = None, dark: bool = False, **more: Any
) -> Iterator[Window]:
    """A window of its own, without cookies."""
    phone = size is PHONE
    context = browser.new_context(
        viewport=size or DESKTOP, color_scheme="dark" if dark else "light", is_mobile=phone, has_touch=phone,
        reduced_motion="reduce", **more,
    )  # fmt: skip
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    found = Window(page, host)
    page.on("console", lambda said: _note(found, said))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda asked: _follow(found, asked.url))
    page.on(
        "response", lambda answer: answer.status >= 500 and found.complaints.append(f"{answer.status} {answer.url}")
    )
    try:
        yield found
    finally:
        context.close()


def _note(found: Window, said: Any) -> None:
    if said.type in ("error", "warning"):
        found.complaints.append(f"{said.type}: {said.text}")


def _follow(found: Window, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("data", "blob", "about") and parts.netloc != found.host:
        found.elsewhere.append(url)


@dataclass(frozen=True)
class Serving:
    """A `hpo-engine serve` of its own. `login`: the path that logs a browser in."""

    host: str
    login: str
    root: Path


@contextlib.contextmanager
def serving(root: Path, env: dict[str, str] | None = None) -> Iterator[Serving]:
    """Serves the studies under `root` with the real command."""
    child = subprocess.Popen(
        command_line("serve", "--root", str(root), "--port", "0", "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    try:
        assert child.stdout is not None and child.stderr is not None
        line = child.stdout.readline()
        assert line, child.stderr.read()
        where = json.loads(line)
        login = urlsplit(where["login"])
        yield Serving(login.netloc, f"{login.path}?{login.query}", root)
    finally:
        child.terminate()
        child.communicate(timeout=60)
