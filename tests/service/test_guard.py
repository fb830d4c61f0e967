"""The guard around the real application: who gets in, as whom, and what is kept of it."""

from __future__ import annotations

import base64
import html
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from fastapi.routing import iter_route_contexts

from hpo_engine.errors import JournalError, SpecError
from hpo_engine.service.desk import Caller
from hpo_engine.service.guard.headers import CSP
from hpo_engine.service.guard.passwords import matches
from hpo_engine.service.guard.throttle import Throttle
from tests.support.guarded import PASSWORDS, TOKEN, Guarded, guarded

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
OPEN = ("/login", "/healthz", "/static/{version}/{path:path}")
STUDIES = "/api/v1/studies"
BASIC = {name: (name, password) for name, password in PASSWORDS.items()}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("guarded")) as found:
        yield found


@pytest.fixture(autouse=True)
def _nobody_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests fail on purpose, and all of them from the same address."""
    monkeypatch.setattr(Throttle, "wait_s", lambda self, address: 0.0)


def routes(service: Guarded) -> list[str]:
    """The paths of the application, however its routers are nested."""
    return sorted({str(route.path) for route in iter_route_contexts(service.app.routes)})


def variants(path: str) -> list[str]:
    first = path.lstrip("/")[:1]
    encoded = "/%" + format(ord(first), "02x") + path.lstrip("/")[1:] if first else "/%2f"
    return [path, path + "/", "/" + path, path.upper(), encoded, path + "?token=x&user=admin", path + "/.."]


def test_no_route_answers_without_credentials(service: Guarded) -> None:
    """Every route of the application, with every verb: none is left out when one is added."""
    found = [path for path in routes(service) if path not in OPEN]
    assert len(found) > 30 and STUDIES in found
    with requests.Session() as session:
        for path in found:
            path = re.sub(r"\{\w+(:\w+)?\}", "1", path)
            for verb in VERBS:
                answer = session.request(verb, service.service.url + path, allow_redirects=False)
                assert answer.status_code == 401, f"{verb} {path}: {answer.status_code}"


@pytest.mark.by_default(4)
@pytest.mark.parametrize("path", [
    STUDIES, "/platform/rest/deeplearning/v1/hypersearch", "/platform/rest/deeplearning/v1/execs/1", "/auth/v1/logon",
    "/openapi.json", "/docs", "/", "/studies/x", "/submit", "/platform/rest/conductor/v1/auth/logon",
])  # fmt: skip
def test_no_spelling_of_a_path_gets_in(service: Guarded, path: str) -> None:
    with requests.Session() as session:
        for spelling in variants(path):
            for verb in VERBS:
                found = session.request(verb, service.service.url + spelling, allow_redirects=False)
                assert found.status_code == 401, f"{verb} {spelling}: {found.status_code}"


@pytest.mark.parametrize(
    "path", ["/static/../../../etc/passwd", "/static/%2e%2e/%2e%2e/x", "/static//etc/passwd", "/static/"]
)
def test_what_is_open_is_only_what_is_there(service: Guarded, path: str) -> None:
    prepared = requests.Request("GET", service.service.url).prepare()
    prepared.url = service.service.url + path
    assert requests.Session().send(prepared).status_code in (401, 404)


def test_open_paths_are_open(service: Guarded) -> None:
    assert service.get("/healthz").json() == {"status": "ok"}
    page = service.get("/login")
    assert page.status_code == 200 and "password" in page.text
    style = re.search(r'href="(/static/[^"]+\.css)"', page.text)
    assert style and service.get(style[1]).status_code == 200


WRONG: dict[str, dict[str, Any]] = {
    "none": {},
    "an unknown token": {"headers": {"X-Auth-Token": "x" * 43}},
    "a token that lacks its end": {"headers": {"X-Auth-Token": TOKEN[:-1]}},
    "a token with more": {"headers": {"X-Auth-Token": TOKEN + "x"}},
    "a token in other letters": {"headers": {"X-Auth-Token": TOKEN.upper()}},
    "an empty token": {"headers": {"X-Auth-Token": ""}},
    "an unknown bearer": {"headers": {"Authorization": "Bearer x"}},
    "no bearer": {"headers": {"Authorization": "Bearer"}},
    "a wrong password": {"auth": ("ada", "correct horse battery stapl")},
    "a password of somebody else": {"auth": ("ada", PASSWORDS["bob"])},
    "an empty password": {"auth": ("ada", "")},
    "an unknown user": {"auth": ("eve", PASSWORDS["ada"])},
    "the default of others": {"auth": ("Admin", "Admin")},
    "a name in other letters": {"auth": ("ADA", PASSWORDS["ada"])},
    "basic that is none": {"headers": {"Authorization": "Basic %%%"}},
    "basic without a colon": {"headers": {"Authorization": "Basic " + base64.b64encode(b"ada").decode()}},
    "basic that is no text": {"headers": {"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()}},
    "another scheme": {"headers": {"Authorization": "Digest username=ada"}},
    "a scheme of its own": {"headers": {"Authorization": TOKEN}},
    "an unknown session": {"cookies": {"hpo-engine-tests": "x" * 43}},
    "the token as a session": {"cookies": {"hpo-engine-tests": TOKEN}},
    "the token in the query": {"params": {"token": TOKEN}},
    "a hash of the password": {"auth": ("ada", "$argon2id$v=19$m=65536,t=3,p=4$x$y")},
    "a header that others set": {
        "headers": {"X-Forwarded-User": "root", "X-Remote-User": "root", "Remote-User": "root"}
    },
}


def test_everything_wrong_has_the_same_answer(service: Guarded) -> None:
    answers = {name: service.get(STUDIES, **how) for name, how in WRONG.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(WRONG, 401)
    assert len({answer.text for answer in answers.values()}) == 1
    drop = ("date",)
    assert len({str([(k, v) for k, v in answer.headers.items() if k not in drop]) for answer in answers.values()}) == 1


def test_two_tokens_that_contradict_each_other_are_none(service: Guarded) -> None:
    from http.client import HTTPConnection

    connection = HTTPConnection(urlsplit(service.service.url).netloc)
    connection.putrequest("GET", STUDIES)
    for token in (TOKEN, "x"):
        connection.putheader("X-Auth-Token", token)
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_an_unknown_user_costs_as_much_as_a_wrong_password(service: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    monkeypatch.setattr(
        "hpo_engine.service.guard.access.matches", lambda *given: hashed.append(given) or matches(*given)
    )
    service.get(STUDIES, auth=("ada", "a wrong one of that length"))
    service.get(STUDIES, auth=("eve", "a wrong one of that length"))
    assert len(hashed) == 2


@pytest.mark.parametrize("how", [
    {"headers": {"X-Auth-Token": TOKEN}}, {"headers": {"Authorization": f"Bearer {TOKEN}"}},
    {"headers": {"Authorization": f"bearer {TOKEN}"}}, {"auth": ("Admin", TOKEN)}, {"auth": ("", TOKEN)},
    {"auth": BASIC["root"]}, {"auth": BASIC["ada"]},
])  # fmt: skip
def test_credentials_of_each_manner_get_in(service: Guarded, how: dict[str, Any]) -> None:
    assert service.get(STUDIES, **how).status_code == 200


def test_many_polls_with_a_password_are_one_hash(service: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    monkeypatch.setattr(
        "hpo_engine.service.guard.access.matches", lambda *given: hashed.append(given) or matches(*given)
    )
    auth = ("bob", PASSWORDS["bob"])
    threads = [threading.Thread(target=service.get, args=(STUDIES,), kwargs={"auth": auth}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.get(STUDIES, auth=auth).status_code == 200 and len(hashed) == 1


def test_a_new_password_counts_at_once(service: Guarded) -> None:
    from hpo_engine.service.guard.passwords import hash_of

    service.accounts.add("carl", hash_of("the first pass phrase"), admin=False)
    assert service.get(STUDIES, auth=("carl", "the first pass phrase")).status_code == 200
    service.accounts.set_password("carl", hash_of("the second pass phrase"))
    assert service.get(STUDIES, auth=("carl", "the first pass phrase")).status_code == 401
    service.accounts.remove("carl")
    assert service.get(STUDIES, auth=("carl", "the second pass phrase")).status_code == 401


def test_an_api_token_is_its_user_until_it_is_revoked(service: Guarded) -> None:
    token, secret = service.accounts.issue("ada", "api", "laptop")
    assert service.get(STUDIES, headers={"X-Auth-Token": secret}).status_code == 200
    service.accounts.revoke(token.id)
    assert service.get(STUDIES, headers={"X-Auth-Token": secret}).status_code == 401


@pytest.mark.parametrize(
    ("path", "how"),
    [("/api/v1/events", "a token"), ("/api/v1/events", "a password"), ("/events", "a session")],
)
def test_a_stream_ends_with_the_credentials_that_opened_it(
    service: Guarded, path: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpo_engine.service.guard.passwords import hash_of

    monkeypatch.setattr("hpo_engine.service.guard.layer._VALID_S", 0.0)
    for part in ("v1.streams", "page.pulse"):
        monkeypatch.setattr(f"hpo_engine.service.{part}._PING_S", 1)
    name, password = "dora", "three blind pass phrases"
    service.accounts.add(name, hash_of(password), admin=False)
    token, secret = service.accounts.issue(name, "session" if how == "a session" else "api")
    ways: dict[str, dict[str, Any]] = {
        "a token": {"headers": {"X-Auth-Token": secret}}, "a session": {"cookies": {"hpo-engine-tests": secret}},
        "a password": {"auth": (name, password)},
    }  # fmt: skip
    try:
        with requests.get(service.service.url + path, stream=True, timeout=60, **ways[how]) as answer:
            assert answer.status_code == 200
            parts = answer.iter_content(None)
            assert next(parts)
            if how == "a password":
                service.accounts.set_password(name, hash_of("another blind pass phrase"))
            else:
                service.accounts.revoke(token.id)
            assert list(parts) == [], "nothing more is told"
    finally:
        service.accounts.remove(name)


def test_a_logon_gives_a_token_and_a_logoff_ends_it(service: Guarded) -> None:
    """As CPD's notebooks do it, with a JSON body that nobody needs; as their command line ends it."""
    answer = service.get("/auth/v1/logon", auth=BASIC["ada"], json={"username": "ada"})
    assert answer.status_code == 200 and list(answer.json()) == ["accessToken"]
    token = answer.json()["accessToken"]
    for headers in ({"X-Auth-Token": token}, {"Authorization": f"Bearer {token}"}):
        assert service.get(STUDIES, headers=headers).status_code == 200
    assert service.post("/auth/v1/logoff", headers={"Authorization": f"Bearer {token}"}).status_code == 204
    assert service.get(STUDIES, headers={"X-Auth-Token": token}).status_code == 401


