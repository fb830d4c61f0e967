"""A front that grows one by one is what its definition says of the whole set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpo_engine.maths.front import Member, joined

vectors = st.integers(1, 4).flatmap(
    lambda k: st.lists(st.tuples(*[st.sampled_from([-1.0, -0.0, 0.0, 1.0, 2.0])] * k), max_size=20)
)


@given(vectors, st.randoms(use_true_random=False))
def test_front_is_that_of_the_definition_in_whatever_order_it_grew(
    found: list[tuple[float, ...]], random: object
) -> None:
    members = [(vector, number) for number, vector in enumerate(found)]
    order = list(members)
    random.shuffle(order)  # type: ignore[attr-defined]
    front: tuple[Member, ...] = ()
    for member in order:
        front = joined(front, member)
    assert front == tuple(sorted(front))
    kept = {number for _, number in front}
    assert kept == {n for v, n in members if not any(out(w, m, v, n) for w, m in members)}


def out(other: tuple[float, ...], its_number: int, vector: tuple[float, ...], number: int) -> bool:
    """Whether the other one dominates this one, or equals it and comes first."""
    return all(a <= b for a, b in zip(other, vector, strict=True)) and (other != vector or its_number < number)
