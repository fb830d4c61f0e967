"""Whom the guard listens to: names of the service, and pages of browsers."""

from __future__ import annotations

from itertools import product

import pytest

from hpo_engine.service.guard.origin import allowed_hosts, is_link_from_elsewhere, refusal

HOSTS = allowed_hosts("127.0.0.1")
UNSAFE = ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")


def asked(method: str = "GET", host: str = "127.0.0.1:8642", *, tls: str = "", **headers: str) -> int | None:
    """The status of the refusal; `sec_fetch_site` is the header Sec-Fetch-Site."""
    found = [(b"host", host.encode()), *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())]
    refused = refusal(method, found, HOSTS, tls=bool(tls))
    return None if refused is None else refused.status


@pytest.mark.parametrize("host", [
    "127.0.0.1", "127.0.0.1:8642", "localhost", "localhost:1", "LOCALHOST:8642", "localhost.", "[::1]", "[::1]:8642",
])  # fmt: skip
def test_own_names_pass(host: str) -> None:
    assert asked(host=host) is None and asked("POST", host=host) is None


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:8642", "127.0.0.1.evil", "127.0.0.1.evil.example:8642", "localhost.evil.example",
    "evil.localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.1", "127.0.0.2", "0.0.0.0", "0", "[::]",
    "[::ffff:127.0.0.1]", "::1", "[::1", "[::1]x", "[::1].evil", "localhost:80:80", "localhost:x", "localhost:-1", "",
    " ", ":8642", "localhost@evil.example", "user@localhost", "localhost/evil", "localhost#evil", "localhost?x",
    "localhost\\evil", "localhost, evil.example", "localhost evil.example", "evil.example\tlocalhost", "127.0.0.1%00",
    "①②⑦.0.0.1", "localhost\u3002", "ｌocalhost", "169.254.169.254", "metadata", "*",
])  # fmt: skip
def test_any_other_host_is_refused(host: str) -> None:
    assert [asked(method, host=host) for method in ("GET", *UNSAFE)] == [403] * 8


def test_a_request_has_one_host() -> None:
    assert refusal("GET", [], HOSTS, tls=False) == (400, "a request needs one Host header")
    two = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert refusal("GET", two, HOSTS, tls=False) == (400, "a request needs one Host header")
    same = [(b"host", b"localhost"), (b"host", b"localhost")]
    assert refusal("GET", same, HOSTS, tls=False) is not None


def test_the_wildcard_address_is_no_name_even_if_the_service_listens_there() -> None:
    names = allowed_hosts("0.0.0.0", ["proxy.example"])
    assert "0.0.0.0" not in names and "proxy.example" in names and "localhost" in names


@pytest.mark.parametrize("site", ["cross-site", "same-site", "CROSS-SITE", "nonsense", "same-origin,cross-site"])
@pytest.mark.parametrize("mode", ["navigate", "cors", "no-cors", "same-origin", ""])
def test_what_another_site_sends_changes_nothing(mode: str, site: str) -> None:
    headers = {"sec_fetch_site": site, "sec_fetch_mode": mode, "sec_fetch_dest": "document"}
    for method, origin in product(UNSAFE, ["", "http://127.0.0.1:8642", "https://evil.example"]):
        assert asked(method, **headers, **({"origin": origin} if origin else {})) == 403


@pytest.mark.parametrize("origin", [
    "https://evil.example", "http://evil.example:8642", "null", "", "http://127.0.0.1", "http://127.0.0.1:8643",
    "http://localhost:8642", "http://127.0.0.1:8642.evil.example", "http://127.0.0.1:8642@evil.example",
    "file://", "chrome-extension://abcdef", "http://[::1]:8642", "127.0.0.1:8642", "http//127.0.0.1:8642",
    "ftp://127.0.0.1:8642", "http://127.0.0.1:8642/", "http://127.0.0.1:8642 http://evil.example",
])  # fmt: skip
def test_another_origin_changes_nothing(origin: str) -> None:
    """Older browsers send no Sec-Fetch-Site. A form with multipart/form-data needs no preflight."""
    for method, kind in product(UNSAFE, ["multipart/form-data; boundary=x", "text/plain", "application/json"]):
        assert asked(method, origin=origin, content_type=kind) == 403


@pytest.mark.parametrize("site", ["same-origin", "none", None])
@pytest.mark.parametrize("method", UNSAFE)
def test_own_pages_and_programs_pass(method: str, site: str | None) -> None:
    told = {} if site is None else {"sec_fetch_site": site}
    assert asked(method, **told) is None
    assert asked(method, origin="http://127.0.0.1:8642", **told) is None
    assert asked(method, host="localhost", origin="http://localhost:80", **told) is None
    assert asked(method, tls="yes", origin="https://127.0.0.1:8642", **told) is None
    assert asked(method, origin="https://127.0.0.1:8642", **told) is None, "a proxy in front of it may speak TLS"
    assert asked(method, tls="yes", origin="http://127.0.0.1:8642", **told) == 403


@pytest.mark.parametrize("mode", ["no-cors", "cors", "navigate", "same-origin"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_load_nothing(site: str, mode: str) -> None:
    for dest in ("script", "image", "style", "iframe", "frame", "embed", "object", "empty", "video"):
        assert asked("GET", sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=dest) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_may_link_here(site: str) -> None:
    link = {"sec_fetch_site": site, "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert asked("GET", **link) is None
    assert is_link_from_elsewhere([(k.replace("_", "-").encode(), v.encode()) for k, v in link.items()])