def test_a_logon_of_the_first_generation_may_go_on_with_its_cookie(service: Guarded) -> None:
    """Clients of Conductor read `csrftoken`, send it in the URL, and the cookie, and no credentials any more."""
    answer = service.get("/platform/rest/conductor/v1/auth/logon", auth=BASIC["ada"])
    assert answer.status_code == 200 and answer.json()["csrftoken"]
    assert service.get("/platform/rest/deeplearning/v1/hypersearch", cookies=answer.cookies,
                       params={"csrftoken": answer.json()["csrftoken"]}).status_code == 200  # fmt: skip
    assert service.get(STUDIES, headers={"X-Auth-Token": answer.json()["csrftoken"]}).status_code == 401


@pytest.mark.parametrize("path", ["/auth/v1/logon", "/platform/rest/conductor/v1/auth/logon"])
def test_a_logon_needs_credentials(service: Guarded, path: str) -> None:
    for wrong in ("none", "an unknown token", "a wrong password", "the default of others", "an unknown session"):
        assert service.get(path, **WRONG[wrong]).status_code == 401


def test_a_browser_logs_in_with_the_url_that_serve_prints(service: Guarded) -> None:
    with requests.Session() as session:
        answer = session.get(service.service.url + f"/login?token={TOKEN}")
        assert answer.status_code == 200 and TOKEN not in answer.url and answer.url == service.service.url + "/"
        assert TOKEN not in answer.text and TOKEN not in str(answer.headers)
    wrong = service.get("/login?token=" + "x" * 43)
    assert wrong.status_code == 303 and "x" * 43 not in wrong.headers["location"]


