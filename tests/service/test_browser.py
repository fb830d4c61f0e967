"""What people do on the pages, in a real Chromium on a real service: from logging in to the best trial."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.drawn_studies import written
from tests.support.pages import Serving, Window, chromium, serving, window

STUDY = """\
name: bowl
command: python train.py
space:
  x: {float: [0, 1]}
  depth: {int: [1, 4]}
  kind: {choice: [flat, steep]}
  seed: 7
objective: {metric: loss, goal: minimize}
algorithm: random
trials: 6
parallel: 2
"""
SCRIPT = """\
import json, os, time
config = json.load(open("config.json"))
rows = []
for step in range(1, 5):
    loss = (config["x"] - 0.3) ** 2 + 0.1 * abs(3 - step)
    rows.append({"step": step, "loss": loss, "size": step * config["depth"]})
    with open("val_dict_list.json", "w") as file:
        json.dump(rows, file)
    print(f"step {step}: loss {loss} <b>not bold</b>", flush=True)
while os.environ["SUBID"] == "0":
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("root")
    with serving(root) as found:
        yield found


@pytest.fixture
def desktop(browser: Any, service: Serving) -> Iterator[Window]:
    with window(browser, service.host) as found:
        found.page.goto(f"http://{service.host}{service.login}")
        yield found


def script_folder(where: Path) -> Path:
    folder = where / "bowl"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__pycache__" / "old.pyc").write_bytes(b"old")
    (folder / "train.py").write_text(SCRIPT)
    (folder / ("a" * 70)).mkdir()
    (folder / ("a" * 70) / ("ü" * 40 + ".txt")).write_text("a name of over 100 bytes")
    return folder


