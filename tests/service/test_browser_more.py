"""What people do less often on the pages, in a real Chromium on a real service: dragging a folder in, pausing a trial,
adding a user, pointing at a trial, and finding the best configuration without a mouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.drawn_studies import written
from tests.support.pages import Serving, Window, chromium, serving, window

pytestmark = pytest.mark.slow

STUDY = """\
name: {name}
command: python train.py
space:
  x: {{float: [0, 1]}}
  kind: {{choice: [flat, steep]}}
objective: {{metric: loss, goal: minimize}}
algorithm: random
trials: {trials}
parallel: 2
"""
SCRIPT = """\
import json, os, time
config = json.load(open("config.json"))
with open("val_dict_list.json", "w") as file:
    json.dump([{"step": 1, "loss": (config["x"] - 0.3) ** 2}], file)
for line in range(200):  # a minute: nothing is left when the test is over for long
    print(f"line {line} <i>of {os.environ['SUBID']}</i>", flush=True)
    time.sleep(0.3)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("root")
    written(str(root), "plain", 12)
    with serving(root) as found:
        yield found


@pytest.fixture
def desktop(browser: Any, service: Serving) -> Iterator[Window]:
    with window(browser, service.host) as found:
        found.page.goto(f"http://{service.host}{service.login}")
        yield found


def drag(page: Any, part: str, paths: list[Path], text: str = "") -> None:
    """Drags files and folders, or a text, from outside the browser onto a part of the page."""
    box = page.locator(part).bounding_box()
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 12}
    items = [{"mimeType": "text/plain", "data": text}] if text else []
    data = {"items": items, "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})


def folder_of(where: Path, script: str = SCRIPT) -> Path:
    folder = where / "dragged"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("left out")
    (folder / "train.py").write_text(script)
    for number in range(120):  # a browser names a hundred at a time
        (folder / "deep" / "er" / f"part-{number}.txt").write_text(str(number))
    return folder


def test_a_folder_is_dragged_in_and_its_trials_are_steered_from_the_page(
    desktop: Window, service: Serving, tmp_path: Path
) -> None:
    page, folder = desktop.page, folder_of(tmp_path)
    desktop.go("/submit")
    (tmp_path / "algo.yaml").write_text(STUDY.format(name="steered", trials=3))
    drag(page, "[data-part=text]", [tmp_path / "algo.yaml"])
    page.wait_for_function("() => document.querySelector('[data-part=text]').value.includes('name: steered')")
    page.get_by_text("send it along").wait_for()
    drag(page, "[data-part=drop]", [folder])
    page.get_by_text("121 files").wait_for()
    page.get_by_text("steered can be submitted").wait_for()

    # leaving more out with the Enter key sends nothing
    page.get_by_label("Left out").fill(".git deep/er/part-1*.txt")
    page.get_by_label("Left out").press("Enter")
    page.get_by_text("90 files").wait_for()
    assert page.url.endswith("/submit")
    page.get_by_role("button", name="Submit", exact=True).click()
    page.wait_for_url("**/studies/steered")

    # the output of a trial grows while one looks
    page.goto(f"http://{service.host}/studies/steered/trials/0")
    output = page.locator("[data-part=output]")
    output.get_by_text("line 2 <i>of 0</i>").wait_for()
    output.get_by_text("line 5 <i>of 0</i>").wait_for()
    assert output.locator("i").count() == 0
    model = service.root / "steered" / "model"
    assert (model / "deep" / "er" / "part-99.txt").read_text() == "99"
    assert not list(model.glob("**/.git")) and not (model / "deep" / "er" / "part-1.txt").exists()

    # it is paused, and goes on
    state = page.locator("#trial .state").first
    page.get_by_role("button", name="Pause", exact=True).click()
    state.get_by_text("paused").wait_for()
    page.get_by_role("button", name=re.compile("Resume|Go on")).click()
    state.get_by_text(re.compile("running|pending")).wait_for()  # another one may have taken its place

    desktop.sound()


def test_from_signing_in_to_the_best_configuration_by_keyboard_alone(browser: Any, service: Serving) -> None:
    token = service.login.partition("token=")[2].partition("&")[0]
    with window(browser, service.host) as found:
        page = found.page
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=f"http://{service.host}")
        found.go("/")
        page.keyboard.press("Tab")
        page.keyboard.type(token)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Studies").wait_for()
        found.settle()
        page.keyboard.press("/")
        page.keyboard.type("plain")
        page.wait_for_function("() => document.querySelectorAll('.studies tbody tr').length === 1")
        reach(page, "document.activeElement.textContent === 'plain'")
        page.keyboard.press("Enter")
        page.wait_for_url("**/studies/plain")
        found.settle()
        reach(page, "document.activeElement.dataset.copy?.includes('lr')")
        page.keyboard.press("Enter")
        page.get_by_text("Copied.").wait_for()
        assert '"lr"' in page.evaluate("navigator.clipboard.readText()")
        found.sound()


def reach(page: Any, there: str) -> None:
    """Presses Tab until the focus is there."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(there):
            return
    raise AssertionError("the Tab key does not lead there")


def test_an_administrator_adds_a_user_who_makes_a_token(desktop: Window, service: Serving, browser: Any) -> None:
    page, password = desktop.page, "correct horse battery"
    desktop.go("/account")
    page.get_by_text("Add a user").click()
    page.get_by_label("Name").fill("ann")
    page.locator(".add-user").get_by_label("New password").fill(password)
    page.locator(".add-user").get_by_label("The same again").fill(password)
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("cell", name="ann", exact=True).wait_for()

    with window(browser, service.host) as hers:
        hers.page.goto(f"http://{service.host}/studies/plain")
        hers.page.get_by_label("Name").fill("ann")
        hers.page.get_by_label("Password").fill(password)
        hers.page.keyboard.press("Enter")
        hers.page.get_by_text('no study "plain"').first.wait_for()  # it is the command line's
        hers.page.get_by_role("link", name="ann").click()
        hers.page.get_by_label("For").fill("my notebook")
        hers.page.get_by_role("button", name="Make a token").click()
        hers.page.get_by_text("It is shown this once").wait_for()
        assert hers.faults() == []
        assert hers.page.get_by_role("heading", name="Users").count() == 0
        hers.page.get_by_role("button", name="Revoke my notebook").click()
        hers.page.get_by_text("There is none.").wait_for()
        assert hers.elsewhere == []

        page.get_by_role("button", name="Remove ann").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        page.get_by_text("whoever has the token").wait_for()
        hers.page.reload()
        hers.page.get_by_role("heading", name="Sign in").wait_for()
    desktop.sound()


def test_everything_about_a_trial_is_told_where_the_pointer_rests(desktop: Window) -> None:
    page = desktop.page
    desktop.go("/studies/plain?tab=trials")
    page.locator("[role=row][data-row='3'] .grid-first").hover()
    tip = page.locator(".tip")
    tip.wait_for()
    assert "dropout" in tip.inner_text()
    box = tip.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 1280 and box["y"] >= 0
    assert box["y"] + box["height"] <= 800
    page.mouse.move(5, 5)
    tip.wait_for(state="hidden")
    desktop.sound()
