"""A real browser for tests: opens a page and notes what it asks for and complains about."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def browser_path() -> str:
    """The browser's program. Skips the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"none of {', '.join(NAMES)} is on the PATH")
    return found


@dataclass
class Visit:
    """`requests`: the URLs that the page asked for, itself and what is in it (data:, blob:) apart. `complaints`: errors
    and warnings on its console. `answers`: what the expressions came to."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)


def visit(page: Path, *expressions: str, ready: str = "true", width: int = 1200, limit_s: float = 400.0) -> Visit:
    """Opens a file and evaluates JavaScript in it, one expression after the other (promises are awaited).

    Args:
        ready: an expression that becomes true when the page is ready.
    """
    return asyncio.run(asyncio.wait_for(_visit(page, expressions, ready, width), limit_s))


async def _visit(page: Path, expressions: tuple[str, ...], ready: str, width: int) -> Visit:
    from choreographer import Browser

    seen = Visit()

    async def note(message: Any) -> None:
        _note(seen, message, page.as_uri())

    async with Browser(path=browser_path(), headless=True, enable_sandbox=False) as browser:
        tab = await browser.create_tab("about:blank")
        for event in (
            "Network.requestWillBeSent",
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
        ):
            tab.subscribe(event, note, repeating=True)
        for domain in ("Network", "Runtime", "Log", "Page"):
            await tab.send_command(f"{domain}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        await tab.send_command("Emulation.setDeviceMetricsOverride", size)
        await tab.send_command("Page.navigate", {"url": page.as_uri()})
        while not await _value(tab, ready):
            await asyncio.sleep(0.1)
        for expression in expressions:
            seen.answers.append(await _value(tab, expression))
    return seen


async def _value(tab: Any, expression: str) -> Any:
    wanted = {"expression": expression, "returnByValue": True, "awaitPromise": True}
    answer = (await tab.send_command("Runtime.evaluate", wanted))["result"]
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    return answer["result"].get("value")


def _note(seen: Visit, message: Any, own: str) -> None:
    params = message["params"]
    if message["method"] == "Network.requestWillBeSent":
        url = params["request"]["url"]
        if url.partition("#")[0] != own and not url.startswith(("data:", "blob:", "about:")):
            seen.requests.append(url)
    elif message["method"] == "Runtime.exceptionThrown":
        seen.complaints.append(str(params["exceptionDetails"]))
    elif message["method"] == "Log.entryAdded":
        if params["entry"]["source"] != "rendering":  # the driver's notes on drawing without a GPU
            seen.complaints.append(str(params["entry"]))
    elif params["type"] in ("error", "warning", "assert"):
        seen.complaints.append(str(params["args"]))
