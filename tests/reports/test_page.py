"""The page of a report: what is in it, that it asks nobody for anything, and that a real browser shows it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.reports.page import page
from hpo_engine.reports.page.sections import Moment
from hpo_engine.study.history import History
from tests.support.browser import visit
from tests.support.drawn_studies import EVIL, SITUATIONS, history_of

SMALL = {"pbt": 4, "asha": 12, "hyperband": 12}
READY = "document.documentElement?.dataset.ready === 'true'"


def written(history: History, theme: str = "") -> str:
    return page(history, Moment(history.state.value, history.last_at + 60, "/runs/study"), theme=theme)


def data_of(content: str) -> dict[str, Any]:
    found = re.search(r'<script type="text/plain" id="data">([^<]*)<', content)
    assert found is not None
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return data


USUAL = ("plain", "all_failed", "no_trial")


@pytest.mark.parametrize(
    "situation", [name if name in USUAL else pytest.param(name, marks=pytest.mark.slow) for name in SITUATIONS]
)
def test_every_study_has_a_page(situation: str) -> None:
    history = history_of(situation, SMALL.get(situation, 6))
    content = written(history)
    data = data_of(content)
    drawn = [figure["name"] for figure in data["figures"]]
    assert all(f'id="figure-{name}"' in content for name in drawn)
    assert all(len(column["cells"]) == len(history.trials) for column in data["columns"])
    assert ('id="config"' in content) is (history.best is not None)


def test_what_comes_from_a_study_is_text_in_the_page() -> None:
    content = written(history_of("long_names", 6))
    assert EVIL not in content and "<img" not in content and "<b>bold" not in content
    assert content.count("<script") == 3  # Plotly, the data, the page's own


def test_an_array_that_figures_share_is_in_the_page_once() -> None:
    data = data_of(written(history_of("plain", 40)))
    arrays = [json.dumps(array) for array in data["pool"]]
    assert len(arrays) == len(set(arrays))


def test_the_same_study_makes_the_same_file_and_a_theme_is_kept() -> None:
    history = history_of("plain", 6)
    assert written(history) == written(history)
    assert 'data-fixed="dark"' in written(history, theme="dark")


def test_a_browser_shows_the_page_without_a_complaint_or_a_request(tmp_path: Path) -> None:
    target = tmp_path / "a b'c%#.html"
    target.write_text(written(history_of("long_names", 52)), encoding="utf-8")
    seen = visit(
        target,
        "[...document.querySelectorAll('.figure')].map(place => place.querySelectorAll('svg.main-svg').length > 0)",
        "document.querySelectorAll('img[src=x]').length",
        # sorted by the trial's number, downwards: the newest is first
        "(() => { const names = document.querySelectorAll('#trials th button'); names[0].click(); names[0].click();"
        " return document.querySelector('#trials tbody td').textContent })()",
        "(() => { document.getElementById('after').click(); return document.getElementById('where').textContent })()",
        "(() => { const before = getComputedStyle(document.body).backgroundColor;"
        " document.getElementById('theme').click(); return [before, getComputedStyle(document.body).backgroundColor] })()",
        "new Promise(done => setTimeout(() => done(document.querySelector('.figure svg.main-svg').style.background), 500))",
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth",
        # the first choices of every figure's menu can be drawn
        "[...document.querySelectorAll('.choice select')].map(menu => [...menu.options].slice(0, 3).map((_, k) => {"
        " menu.value = k; menu.onchange(); return k })).flat().length > 2",
        "document.querySelectorAll('.figure .scatterlayer .trace').length > 0",
        ready=READY,
    )  # fmt: skip
    drawn, images, newest, where, colours, figure, fits, chosen, traces = seen.answers
    assert drawn and all(drawn)
    assert images == 0
    assert newest.startswith("51")
    assert where == "51–52 of 52"
    assert colours == ["rgb(255, 255, 255)", "rgb(20, 24, 29)"]
    assert figure == "rgb(20, 24, 29)", "a figure turns dark with the page"
    assert fits and chosen and traces
    assert not seen.complaints
    assert not seen.requests


@pytest.mark.slow
def test_the_page_fits_a_phone(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text(written(history_of("three", 12)), encoding="utf-8")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    seen = visit(target, wide, ready=READY, width=390)
    assert seen.answers[0] <= 0
    assert not seen.complaints
