"""What scripts write as results: what is tolerated, what is refused, in words that name the fault."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.sources.emetrics import parse_emetrics
from hpo_engine.contract.sources.val_dict_list import parse
from hpo_engine.errors import ContractError
from hpo_engine.study.objective import Row
from hpo_engine.system.files import MAX_BYTES
from tests.support.examples import some
from tests.support.helpers import emetrics_line

UTF16 = "val_dict_list.json is not UTF-8 but UTF-16 text, or binary: write it as UTF-8"


def rows_of(text: str) -> list[tuple[float, dict[str, float]]]:
    return [(row.step, dict(row.values)) for row in parse(text.encode())[0]]


def why(data: bytes | str) -> str:
    with pytest.raises(ContractError) as caught:
        parse(data if isinstance(data, bytes) else data.encode())
    return str(caught.value)


# -- val_dict_list.json ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]', [(1, {"loss": 0.5}), (2, {"loss": 0.25})]),
        ('{"loss": 1}', [(1, {"loss": 1.0})]),
        ("[]", []),
        ('[{"loss": 1}, {"loss": 2}]', [(1, {"loss": 1.0}), (2, {"loss": 2.0})]),
        ('[{"steps": "7", "loss": 1}, {"loss": 2}]', [(7, {"loss": 1.0}), (8, {"loss": 2.0})]),
        ('[{"epoch": 3, "loss": 1}]', [(3, {"loss": 1.0})]),
        ('[{"iteration": "2.5", "loss": 1}]', [(2.5, {"loss": 1.0})]),
        ('[{"epoch": 1, "step": 40, "loss": 1}]', [(40, {"epoch": 1.0, "loss": 1.0})]),
        ('[{"step": "soon", "epoch": 4, "loss": 1}]', [(4, {"loss": 1.0})]),
        ('[{"step": null, "loss": 1}, {"step": true, "loss": 2}]', [(1, {"loss": 1.0}), (2, {"loss": 2.0})]),
        ('[{"step": NaN, "loss": 1}]', [(1, {"step": math.nan, "loss": 1.0})]),
        ('[{"step": 1e300, "loss": 1}]', [(1, {"step": 1e300, "loss": 1.0})]),
        ('[{"step": 3.0, "loss": 1}]', [(3, {"loss": 1.0})]),
        ('[{"loss": NaN, "a": -Infinity, "b": Infinity}]', [(1, {"loss": math.nan, "a": -math.inf, "b": math.inf})]),
        ('[{"loss": 1e999, "n": -1e999}]', [(1, {"loss": math.inf, "n": -math.inf})]),
        ('[{"loss": true, "s": "0.3", "z": null, "l": [1], "o": {"a": 1}, "ok": 1}]', [(1, {"ok": 1.0})]),
        ('[{"loss": 1, "loss": 2}]', [(1, {"loss": 2.0})]),
        ('[1, {"loss": 1}, null, "x", [2]]', [(1, {"loss": 1.0})]),
        ("\ufeff" + '[{"loss": 1}]\n\n', [(1, {"loss": 1.0})]),
        ('[{"größe": 1}]', [(1, {"größe": 1.0})]),
        (r'[{"a\ud800": 1}]', [(1, {"a?": 1.0})]),
        ('[{"loss": ' + "9" * 350 + "}]", [(1, {"loss": math.inf})]),
        ('[{"loss": -' + "9" * 100_000 + ', "acc": 12}]', [(1, {"loss": -math.inf, "acc": 12.0})]),
        ('[{"step": ' + "9" * 5000 + ', "loss": 1}]', [(1, {"step": math.inf, "loss": 1.0})]),
        ('[{"loss": 0.' + "1" * 5000 + "}]", [(1, {"loss": 1 / 9})]),
    ],
)
def test_rows_are_read_as_scripts_write_them(text: str, expected: list[tuple[float, dict[str, float]]]) -> None:
    found = rows_of(text)
    assert repr(found) == repr(expected)  # NaN equals itself, 1 and 1.0 differ
    assert all(type(v) is float for _, values in found for v in values.values())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "val_dict_list.json is empty"),
        (b" \n\t", "val_dict_list.json is empty"),
        (b"\xef\xbb\xbf", "val_dict_list.json is empty"),
        ('[{"loss": 1}]'.encode("utf-16"), UTF16),
        ('[{"loss": 1}]'.encode("utf-16-be"), UTF16),
        (b"\0" * 512, UTF16),
        (b'[{"l\xe4": 1}]', "val_dict_list.json is not UTF-8 text (byte 4)"),
        (b'[{"l\xc3', "val_dict_list.json is torn at byte 5"),
        (b'[{"loss": 0.5}, {"lo', "val_dict_list.json is torn at byte 20"),
        (b'\xef\xbb\xbf[{"loss": 0.5},', "val_dict_list.json is torn at byte 18"),
        (b'[{"loss": -', "val_dict_list.json is torn at byte 11"),
        (b'[{"loss": 1.', "val_dict_list.json is torn at byte 12"),
        (b'[{"loss": 1e-', "val_dict_list.json is torn at byte 13"),
        (b'[{"loss": Infin', "val_dict_list.json is torn at byte 15"),
        (b'[{"\\u12', "val_dict_list.json is torn at byte 7"),
        (b'[{"loss": 1}] and more', "val_dict_list.json has more text after its end (from byte 14)"),
        ('[{"ä": 1}][]'.encode(), "val_dict_list.json has more text after its end (from byte 11)"),
        (b"loss: 0.3", "val_dict_list.json is not JSON (byte 0: Expecting value)"),
        (b"[{'loss': 1}]", "is not JSON (byte 2: Expecting property name enclosed in double quotes)"),
        (b"[1, 2]", 'val_dict_list.json holds no objects: write a list such as [{"step": 1, "loss": 0.3}]'),
        (b"0.3", 'val_dict_list.json holds no objects: write a list such as [{"step": 1, "loss": 0.3}]'),
        (b"[" * 190_000, "val_dict_list.json is nested too deeply"),
        (b'{"a":' * 190_000, "val_dict_list.json is nested too deeply"),
        (b"[" * 300_000, "val_dict_list.json has too many entries (300,000, at most 200,000): report less often"),
        (b"[" + b"1," * 600_001 + b"1]", "val_dict_list.json has too many values (600,001, at most 600,000)"),
    ],
    ids=str,
)
def test_faults_of_a_result_file_are_named(data: bytes, text: str) -> None:
    assert text in why(data)
    assert "\n" not in why(data)


def as_json(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, ensure_ascii=False).encode()


entries = st.lists(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=6),
        st.one_of(
            st.integers(), st.floats(), st.booleans(), st.none(), st.text(st.characters(codec="utf-8"), max_size=4)
        ),
        max_size=4,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=some(80), deadline=None)
@given(entries, st.data())
def test_every_cut_of_a_result_file_is_torn(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    whole = as_json(rows)
    cut = data.draw(st.integers(1, len(whole) - 1))
    assert why(whole[:cut]) == f"val_dict_list.json is torn at byte {cut}"


@settings(max_examples=some(80), deadline=None)
@given(entries)
def test_every_number_of_a_result_file_is_a_step_or_a_metric(rows: list[dict[str, Any]]) -> None:
    for row, entry in zip(parse(as_json(rows))[0], rows, strict=True):
        numbers = {k for k, v in entry.items() if type(v) in (int, float)}
        assert row.values.keys() <= numbers
        assert numbers - row.values.keys() <= {"step", "steps", "epoch", "iteration"}


@settings(max_examples=some(60), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 80), st.binary(max_size=3)), max_size=4), st.booleans())
def test_no_mutation_of_a_file_does_more_than_break_the_contract(
    edits: list[tuple[int, bytes]], emetrics: bool
) -> None:
    data = bytearray(
        emetrics_line(1, loss=0.3).encode() * 2 if emetrics else b'[{"step": 1, "loss": 0.3}, {"step": 2, "loss": NaN}]'
    )
    for at, new in edits:
        data[at : at + len(new)] = new
    try:
        rows = parse_emetrics(bytes(data)) if emetrics else parse(bytes(data))[0]
    except ContractError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(row, Row) for row in rows)


@pytest.mark.parametrize(
    "unit",
    ["{},", "[],", "1,", '"",', '{"a":1},', "[[]],", "9", '{"a":1,"b":2,"c":3,"d":4,"eee":"' + "g" * 54 + '"},'],
)
def test_no_16_mib_of_anything_takes_a_second(unit: str) -> None:
    data = ("[" + unit * ((MAX_BYTES - 4) // len(unit)) + "0]").encode()
    started = time.thread_time()
    try:
        parse(data)
    except ContractError:
        pass
    assert time.thread_time() - started < 60


# -- evaluation-metrics.txt --------------------------------------------------------------------------------------------


def em(*lines: str) -> list[tuple[float, dict[str, float]]]:
    return [(row.step, dict(row.values)) for row in parse_emetrics("".join(lines).encode())]


def test_emetrics_test_group_is_plain_and_train_is_named() -> None:
    text = (
        emetrics_line(1, "train", loss=0.9),
        emetrics_line(1, loss=0.5, accuracy=0.8),
        emetrics_line(2, "train", loss=0.7),
        emetrics_line(2, loss=0.4),
    )
    assert em(*text) == [
        (1, {"train_loss": 0.9}),
        (1, {"loss": 0.5, "accuracy": 0.8}),
        (2, {"train_loss": 0.7}),
        (2, {"loss": 0.4}),
    ]


def test_emetrics_other_group_counts_where_no_test_is() -> None:
    assert em(emetrics_line(1, "train", loss=0.9)) == [(1, {"train_loss": 0.9, "loss": 0.9})]
    both = em(emetrics_line(1, "train", loss=0.9), emetrics_line(1, "val", loss=0.5))
    assert both == [(1, {"train_loss": 0.9}), (1, {"val_loss": 0.5, "loss": 0.5})]
    assert em(emetrics_line(1, None, loss=0.9)) == [(1, {"loss": 0.9})]


def test_emetrics_entries_of_a_step_join_but_never_overwrite() -> None:
    assert em(
        emetrics_line(1, loss=0.5),
        emetrics_line(1, "train", loss=1),
        emetrics_line(1, acc=0.8),
        emetrics_line(1, loss=0.3),
    ) == [
        (1, {"loss": 0.5, "acc": 0.8}),
        (1, {"train_loss": 1.0}),
        (1, {"loss": 0.3}),
    ]


def test_emetrics_values_by_type_and_steps_in_order_where_missing() -> None:
    values = {
        "a": {"type": 2, "value": "3"},
        "b": {"type": 3, "value": "nan"},
        "c": {"value": "7"},
        "d": {"type": 1, "value": "8"},
        "e": 5,
        "f": {"type": 3, "value": "x"},
        "g": {"type": "3", "value": "-inf"},
        "h": {"type": 3, "value": True},
        "i": None,
    }
    last = {"values": {"loss": 2}, "etimes": {"epoch": 9}}
    rows = em(json.dumps({"values": values}) + "\n", emetrics_line("x", loss=1), json.dumps(last))
    first = {"a": 3.0, "b": math.nan, "e": 5.0, "g": -math.inf}
    assert repr(rows) == repr([(1, first), (2, {"loss": 1.0}), (9, {"loss": 2.0})])


def test_emetrics_garbage_and_a_torn_tail_are_passed_over() -> None:
    bad = ("garbage", '{"values": 3}', '[{"values": 1}]', '{"values": {}}', '{"values":' + "[" * 5000, '\0"values"', "")
    rows = em(
        "\ufeff" + emetrics_line(1, loss=1),
        *(text + "\n" for text in bad),
        emetrics_line(2, loss=2),
        emetrics_line(3, loss=3)[:-20],
    )
    assert rows == [(1, {"loss": 1.0}), (2, {"loss": 2.0})]
    with pytest.raises(ContractError, match="too many lines"):
        parse_emetrics(b"\n" * 200_000)
    with pytest.raises(ContractError, match="too many values"):
        parse_emetrics(b'{"values":' + b"[" * 2_000_000)