def test_from_logging_in_to_the_best_trial(desktop: Window, service: Serving, tmp_path: Path) -> None:
    page = desktop.page
    page.get_by_role("link", name="Submit a study").first.click()

    # a text with faults is checked while it is written; a click goes to the line
    text = page.get_by_label("Study file")
    text.fill(STUDY.replace("trials", "trails"))
    page.get_by_text('unknown key "trails"; did you mean "trials"?').wait_for()
    page.get_by_role("button", name="line 10").click()
    assert (
        page.evaluate("document.activeElement.value.slice(document.activeElement.selectionStart).split('\\n')[0]")
        == "trails: 6"
    )
    text.fill(STUDY)

    # a folder is packed and sent
    page.locator("[data-part=folder]").set_input_files(script_folder(tmp_path))
    page.get_by_text("2 files").wait_for()
    page.get_by_text("bowl can be submitted").wait_for()
    assert "__pycache__/" in page.locator("[data-part=left-out]").inner_text()
    page.get_by_role("button", name="Submit", exact=True).click()
    page.wait_for_url("**/studies/bowl")

    # another trial is stopped, and the study finishes while one looks
    page.get_by_role("link", name="Trials", exact=False).first.click()
    row = page.locator("[role=row][data-row='0']")
    row.get_by_text("running", exact=True).wait_for()
    row.locator(".grid-pick").click()
    page.get_by_role("region", name="Selected trials").get_by_role("button", name="Stop").click()
    row.get_by_text("stopped", exact=True).wait_for()
    page.locator("#study-head").get_by_text("finished").first.wait_for()
    page.get_by_role("button", name="Clear", exact=True).click()
    assert page.locator("[data-part=count]").inner_text() == "6 trials"
    model = next((service.root / "bowl" / "model").glob("a*/*.txt"))
    assert model.read_text() == "a name of over 100 bytes"

    # what does not vary is not shown; the best is found by one click, and its step is told
    heads = page.get_by_role("columnheader")
    assert heads.filter(has_text="seed").count() == 0
    heads.filter(has_text="loss").first.click()
    first = page.locator("[role=row][data-row]").first
    best = first.get_attribute("data-row")
    assert first.get_by_text("best").count() == 1
    page.get_by_label("Filter trials").fill("loss<0.2 size>2")
    page.get_by_label("Filter trials").fill("los<0.2")
    page.get_by_text('there is no column "los"; did you mean loss?').wait_for()
    page.get_by_label("Filter trials").fill("")

    # two trials are compared, by keyboard
    page.get_by_role("grid").focus()
    for key in ("ArrowDown", "x", "ArrowDown", "x"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Compare").click()
    desktop.settle()
    page.get_by_role("heading", name="Comparison of 2 trials").wait_for()
    assert page.locator("tr.differs", has_text="x").count() >= 1
    assert page.locator(".curve canvas").count() == 2
    assert desktop.faults() == []

    # the best trial's page
    page.get_by_role("link", name=f"Trial {best}", exact=True).first.click()
    desktop.settle()
    page.get_by_role("heading", name=f"Trial {best}").wait_for()
    assert page.locator("tr.aim td").nth(2).inner_text() == "3"
    assert "<b>not bold</b>" in page.locator("[data-part=output]").inner_text()
    assert page.locator("[data-part=output] b").count() == 0
    desktop.sound()


@pytest.mark.slow
def test_a_brush_filters_the_table_until_all_are_shown_again(desktop: Window, service: Serving) -> None:
    drawn(service)
    desktop.go("/studies/plain?tab=parallel")
    page = desktop.page
    axis = page.get_by_role("slider").or_(page.locator(".parallel [tabindex='0']")).nth(1)
    axis.wait_for()
    axis.focus()
    page.keyboard.press("ArrowUp")
    page.wait_for_function(
        "() => / of 12$/.test(document.querySelector('[data-part=count][role=status].count')?.textContent ?? '')"
    )
    page.get_by_role("button", name="Show all again").click()
    page.wait_for_function("() => document.querySelector('.trials .count').textContent === '12 trials'")
    desktop.sound()


def drawn(service: Serving) -> None:
    """The study plain, with 12 trials."""
    if not (service.root / "plain").exists():
        written(str(service.root), "plain", 12)


def many(count: int) -> dict[str, Any]:
    """The table's data of a study with so many trials."""
    cells = {
        "trial": list(range(count)), "state": ["completed"] * count,
        "value.loss": [(k * 7919 % count) / count for k in range(count)],
        "param.lr": [10.0 ** -(k % 5) for k in range(count)], "param.same": [1] * count,
    }  # fmt: skip
    kinds = {"state": "state"}
    groups = {"value": "objective", "param": "param"}
    columns = [
        {
            "key": key, "name": key.partition(".")[2] or key, "kind": kinds.get(key, "number"), "cells": each,
            "group": groups.get(key.partition(".")[0], ""),
        }
        for key, each in cells.items()
    ]  # fmt: skip
    return {"study": "bowl", "events": 1, "trials": count, "best": [0], "rows": cells["trial"], "columns": columns}


@pytest.mark.slow
def test_46000_trials_are_sorted_filtered_and_scrolled_with_few_rows_in_the_page(
    browser: Any, service: Serving, tmp_path: Path
) -> None:
    drawn(service)
    count, body = 46_000, json.dumps(many(46_000))
    with window(browser, service.host, accept_downloads=True) as found:
        page = found.page
        page.goto(f"http://{service.host}{service.login}")
        page.route("**/trials.json*", lambda route: route.fulfill(body=body, content_type="application/json"))
        found.go("/studies/plain?tab=trials")
        shown = page.locator(".trials .count")
        assert shown.inner_text() == "46,000 trials"
        assert page.get_by_role("columnheader").filter(has_text="same").count() == 0
        page.get_by_role("columnheader").filter(has_text="loss").first.click()
        assert page.locator("[role=row][data-row]").first.get_attribute("data-row") == "0"
        page.get_by_role("grid").focus()
        page.keyboard.press("Control+End")
        page.wait_for_function(f"() => document.querySelector('[aria-rowindex=\"{count + 1}\"]')")
        assert page.locator("[role=row][data-row]").count() < 80
        page.get_by_label("Filter trials").fill("loss<0.5 lr=0.01")
        page.wait_for_function("() => / of 46,000$/.test(document.querySelector('.trials .count').textContent)")
        with page.expect_download() as saved:
            page.get_by_role("button", name="CSV").click()
        lines = Path(saved.value.path()).read_text().splitlines()
        assert lines[0] == "trial,state,loss,lr"
        assert len(lines) - 1 == int(shown.inner_text().split(" of ")[0].replace(",", ""))

        # what was chosen is there again when the page is
        page.get_by_role("button", name="Columns").click()
        page.get_by_role("dialog").get_by_label("same").check()
        page.get_by_role("button", name="Show these").click()
        grip = page.get_by_role("columnheader").filter(has_text="same").locator(".grid-grip")
        box = grip.bounding_box()
        page.mouse.move(box["x"] + 4, box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] + 64, box["y"] + 10)
        page.mouse.up()
        page.reload()
        found.settle()
        head = page.get_by_role("columnheader").filter(has_text="same")
        assert head.bounding_box()["width"] > 110
        assert page.get_by_label("Filter trials").input_value() == "loss<0.5 lr=0.01"
        found.sound()


@pytest.mark.slow
def test_news_change_neither_place_nor_selection_nor_focus(browser: Any, service: Serving) -> None:
    state = {"count": 300, "events": 1}

    def answer(route: Any) -> None:
        data = {**many(state["count"]), "events": state["events"]}
        route.fulfill(body=json.dumps(data), content_type="application/json")

    drawn(service)
    with window(browser, service.host) as found:
        page = found.page
        page.goto(f"http://{service.host}{service.login}")
        page.route("**/trials.json*", answer)
        found.go("/studies/plain?tab=trials&sort=-trial")
        page.get_by_role("grid").focus()
        for key in ("PageDown", "PageDown", "x", "PageDown"):
            page.keyboard.press(key)
        page.wait_for_timeout(200)
        where = "() => [...document.querySelectorAll('.is-active, .is-picked')].map((e) => [e.dataset.row, Math.round(e.getBoundingClientRect().top)])"
        before = page.evaluate(where)
        assert len(before) >= 1
        state.update(count=420, events=2)
        page.evaluate("document.dispatchEvent(new CustomEvent('hpo:changed'))")
        page.wait_for_function("() => document.querySelector('.trials .count').textContent === '420 trials'")
        page.wait_for_timeout(200)
        assert page.evaluate(where) == before
        assert page.evaluate("document.activeElement.getAttribute('role')") == "grid"
        found.sound()
