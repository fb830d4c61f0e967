"""What all pages have: their files, the headers that guard them, errors as pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo_engine.service.page import assets
from hpo_engine.service.page.rendering import middle
from tests.support import drawn_studies
from tests.support.service import Served, served


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("root")
    for situation in ("plain", "all_failed", "no_trial", "running", "two", "long_names"):
        drawn_studies.written(str(root), situation, 12)
    folder = root / "broken"
    folder.mkdir()
    (folder / "study.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
    with served(root) as service:
        yield service


def test_a_page_asks_for_nothing_but_files_of_this_version_which_are_kept_for_good(service: Served) -> None:
    page = service.get("/")
    found = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    files = [url for url in found if url.startswith("/static/")]
    assert files and not [url for url in found if re.match(r"\w+:|//", url)]
    for url in files:
        answer = service.get(url)
        assert answer.status_code == 200 and "immutable" in answer.headers["Cache-Control"], url
        assert answer.headers["Content-Encoding"] == "gzip"
    old = service.get("/static/older/style.css")
    assert old.status_code == 200 and old.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ("../rendering.py", "%2e%2e/rendering.py", "..%2frendering.py", "js", "", "js/none.js")
)
def test_no_other_file_is_served(service: Served, path: str) -> None:
    assert service.get(f"/static/{assets.checksum()}/{path}").status_code == 404


def test_scripts_import_files_that_exist() -> None:
    """By relative URLs, so that they are of the same version."""
    folder = Path(assets.__file__).parent / "static"
    for script in (folder / "js").rglob("*.js"):
        for name in re.findall(r"""(?:from|import\() ?["']([^"']+)["']""", script.read_text(encoding="utf-8")):
            assert name.startswith(".") and (script.parent / name).resolve().is_file(), f"{script.name}: {name}"


def test_templates_and_scripts_have_nothing_that_the_policy_forbids() -> None:
    folder = Path(assets.__file__).parent
    for template in (folder / "templates").rglob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|hx-on|\|\s*safe\b|<script>", text), template
        assert not re.search(r"<script(?![^>]* (?:src=|type=.application/json))", text), template
    for script in (folder / "static" / "js").rglob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML =|insertAdjacentHTML|document\.write|\beval\(|new Function",
            script.read_text(encoding="utf-8"),
        ), script


def test_every_page_carries_the_policy(service: Served) -> None:
    for path in ("/", "/studies/none", "/?q=plain"):
        policy = service.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy


def test_the_list_shows_each_study_as_it_stands(service: Served) -> None:
    text = service.get("/").text
    assert all(f'href="/studies/{name}"' in text for name in ("plain", "all_failed", "no_trial", "running", "two"))
    assert 'href="/studies/broken"' in text and "damaged" in text
    assert "interrupted" in text and "max accuracy" in text and "front of" in text
    assert "<img src=x" not in text  # a metric of that name is text


def test_the_list_is_filtered_by_its_url(service: Served) -> None:
    only = service.get("/", params={"q": "ALL_fai", "state": "failed"}).text
    assert 'href="/studies/all_failed"' in only and 'href="/studies/plain"' not in only
    part = service.get("/", params={"q": " plain ", "state": "", "sort": "recent"}, headers={"HX-Request": "true"})
    assert part.headers["HX-Replace-Url"] == "/?q=plain" and "<html" not in part.text
    assert "No study matches" in service.get("/", params={"q": "nothing like it"}).text


def test_a_damaged_study_has_a_page_that_says_why_and_may_be_deleted(service: Served) -> None:
    text = service.get("/studies/broken").text
    assert "study.db: damaged" in text and 'action="/studies/broken/remove"' in text
    answer = service.post("/studies/broken/limits", data={"trials": "3"}, headers={"Accept": "application/json"})
    assert answer.status_code == 409 and "study.db: damaged" in answer.json()["error"]


def test_a_study_that_is_not_there_is_a_page_that_says_so(service: Served) -> None:
    answer = service.get("/studies/<b>none")
    assert answer.status_code == 404 and "text/html" in answer.headers["Content-Type"]
    assert "&lt;b&gt;none" in answer.text and "<b>none" not in answer.text


def test_an_empty_list_says_how_to_begin(tmp_path: Path) -> None:
    with served(tmp_path) as service:
        text = service.get("/").text
    assert "No study yet" in text and f"--root {tmp_path}" in text and 'href="/submit"' in text


def test_a_long_name_keeps_its_tail_and_its_whole() -> None:
    text = middle("optimizer.init_args.very_long_group.learning_rate")
    assert re.sub(r"<[^>]+>", "", text) == "optimizer.init_args.very_long_group.learning_rate"
    assert 'title="optimizer.init_args.very_long_group.learning_rate"' in text
    assert str(middle("<b>")) == '<span class="mid">&lt;b&gt;</span>'
