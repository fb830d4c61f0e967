"""The line of studies that wait: users in turn, each user's studies in their order."""

from __future__ import annotations

from collections import Counter

from hpo_engine.service.host.line import Line


def test_users_are_served_in_turn_however_many_studies_one_has() -> None:
    line = Line()
    for number in range(6):
        line.add(f"a{number}", "ada", number)
    line.add("b0", "bob", 6)
    line.add("c0", "cy", 7)
    assert _taken(line, 5) == ["a0", "b0", "c0", "a1", "a2"]


def test_who_has_fewer_studies_running_goes_first() -> None:
    line = Line()
    line.add("a", "ada", 0)
    line.add("b", "bob", 1)
    assert line.take({"ada": 2, "bob": 1}) == "b"


def test_among_equals_the_one_goes_first_who_was_served_longest_ago() -> None:
    line = Line()
    for number, owner in enumerate(("ada", "bob", "ada", "bob")):
        line.add(f"{owner}{number}", owner, number)
    running = Counter[str]()
    order = []
    while (name := line.take(running)) is not None:
        order.append(name)
    assert order == ["ada0", "bob1", "ada2", "bob3"]


def test_a_study_that_left_the_line_is_not_taken() -> None:
    line = Line()
    line.add("a", "ada", 0)
    line.add("b", "ada", 1)
    assert line.remove("a") and not line.remove("a")
    assert line.take({}) == "b" and line.take({}) is None and len(line) == 0


def test_a_study_that_comes_back_has_its_new_turn() -> None:
    line = Line()
    line.add("a", "ada", 0)
    line.add("b", "ada", 1)
    line.remove("a")
    line.add("a", "ada", 2)
    assert [line.take({}), line.take({}), line.take({})] == ["b", "a", None]


def _taken(line: Line, count: int) -> list[str | None]:
    running, owners, found = Counter[str](), {"a": "ada", "b": "bob", "c": "cy"}, list[str | None]()
    for _ in range(count):
        name = line.take(running)
        found.append(name)
        running[owners[str(name)[0]]] += 1
    return found
