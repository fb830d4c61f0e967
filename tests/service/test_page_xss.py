"""Nothing that a person or a script writes becomes a part of a page: 200 payloads in every text there is, in a browser."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.space.searchspace import Choice, Constant, Float, SearchSpace
from hpo_engine.store.journal import Journal
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    Event,
    MetricsSeen,
    SpecChanged,
    StudyOpened,
    TrialEnded,
    TrialProposed,
    TrialQueued,
    fold,
)
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import Budget, Named, StudySpec
from tests.support.pages import Serving, Window, chromium, serving, window

_BREAKS = (
    "", '">', "'>", "</td>", "</textarea>", "</title>", "</script>", "</style>", "-->", "]]>", "\\\">", "`>", "</pre>",
    "</svg>", "<!--><", "%22%3E", "&quot;&gt;", "</option></select>", "{{", "${",
)  # fmt: skip
_VECTORS = (
    "<script x55>window.xss=1</script>", "<img src=x x55 onerror=window.xss=1>", "<svg x55 onload=window.xss=1>",
    "<iframe x55 src=javascript:parent.xss=1>", "<a x55 href=javascript:window.xss=1>click</a>",
    "<details x55 open ontoggle=window.xss=1>", "<style x55>@import'//elsewhere.example/x'</style>",
    '" x55 autofocus onfocus=window.xss=1 "', "<math x55><mtext></form><form><mglyph><style></math><img x55 src onerror=window.xss=1>",
    "{{constructor.constructor('window.xss=1')()}}<b x55>",
)  # fmt: skip
PAYLOADS = [left + right for left, right in itertools.product(_BREAKS, _VECTORS)]
NAME = "named"
_SOME = 12  # parameters and metrics with such names in one study; their values are all payloads


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("root")
    for number, start in enumerate(range(0, len(PAYLOADS), _SOME)):
        study(root, f"{NAME}-{number}", PAYLOADS[start : start + _SOME])
    with serving(root) as found:
        yield found


def study(root: Path, name: str, payloads: list[str]) -> None:
    """A study of which every text is a payload: parameters, their values, metrics, reasons, output, files, trackers, what
    was changed and by whom, what waits in line, the engine's log."""
    names = [f"{text}{number}"[:190] for number, text in enumerate(payloads)]
    space = SearchSpace(
        (
            Float("x", 0.0, 1.0),
            *[Choice(text, (text, "plain")) for text in names],
            Constant("kept", payloads[0]),
        )
    )
    spec = StudySpec(
        name, space, (Objective(payloads[0]),), ("python", "train.py", payloads[-1]), "/model", budget=Budget(trials=50),
        notes=tuple(payloads), extra_metrics=dict.fromkeys(payloads[1:4], "minimize"), seed=1,
        trackers=tuple([Named(text, {text: text}) for text in payloads]),
    )  # fmt: skip
    paths, now = StudyPaths(str(root / name)), 1_700_000_000.0
    events: list[Event] = [StudyOpened(now, spec.to_json(), f"# {payloads[0]}\nname: {name}\n")]
    for trial, text in enumerate(payloads):
        params = {"x": 0.5, "kept": payloads[0], **{n: (n if trial % 2 else "plain") for n in names}}
        rows = tuple(Row(step, dict.fromkeys(payloads, 1.0 / step)) for step in (1, 2))
        end = {"code": 1, "error": text, "seconds": 1.0}
        events += [
            TrialProposed(now, trial, params),
            AttemptIntended(now, trial, 1, f"{trial}-1"),
            AttemptStarted(now, trial, 1, 1),
            MetricsSeen(now, trial, rows),
        ]
        if trial % 3:
            events += [TrialEnded(now, trial, "completed", 0.5, text, {"code": 0, "seconds": 1.0})]
        else:
            events += [
                AttemptEnded(now, trial, 1, end, text, "exit_code"),
                TrialEnded(now, trial, "failed", None, text, end, failure="exit_code"),
            ]
        own, result = Path(paths.trial(trial).own), Path(paths.trial(trial).result_dir)
        own.mkdir(parents=True)
        result.mkdir(parents=True)
        (own / "output.log").write_text("\n".join(payloads))
        (result / (text.replace("/", "∕")[:120] + ".html")).write_text(text)
    events += [
        SpecChanged(now, {"trials": 60}, lines=tuple(payloads), who=payloads[2]),
        *[TrialQueued(now, place, {text: text}) for place, text in enumerate(names)],
    ]
    Path(paths.engine_log).write_text("\n".join(payloads))
    journal = Journal(paths.db, write=True)
    journal.append(events, fold(events))
    journal.close()


def visit(found: Window, path: str) -> None:
    found.go(path)
    found.page.wait_for_timeout(150)
    assert found.page.evaluate("[window.xss, document.querySelectorAll('[x55]').length]") == [None, 0], path


@pytest.mark.parametrize("number", [0, *[pytest.param(k, marks=pytest.mark.slow) for k in range(1, -(-200 // _SOME))]])
def test_no_payload_becomes_part_of_a_page(service: Serving, browser: Any, number: int) -> None:
    base = f"/studies/{NAME}-{number}"
    with window(browser, service.host) as found:
        found.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        found.page.goto(f"http://{service.host}{service.login}")
        for path in (
            "/",
            base,
            f"{base}?tab=trials",
            f"{base}?tab=parallel",
            f"{base}?tab=configuration",
            f"{base}?tab=log",
        ):
            visit(found, path)
        for figure in ("slices", "failures") if number else ():  # Plotly is slow to load
            found.go(f"{base}?tab=figures&figure={figure}")
            found.page.locator(".plot svg, .plot canvas").first.wait_for()
            assert found.page.evaluate("[window.xss, document.querySelectorAll('[x55]').length]") == [None, 0], figure
        visit(found, f"{base}?tab=trials&filter=%22%3E%3Csvg%20x55%20onload%3Dwindow.xss%3D1%3E")
        assert "<svg x55" in found.page.get_by_label("Filter trials").input_value()
        visit(found, f"{base}?tab=trials")
        found.page.get_by_role("grid").focus()
        for key in ("ArrowDown", "i"):
            found.page.keyboard.press(key)
        found.page.locator(".tip").wait_for()
        found.page.get_by_role("button", name="Columns").click()
        assert found.page.evaluate("document.querySelectorAll('[x55]').length") == 0
        for path in (f"{base}/trials/0", f"{base}/trials/1", f"{base}/compare?trials=0,1,2", f"{base}/enqueue?like=1"):
            visit(found, path)
        assert found.page.inner_text("body").count("x55") >= 2  # it is there, as text
        found.page.goto(f"http://{service.host}/submit")
        found.page.get_by_label("Study file").fill("\n".join(PAYLOADS[number * _SOME : (number + 1) * _SOME]))
        found.page.locator("[data-part=check] .problem").wait_for()
        assert found.page.evaluate("[window.xss, document.querySelectorAll('[x55]').length]") == [None, 0]
        found.sound()