def logged_in(service: Guarded, name: str = "ada", **more: Any) -> requests.Response:
    return service.post("/login", data={"name": name, "password": PASSWORDS[name], **more.pop("data", {})}, **more)


def test_the_form_logs_in_and_out(service: Guarded) -> None:
    answer = logged_in(service, data={"next": "/studies/x?a=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies/x?a=1")
    set_cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in set_cookie and "samesite=strict" in set_cookie and "secure" not in set_cookie
    assert service.get(STUDIES, cookies=answer.cookies).status_code == 200
    ended = service.post("/logout", cookies=answer.cookies)
    assert (ended.status_code, ended.headers["location"]) == (303, "/login")
    assert service.get(STUDIES, cookies=answer.cookies).status_code == 401


def test_the_session_is_another_one_after_each_login(service: Guarded) -> None:
    first = logged_in(service)
    second = logged_in(service, cookies=first.cookies)
    assert first.cookies[service.cookie] != second.cookies[service.cookie]
    assert service.get(STUDIES, cookies=first.cookies).status_code == 401
    planted = logged_in(service, cookies={service.cookie: "chosen by somebody else"})
    assert planted.cookies[service.cookie] != "chosen by somebody else"


@pytest.mark.parametrize("data", [
    {}, {"name": "ada"}, {"name": "ada", "password": "wrong"}, {"name": "eve", "password": "wrong"},
    {"name": "<script>alert(1)</script>", "password": "x"}, {"name": "' OR 1=1 --", "password": "' OR 1=1 --"},
    {"password": TOKEN[:-1]},
])  # fmt: skip
def test_a_wrong_login_says_so_and_no_more(service: Guarded, data: dict[str, str]) -> None:
    answer = service.post("/login", data=data)
    assert answer.status_code == 401 and "do not match" in answer.text and "set-cookie" not in answer.headers
    assert "<script>alert" not in answer.text and "wrong" not in answer.text
    entered = f'name="name" value="{data.get("name", "")}"'
    assert entered in html.unescape(answer.text)  # nobody has to enter it again


@pytest.mark.parametrize("target", [
    "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "",
    "/x\r\nSet-Cookie: a=b", "evil.example", "/\t/evil.example", "data:text/html,x",
])  # fmt: skip
def test_a_login_leads_nowhere_else(service: Guarded, target: str) -> None:
    answer = logged_in(service, data={"next": target})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    page = service.get("/login", params={"next": target})
    assert 'name="next" value="/"' in page.text


PAGE = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


def test_a_person_without_a_session_is_led_to_the_login(service: Guarded) -> None:
    answer = service.get("/studies/my%20study?metric=a%26b", headers={**PAGE, "Sec-Fetch-Site": "none"})
    assert answer.status_code == 303
    page = service.get(answer.headers["location"])
    target = re.search(r'name="next" value="([^"]*)"', page.text)
    assert target and target[1].startswith("/studies/my%20study?metric=a%")


def test_a_link_on_another_page_keeps_its_reader_logged_in(service: Guarded) -> None:
    """A browser keeps SameSite=Strict cookies to itself there, so the first answer makes it ask again from here."""
    answer = service.get("/studies/x?a=1&b=2", headers={**PAGE, "Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200 and 'content="0; url=/studies/x?a=1&amp;b=2"' in answer.text
    hostile = service.get('/studies/"><script>', headers={**PAGE, "Sec-Fetch-Site": "cross-site"})
    assert "<script>" not in hostile.text


@pytest.mark.parametrize("how", [{"auth": BASIC["ada"]}, {"headers": {"X-Auth-Token": TOKEN}}, "session"])
@pytest.mark.parametrize("attack", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"}, {"Host": "evil.example"},
])  # fmt: skip
def test_a_page_elsewhere_changes_nothing_whatever_the_credentials(
    service: Guarded, how: Any, attack: dict[str, str]
) -> None:
    given = {"cookies": logged_in(service).cookies} if how == "session" else dict(how)
    headers = {**given.pop("headers", {}), **attack}
    form = {"data": (None, "{}"), "file": ("train.py", b"print(1)")}
    for path, body in (("/platform/rest/deeplearning/v1/hypersearch", {"files": form}), ("/login", {"data": {"name": "ada"}}),
                       (STUDIES, {"json": {}}), ("/logout", {})):  # fmt: skip
        assert service.post(path, headers=headers, **given, **body).status_code == 403
    assert (
        service.request("DELETE", "/platform/rest/deeplearning/v1/hypersearch", headers=headers, **given).status_code
        == 403
    )


def test_a_method_cannot_be_hidden_in_a_header(service: Guarded) -> None:
    headers = {"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE", "X-Method-Override": "DELETE"}
    answer = service.get("/platform/rest/deeplearning/v1/hypersearch", headers=headers, auth=BASIC["ada"])
    assert answer.status_code == 200 and answer.json() == []
    assert service.get(STUDIES, headers=headers).status_code == 401


@pytest.mark.parametrize(("path", "how"), [
    (STUDIES, {}), (STUDIES, {"auth": BASIC["ada"]}), ("/", {"auth": BASIC["ada"]}), ("/login", {}), ("/healthz", {}),
    ("/no/such/path", {"auth": BASIC["ada"]}), ("/openapi.json", {"auth": BASIC["ada"]}),
])  # fmt: skip
def test_every_answer_says_what_browsers_may_do_with_it(service: Guarded, path: str, how: dict[str, Any]) -> None:
    headers = service.get(path, **how).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin" and headers["cross-origin-resource-policy"] == "same-origin"
    assert (
        "unsafe" not in headers["content-security-policy"]
        and "default-src 'none'" in headers["content-security-policy"]
    )
    assert headers["cache-control"] in ("no-store", "private, no-cache")
    assert "access-control-allow-origin" not in headers
    assert CSP.count("'none'") == 3


@pytest.mark.parametrize("path", ["/%0d%0aSet-Cookie:%20a=b", "/%00", "/studies/%1b[31m", "/a%0Ab", "/%E2%80%AE"])
def test_control_characters_in_a_path_are_refused(service: Guarded, path: str) -> None:
    answer = service.get(path, auth=BASIC["ada"])
    assert answer.status_code == 400 and "set-cookie" not in answer.headers


def test_ten_failures_a_minute_and_whoever_is_in_stays_in(service: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    service.forget_failures()
    session = logged_in(service).cookies
    try:
        answers = [service.get(STUDIES, auth=("ada", f"wrong {n} wrong wrong")) for n in range(11)]
        assert [answer.status_code for answer in answers][:10] == [401] * 10
        assert answers[10].status_code == 429 and 0 < int(answers[10].headers["retry-after"]) <= 61
        assert service.get(STUDIES, auth=("ada", PASSWORDS["ada"] + "x")).status_code == 429
        assert logged_in(service, "bob").status_code in (303, 429)
        assert service.get(STUDIES, headers={"X-Auth-Token": "x"}).status_code == 429
        assert service.get("/login?token=x").status_code == 429
        assert service.get(STUDIES, headers={"X-Auth-Token": TOKEN}).status_code == 200
        assert service.get(STUDIES, cookies=session).status_code == 200
    finally:
        service.forget_failures()


def test_many_tries_at_once_count_like_as_many(service: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    service.forget_failures()
    hashed: list[object] = []
    monkeypatch.setattr(
        "hpo_engine.service.guard.access.matches", lambda *given: hashed.append(given) or matches(*given)
    )
    found: list[int] = []

    def attempt(n: int) -> None:
        found.append(service.get(STUDIES, auth=("ada", f"wrong {n} wrong wrong wrong")).status_code)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(30)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(hashed) == 10 and sorted(found) == [401] * 10 + [429] * 20
    finally:
        service.forget_failures()


@pytest.mark.parametrize("body", [
    {"files": {"name": (None, "ada"), "x": ("x", b"a" * 100)}}, {"data": {"name": "a" * 70_000}}, {"json": {"name": "ada"}},
    {"data": iter([b"name=", b"ada"]), "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
])  # fmt: skip
def test_nobody_fills_a_disk_without_credentials(service: Guarded, body: dict[str, Any]) -> None:
    """A form with files would be written to files before anybody has looked at the password."""
    assert service.post("/login", **body).status_code == 413


def test_who_is_removed_meanwhile_does_not_become_the_administrator(service: Guarded) -> None:
    """Tokens of the administrator belong to no user, and a removed user is none either."""
    for admin in (False, True):
        with pytest.raises(SpecError, match="not a user any more"):
            service.access.user_of(Caller("removed", admin=admin))
    assert service.access.user_of(Caller("ada")) == "ada" and service.access.user_of(Caller("keeper", admin=True)) == ""
    with pytest.raises(SpecError):
        service.access.user_of(Caller("keeper"))


def test_a_damaged_accounts_file_is_no_500(service: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(secret: str) -> None:
        raise JournalError("accounts.db: database disk image is malformed")

    monkeypatch.setattr(service.accounts, "token", damaged)
    answer = service.get(STUDIES, headers={"X-Auth-Token": "x"})
    assert answer.status_code == 503 and "malformed" in answer.json()["error"]


def test_a_session_that_has_expired_is_no_attempt_to_get_in(service: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    service.forget_failures()
    for _ in range(15):
        assert service.get(STUDIES, cookies={service.cookie: "x" * 43}).status_code == 401


def test_the_audit_log_says_who_did_what_and_holds_no_secret(service: Guarded) -> None:
    before = len(service.audit())
    token, secret = service.accounts.issue("ada", "api")
    service.request("DELETE", STUDIES + "/none?token=" + secret, headers={"X-Auth-Token": secret})
    logged_in(service)
    service.get(f"/login?token={TOKEN}")
    service.get(STUDIES, auth=("ada", "a wrong pass phrase!"))
    service.get(STUDIES, auth=("the password in the wrong field", "x"))
    service.get(STUDIES, auth=BASIC["ada"])
    found = [(e["user"], e["how"], e["method"], e["path"], e["status"]) for e in service.audit()[before:]]
    assert found == [
        ("ada", "token", "DELETE", STUDIES + "/none", 404), ("ada", "", "POST", "/login", 303),
        ("keeper", "", "GET", "/login", 303), ("ada", "basic", "GET", STUDIES, 401), ("", "basic", "GET", STUDIES, 401),
    ]  # fmt: skip
    with open(service.audit_path) as file:
        kept = file.read()
    for hidden in (secret, TOKEN, PASSWORDS["ada"], "wrong pass phrase", "the password in"):
        assert hidden not in kept and not any(hidden in line for line in service.access_log)
    assert any(line.startswith(f"127.0.0.1 ada DELETE {STUDIES}/none 404") for line in service.access_log)
