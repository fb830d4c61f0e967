"""What people do less often on the pages, in a real Chromium on a real service: dragging a folder in, trials that are
paused and run again, a queue, a study file that is edited, users, and all of it without a mouse."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.paths import StudyPaths
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
go = os.path.join(os.environ["DLI_WORK_DIR"], "go")
line = 0
while not os.path.exists(go):
    print(f"line {line} <i>of {os.environ['SUBID']}</i>", flush=True)
    line += 1
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

    # a configuration is put first in line, and runs
    page.get_by_role("link", name="Clone").click()
    page.get_by_label("x", exact=True).fill("2")
    page.get_by_role("button", name="Put it first in line").click()
    page.locator(".wrong .problem").wait_for()
    page.get_by_label("x", exact=True).fill("0.125")
    page.get_by_role("button", name="Put it first in line").click()
    page.wait_for_url(re.compile("/studies/steered$"))

    # one is stopped and run again
    page.goto(f"http://{service.host}/studies/steered/trials/1")
    page.get_by_role("button", name="Stop", exact=True).click()
    state.get_by_text(re.compile("stopped|cancelled")).wait_for()
    page.get_by_role("button", name=re.compile("Retry|Run again")).click()
    state.get_by_text(re.compile("running|pending")).wait_for()

    (model / "go").touch()
    page.goto(f"http://{service.host}/studies/steered?tab=trials")
    page.locator("#study-head").get_by_text("finished").first.wait_for()
    page.get_by_role("grid").get_by_text("0.125").wait_for()
    desktop.sound()


def test_a_script_is_pasted_and_a_study_like_it_is_submitted_and_deleted(desktop: Window, service: Serving) -> None:
    page = desktop.page
    desktop.go("/submit")
    page.get_by_label("Study file").fill(STUDY.format(name="pasted", trials=2))
    page.get_by_role("button", name="Paste a script").click()
    page.get_by_label("Script", exact=True).fill(SCRIPT.partition("go =")[0])
    page.get_by_label("File name").press("Enter")
    page.get_by_text("pasted can be submitted").wait_for()
    assert page.url.endswith("/submit")
    page.get_by_role("button", name="Submit", exact=True).click()
    page.wait_for_url("**/studies/pasted")
    page.locator("#study-head").get_by_text("finished").first.wait_for()

    # its file is changed: with a mistake, then without
    page.get_by_role("link", name="Configuration").click()
    page.get_by_role("button", name="Edit", exact=True).click()
    dialog = page.get_by_role("dialog", name="Edit pasted")
    text = dialog.get_by_label("Study file")
    right = text.input_value()
    text.fill(right.replace("trials: 2", "trails: 4"))
    dialog.get_by_role("button", name="Change the study").click()
    dialog.get_by_text('did you mean "trials"?').wait_for()
    text.fill(right.replace("trials: 2", "trials: 4"))
    dialog.get_by_role("button", name="Change the study").click()
    dialog.wait_for(state="hidden")
    page.locator("#study-head").get_by_text("/ 4 trials").wait_for()
    page.get_by_label("Study file").first.get_by_text("trials: 4").wait_for()

    # another one like it
    page.locator("#study-head summary").first.click()
    page.get_by_role("link", name="Submit one like it").click()
    page.wait_for_url("**/submit?like=pasted")
    text = page.get_by_label("Study file")
    assert "trials: 4" in text.input_value()
    page.get_by_text("pasted").first.wait_for()

    # and the first is deleted
    page.goto(f"http://{service.host}/studies/pasted")
    page.locator("#study-head summary").first.click()
    page.get_by_role("button", name="Delete").first.click()
    dialog = page.get_by_role("dialog", name="Delete pasted?")
    dialog.get_by_label("type its name").fill("wrong")
    dialog.get_by_role("button", name="Delete").click()
    dialog.get_by_text("to delete it, type its name: pasted").wait_for()
    dialog.get_by_label("type its name").fill("pasted")
    dialog.get_by_role("button", name="Delete").click()
    page.wait_for_url(f"http://{service.host}/")
    assert page.get_by_role("link", name="pasted").count() == 0
    assert not Path(StudyPaths(str(service.root / "pasted")).db).exists()


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


def test_46000_trials_of_a_real_study(browser: Any, tmp_path: Path) -> None:
    written(str(tmp_path), "plain", 46_000)
    with serving(tmp_path) as served, window(browser, served.host) as found:
        page = found.page
        page.goto(f"http://{served.host}{served.login}")
        found.go("/studies/plain")
        page.locator("[data-module='charts/history'] canvas").wait_for()
        found.go("/studies/plain?tab=trials")
        assert page.locator(".trials .count").inner_text() == "46,000 trials"
        began = time.perf_counter()
        page.get_by_role("columnheader").filter(has_text="val_loss").first.click()
        page.locator("[role=row][data-row]").first.get_by_text("best").wait_for()
        page.get_by_role("grid").focus()
        page.keyboard.press("Control+End")
        page.wait_for_function("() => document.querySelector('[aria-rowindex=\"46001\"]')")
        assert time.perf_counter() - began < 10
        found.go("/studies/plain?tab=parallel")
        page.locator(".parallel canvas, .parallel svg").first.wait_for()
        assert page.locator("[role=row][data-row]").count() < 80
        found.sound()
