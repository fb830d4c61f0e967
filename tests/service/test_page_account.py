"""A user's own page on a service with users: tokens, passwords, and what only admins may do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from hpo_engine.service.guard.accounts import Accounts
from hpo_engine.service.guard.passwords import hash_of
from hpo_engine.service.places import ServicePaths
from tests.support.pages import Serving, serving

FIRST, SECOND = "a few words are long enough", "some other words of hers"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("root")
    with serving(root) as found:
        accounts = Accounts(ServicePaths(str(root)).accounts)
        hashed = hash_of(FIRST)
        accounts.add("ada", hashed, admin=True)
        accounts.add("bob", hashed, admin=False)
        accounts.close()
        yield found


class Person(requests.Session):
    def __init__(self, service: Serving, name: str, password: str = FIRST) -> None:
        super().__init__()
        self.base = f"http://{service.host}"
        self.headers["Origin"] = self.base
        self.answer = self.post(f"{self.base}/login", data={"name": name, "password": password})

    def at(self, path: str, **form: str) -> requests.Response:
        url = f"{self.base}/account{path}"
        return self.post(url, data=form) if form else self.get(url)


def test_a_token_is_shown_once_works_and_can_be_revoked(service: Serving) -> None:
    bob = Person(service, "bob")
    made = bob.at("/tokens", label="<my> notebook", days="30")
    secret = re.findall(r'data-copy="([^"]+)"', made.text)[0]
    assert "&lt;my&gt; notebook" in made.text
    assert secret not in bob.at("").text
    api = f"http://{service.host}/api/v1/studies"
    assert requests.get(api, headers={"X-Auth-Token": secret}, timeout=60).status_code == 200
    (revoke,) = re.findall(r'action="/account(/tokens/[^"]+/revoke)"', bob.at("").text)
    assert bob.at(revoke, sure="yes").status_code == 200
    assert requests.get(api, headers={"X-Auth-Token": secret}, timeout=60).status_code == 401


def test_a_token_of_another_user_cannot_be_revoked(service: Serving) -> None:
    ada, bob = Person(service, "ada"), Person(service, "bob")
    ada.at("/tokens", label="hers")
    revoke = re.findall(r'action="/account(/tokens/[^"]+/revoke)"', ada.at("").text)[-1]
    assert bob.at(revoke, sure="yes").status_code == 400
    assert "hers" in ada.at("").text and "hers" not in bob.at("").text


def test_only_admins_manage_users(service: Serving) -> None:
    ada, bob = Person(service, "ada"), Person(service, "bob")
    assert "Add a user" in ada.at("").text and "Add a user" not in bob.at("").text
    new = {"name": "eve", "new": SECOND, "again": SECOND}
    assert "only admins" in bob.at("/users", **new).text
    assert "only admins" in bob.at("/users/ada/remove", sure="yes").text
    assert "only admins" in bob.at("/users/ada/password", new=SECOND, again=SECOND).text
    assert ada.at("/users", **new).status_code == 200
    assert Person(service, "eve", SECOND).answer.status_code == 200
    assert "cannot remove yourself" in ada.at("/users/ada/remove", sure="yes").text
    assert "is removed" in ada.post(f"{ada.base}/account/users/eve/remove", headers={"Accept": "application/json"}).text
    assert Person(service, "eve", SECOND).answer.status_code == 401


def test_a_password_is_changed_with_the_old_one_only(service: Serving) -> None:
    ada = Person(service, "ada")
    ada.at("/users", name="cyd", new=FIRST, again=FIRST)
    cyd = Person(service, "cyd")
    assert "not the same" in cyd.at("/password", old=FIRST, new=SECOND, again=SECOND + "!").text
    assert "old password is wrong" in cyd.at("/password", old=SECOND, new=SECOND, again=SECOND).text
    assert "at least 16 characters" in cyd.at("/password", old=FIRST, new="short", again="short").text
    cyd.at("/password", old=FIRST, new=SECOND, again=SECOND)
    assert Person(service, "cyd").answer.status_code == 401
    assert Person(service, "cyd", SECOND).answer.status_code == 200
