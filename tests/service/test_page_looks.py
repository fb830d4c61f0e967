"""All pages in a real browser, light and dark, on a desktop and a phone: nothing complains, axe finds no serious fault,
nothing is wider than the screen."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.drawn_studies import written
from tests.support.pages import DESKTOP, PHONE, Serving, Window, chromium, serving, window

PAGES = {
    "studies": "/", "overview": "/studies/plain", "trials": "/studies/plain?tab=trials",
    "parallel": "/studies/plain?tab=parallel", "figures": "/studies/plain?tab=figures",
    "configuration": "/studies/plain?tab=configuration", "log": "/studies/plain?tab=log",
    "no trials": "/studies/no_trial?tab=trials", "many parameters": "/studies/twenty?tab=trials",
    "trial": "/studies/plain/trials/3", "copied": "/studies/pbt/trials/7", "compare": "/studies/plain/compare?trials=1,2,3",
    "long names": "/studies/long_names/trials/1", "long names compared": "/studies/long_names/compare?trials=0,1",
    "long names listed": "/studies/long_names?tab=trials", "enqueue": "/studies/conditional/enqueue?like=1",
    "submit": "/submit", "account": "/account", "not found": "/studies/nothing",
}  # fmt: skip
LOOKS = [(dark, phone) for phone in (False, True) for dark in (False, True)]
_NOT_FOUND = "error: Failed to load resource: the server responded with a status of 404 (Not Found)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("root")
    for situation in ("plain", "no_trial", "twenty", "pbt", "long_names", "conditional"):
        written(str(root), situation, 12)
    output(root / "plain" / "trials" / "3")
    with serving(root) as found:
        yield found


def output(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "output.log").write_text("\n".join(f"epoch {k}: " + "x" * (k * 7) for k in range(60)))


@pytest.fixture(scope="module")
def looks(browser: Any, service: Serving) -> Iterator[Callable[[bool, bool], Window]]:
    """A window that is logged in, by its colours and its size; each is opened once."""
    with contextlib.ExitStack() as stack:

        @lru_cache
        def opened(dark: bool, phone: bool) -> Window:
            size = PHONE if phone else DESKTOP
            found = stack.enter_context(window(browser, service.host, size=size, dark=dark))
            found.page.goto(f"http://{service.host}{service.login}")
            return found

        yield opened


CASES = [(name, dark, phone) for dark, phone in LOOKS for name in PAGES]


@pytest.mark.slow  # what people do most is under axe-core in test_browser, too
@pytest.mark.parametrize(("name", "dark", "phone"), CASES)
def test_a_page_is_sound(looks: Callable[[bool, bool], Window], name: str, dark: bool, phone: bool) -> None:
    found = looks(dark, phone)
    found.complaints.clear()
    found.go(PAGES[name])
    found.page.wait_for_timeout(200)
    faults = found.faults()
    assert faults == []
    # a phone widens its window with its content, so that the screen is what counts
    assert found.page.evaluate("document.documentElement.scrollWidth") <= (PHONE if phone else DESKTOP)["width"] + 1
    if name == "not found":
        assert found.complaints == [_NOT_FOUND]
        found.complaints.clear()
    found.sound()
