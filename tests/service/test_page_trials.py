"""The pages of trials without a browser: what they say, what they refuse, what never leaves the study's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo_engine.service.desk import Caller
from tests.support.drawn_studies import written
from tests.support.service import Served, served


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("root")
    for situation in ("plain", "pbt", "two", "no_trial"):
        written(str(root), situation, 14)
    with served(root) as found:
        yield found


def test_the_table_is_sent_whole_and_then_only_what_has_changed(service: Served) -> None:
    first = service.get("/studies/plain/trials.json").json()
    assert (first["trials"], len(first["rows"])) == (14, 14)
    assert service.get(f"/studies/plain/trials.json?since={first['events']}").status_code == 204
    assert service.get("/studies/nothing/trials.json", headers={"Accept": "application/json"}).status_code == 404


@pytest.mark.parametrize("study", ["plain", "pbt", "two"])
def test_every_trial_has_a_page(service: Served, study: str) -> None:
    for number in range(service.get(f"/studies/{study}/trials.json").json()["trials"]):
        answer = service.get(f"/studies/{study}/trials/{number}")
        assert answer.status_code == 200, answer.text
        assert f"Trial {number}" in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_a_trial_that_does_not_exist_is_not_found(service: Served) -> None:
    answer = service.get("/studies/plain/trials/99")
    assert answer.status_code == 404
    assert "plain has no trial 99; it has 14 (from 0)" in answer.text
    assert service.get("/studies/plain/trials/-1").status_code == 404
    assert service.get(f"/studies/plain/trials/{10**30}").status_code == 404


def test_a_trial_that_began_with_the_files_of_another_links_to_it(service: Served) -> None:
    history = service.desk.view(_anybody(), "pbt").history
    assert history is not None
    child = next(trial for trial in history.trials if trial.origin is not None)
    assert child.origin is not None
    text = service.get(f"/studies/pbt/trials/{child.id}").text
    assert f'<a href="/studies/pbt/trials/{child.origin.trial}">' in text
    assert f'<a href="/studies/pbt/trials/{child.id}">' in service.get(f"/studies/pbt/trials/{child.origin.trial}").text


def test_files_are_known_by_ids_and_sent_to_be_saved(service: Served, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    folder = Path(service.root, "plain", "results", "0")
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "<b>.html").write_text("<script>alert(1)</script>")
    os.symlink(secret, folder / "link")
    os.symlink(tmp_path, folder / "folder")
    os.mkfifo(folder / "pipe")
    text = service.get("/studies/plain/trials/0").text
    assert "inner/&lt;b&gt;.html" in text
    assert "secret" not in text
    ids = [part.split('"')[0] for part in text.split("/studies/plain/trials/0/files/")[1:]]
    assert len(ids) == 1
    answer = service.get(f"/studies/plain/trials/0/files/{ids[0]}")
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "application/octet-stream"
    for other in ("inner", "%2e%2e%2fsecret", "link", "0" * 24):
        assert service.get(f"/studies/plain/trials/0/files/{other}").status_code in (404, 405)


def test_output_is_shown_as_a_terminal_would_and_sent_whole(service: Served) -> None:
    folder = Path(service.root, "plain", "trials", "1")
    folder.mkdir(parents=True)
    (folder / "output.log").write_bytes(b"\x1b[31mred\x1b[0m\r\nold\rnew\n<b>bold</b>\n\x1b]0;title\x07")
    text = service.get("/studies/plain/trials/1").text
    assert "red\nnew\n&lt;b&gt;bold&lt;/b&gt;" in text
    assert "\x1b" not in text
    answer = service.get("/studies/plain/trials/1/log")
    assert answer.content.startswith(b"\x1b[31mred")
    assert "attachment" in answer.headers["content-disposition"]


def test_curves_of_trials_have_the_objective_first(service: Served) -> None:
    found = service.get("/studies/plain/curves.json?trials=1,5").json()
    assert [metric["metric"] for metric in found["metrics"]] == ["val_loss", "train_loss"]
    assert [curve["trial"] for curve in found["metrics"][0]["curves"]] == [1, 5]
    wrong = service.get("/studies/plain/curves.json?trials=1,x", headers={"Accept": "application/json"})
    assert (wrong.status_code, wrong.json()["error"]) == (400, '"x" is not a trial; write their numbers, as in 1,2,7')


def test_an_ended_trial_cannot_be_stopped_again_and_the_answer_says_so(service: Served) -> None:
    accept = {"Accept": "application/json"}
    answer = service.post("/studies/plain/trials/1", data={"do": "stop"}, headers=accept)
    assert "already" in answer.json()["message"]
    refused = service.post("/studies/plain/trials/1", data={"do": "explode"}, headers=accept)
    assert refused.status_code == 400
    nothing = service.post("/studies/plain/trials", data={"do": "stop", "trials": ""}, headers=accept)
    assert nothing.status_code in (400, 422)
    plain = service.post("/studies/plain/trials", data={"do": "stop", "trials": "1,2"}, allow_redirects=False)
    assert (plain.status_code, plain.headers["location"]) == (303, "/studies/plain?tab=trials")


def _anybody() -> Caller:
    return Caller("tester", admin=True)


def test_a_comparison_marks_what_differs_and_folds_what_is_the_same(service: Served) -> None:
    text = service.get("/studies/plain/compare?trials=1,5,5").text
    assert "Comparison of 2 trials" in text
    assert "Parameters that differ" in text
    assert text.index("Parameters that differ") < text.index(">lr<")
    same = service.get("/studies/plain/compare?trials=3").text
    assert "5 parameters are the same" in same
    for wrong in ("", "?trials=", "?trials=1,99", "?trials=1;2", f"?trials={','.join(map(str, range(13)))}"):
        assert service.get(f"/studies/plain/compare{wrong}").status_code in (400, 404)


def test_a_clone_begins_with_the_values_of_its_trial(service: Served) -> None:
    history = service.desk.view(_anybody(), "plain").history
    assert history is not None
    text = service.get("/studies/plain/enqueue?like=5").text
    assert f'value="{history.trials[5].params["lr"]!r}"' in text
    assert "1e-5 to 0.1, log scale" in text


def test_a_configuration_that_cannot_be_tried_comes_back_with_what_is_wrong(service: Served) -> None:
    url = "/studies/two/enqueue"
    refused = service.post(url, data={"p.lr": "7", "p.hidden": "many", "p.nothing": "1"})
    assert refused.status_code == 400
    assert "&#34;many&#34; is not a number" in refused.text
    assert "7 is outside 1e-05 ... 0.1" in refused.text
    assert "nothing: is not a parameter of the space" in refused.text
    assert 'value="many"' in refused.text
    assert "give at least one value" in service.post(url, data={}).text
    full = service.post(url, data={"p.lr": "0.05", "p.optimizer": '"sgd"', "p.hidden": ""})
    assert "two has room for 0 more" in full.text


def test_a_trial_is_explained_in_words(service: Served) -> None:
    page = service.get("/studies/plain/trials/1").text
    assert "Ask the searcher" in page
    part = service.get("/studies/plain/trials/1/why").text
    assert "drawn at random" in part and "Ask the searcher" not in part and "<html" not in part
