"""The page of a study: its head, its tabs, the data of its figures, and what can be done there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import drawn_studies
from tests.support.service import Served, served

SITUATIONS = ("plain", "all_failed", "no_trial", "running", "two", "hyperband", "pbt", "long_names", "one_trial")
TABS = ("overview", "trials", "parallel", "figures", "configuration", "log")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("root")
    for situation in SITUATIONS:
        drawn_studies.written(str(root), situation, 12)
    (root / "running" / "model").mkdir()
    (root / "running" / "model" / "train.py").write_text("")
    with served(root) as service:
        yield service


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_tab_shows_a_study_as_it_stands(service: Served, situation: str) -> None:
    for tab in TABS:
        page = service.get(f"/studies/{situation}", params={"tab": tab})
        assert page.status_code == 200 and page.text.count('aria-current="page"') >= 2, tab
        assert "<img src=x" not in page.text


def test_an_unknown_tab_is_the_first_one(service: Served) -> None:
    assert 'id="history-title"' in service.get("/studies/plain?tab=nonsense&figure=nonsense").text


def test_htmx_gets_the_part_that_it_asks_for(service: Served) -> None:
    htmx = {"HX-Request": "true"}
    tab = service.get("/studies/plain?tab=log", headers=htmx).text
    head = service.get("/studies/plain", headers={**htmx, "X-Part": "head"}).text
    assert tab.startswith('<div id="tab"') and "<html" not in tab
    assert head.startswith('<section id="study-head"') and "<html" not in head


def test_failures_are_told_with_their_reasons_and_trials(service: Served) -> None:
    text = service.get("/studies/all_failed").text
    assert "ValueError: loss is negative" in text and "/studies/all_failed/trials/" in text
    assert "No trial has a result yet" in text


def test_learning_curves_are_thinned_and_chosen(service: Served) -> None:
    found = service.get("/studies/plain/learning.json?most=3&show=even").json()
    assert len(found["curves"]) == 3 and found["total"] > 3 and found["metric"] == "val_loss"
    assert all(len(curve["x"]) == len(curve["y"]) <= 240 for curve in found["curves"])
    other = service.get("/studies/plain/learning.json?metric=train_loss").json()
    assert other["metric"] == "train_loss" and other["goal"] == ""
    assert service.get("/studies/plain/learning.json?metric=none").json()["curves"] == []


def test_an_answer_that_the_browser_has_is_not_sent_again(service: Served) -> None:
    first = service.get("/studies/plain/learning.json")
    again = service.get("/studies/plain/learning.json", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304 and not again.content


def test_figures_are_plotlys_or_say_why_there_is_nothing(service: Served) -> None:
    assert "data" in service.get("/studies/plain/figures/slices.json?dark=true").json()
    assert "trial" in service.get("/studies/no_trial/figures/slices.json").json()["nothing"]
    answer = service.get("/studies/plain/figures/slises.json", headers={"Accept": "application/json"})
    assert answer.status_code == 400 and "slices" in answer.json()["error"]


def test_the_sparkline_is_a_picture(service: Served) -> None:
    answer = service.get("/studies/plain/spark.svg?v=1")
    assert answer.headers["Content-Type"] == "image/svg+xml" and "<polyline" in answer.text
    assert "<polyline" not in service.get("/studies/no_trial/spark.svg").text


def test_limits_change_and_without_scripts_the_way_leads_back_to_the_page(service: Served) -> None:
    answer = service.post("/studies/running/limits", data={"trials": "50"}, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/studies/running")
    refused = service.post("/studies/running/limits", data={"parallel": "zero"})
    assert refused.status_code == 400 and "must be a whole number" in refused.text and "<h1>" in refused.text


def test_pages_are_told_which_study_has_changed(service: Served) -> None:
    """Those that follow another one are not."""
    streams = [service.get("/events", params={"study": name}, stream=True) for name in ("", "running", "two")]
    everything, this, other = (stream.iter_content(4096) for stream in streams)
    for told in (everything, this, other):
        assert next(told).startswith(b": connected")
    service.post("/studies/running/limits", data={"parallel": "7"})
    for told in (everything, this):
        assert b'event: studies\r\ndata: {"studies": ["running"]}' in next(told)
    service.post("/studies/two/remove", data={"sure": "two"})
    assert b'["two"]' in next(other)
    for stream in streams:
        stream.close()
    assert service.get("/events", params={"study": "none"}).status_code == 404


def test_a_study_is_deleted_only_with_its_name(service: Served) -> None:
    assert service.post("/studies/one_trial/remove", data={"sure": "yes"}).status_code == 400
    assert service.get("/studies/one_trial").status_code == 200
    answer = service.post("/studies/one_trial/remove", data={"sure": "one_trial"}, allow_redirects=False)
    assert answer.status_code == 303 and service.get("/studies/one_trial").status_code == 404
