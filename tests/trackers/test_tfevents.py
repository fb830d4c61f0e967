"""Our encoder against TensorBoard's own messages and its own reader of event files."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpo_engine.system.tfrecord import crc32c
from hpo_engine.trackers import tfevents

event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2")
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader  # noqa: E402
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2  # noqa: E402

from tests.support.examples import some  # noqa: E402

anything = st.text(st.characters(exclude_categories=()), max_size=40)


def payload(record: bytes) -> bytes:
    (length,) = struct.unpack("<Q", record[:8])
    assert len(record) == length + 16
    return record[12:-4]


def parsed(record: bytes) -> Any:
    return event_pb2.Event.FromString(payload(record))


def plugin_data(value: bytes) -> tuple[str, plugin_data_pb2.HParamsPluginData]:
    event = parsed(tfevents.summary(1.0, 0, [value]))
    (one,) = event.summary.value
    assert one.metadata.plugin_data.plugin_name == "hparams"
    assert one.tensor == metadata.NULL_TENSOR
    return one.tag, plugin_data_pb2.HParamsPluginData.FromString(one.metadata.plugin_data.content)


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, B.4
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_crc32c_gives_the_published_values(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc
    assert crc32c(data[3:], crc32c(data[:3])) == crc


@settings(max_examples=some(80), deadline=None)
@given(
    st.floats(0, 1e11),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.tuples(anything, st.floats(width=32)), max_size=4),
)
@example(0.0, 0, [])
@example(1.0, -1, [("", 0.0), ("a" * 300, -0.0)])
def test_summary_reads_back_as_written(wall_time: float, step: int, values: list[tuple[str, float]]) -> None:
    event = parsed(tfevents.summary(wall_time, step, [tfevents.scalar(tag, v) for tag, v in values]))
    assert (event.wall_time, event.step) == (wall_time, step)
    assert len(event.summary.value) == len(values)
    for got, (tag, value) in zip(event.summary.value, values, strict=True):
        assert got.tag == tag.encode("utf-8", "replace").decode()
        assert got.WhichOneof("value") == "simple_value"
        assert got.simple_value == value or math.isnan(value)


@pytest.mark.parametrize(("value", "kept"), [(1e300, math.inf), (-1e300, -math.inf), (1e-300, 0.0)])
def test_scalar_beyond_single_precision_is_infinite_not_an_error(value: float, kept: float) -> None:
    assert parsed(tfevents.summary(1.0, 1, [tfevents.scalar("x", value)])).summary.value[0].simple_value == kept


@settings(max_examples=some(50), deadline=None)
@given(st.dictionaries(anything, st.one_of(st.floats(), anything, st.booleans()), max_size=5), st.floats(0, 1e11))
@example({"": "", "off": False, "zero": 0.0}, 0.0)
def test_session_start_reads_back_with_the_type_of_each_value(hparams: dict[str, Any], started_at: float) -> None:
    tag, data = plugin_data(tfevents.session_start(hparams, started_at))
    assert tag == metadata.SESSION_START_INFO_TAG
    assert data.session_start_info.start_time_secs == started_at
    expected = {name.encode("utf-8", "replace").decode(): v for name, v in hparams.items()}
    assert set(data.session_start_info.hparams) == set(expected)
    if len(expected) < len(hparams):  # two names with different surrogates
        return
    for name, value in expected.items():
        got = data.session_start_info.hparams[name]
        if isinstance(value, bool):
            assert got.WhichOneof("kind") == "bool_value" and got.bool_value is value
        elif isinstance(value, str):
            assert got.WhichOneof("kind") == "string_value"
            assert got.string_value == value.encode("utf-8", "replace").decode()
        else:
            assert got.WhichOneof("kind") == "number_value"
            assert got.number_value == value or math.isnan(value)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (tfevents.SUCCESS, api_pb2.STATUS_SUCCESS),
        (tfevents.FAILURE, api_pb2.STATUS_FAILURE),
        (tfevents.UNKNOWN, api_pb2.STATUS_UNKNOWN),
    ],
)
def test_session_end_reads_back(ours: int, theirs: int) -> None:
    tag, data = plugin_data(tfevents.session_end(ours, 12.5))
    assert tag == metadata.SESSION_END_INFO_TAG
    assert data.HasField("session_end_info")
    assert (data.session_end_info.status, data.session_end_info.end_time_secs) == (theirs, 12.5)


def test_experiment_reads_back() -> None:
    infos = [
        tfevents.HParamInfo("lr", "number", low=1e-4, high=0.1, description="log"),
        tfevents.HParamInfo("opt", "string", ("adam", "sgd")),
        tfevents.HParamInfo("flag", "bool", (True, False), differs=False),
        tfevents.HParamInfo("free", "number"),
    ]
    metrics = [tfevents.MetricInfo("loss (best)", "the objective"), tfevents.MetricInfo("acc")]
    tag, data = plugin_data(tfevents.experiment("digits", 3.0, infos, metrics))
    assert tag == metadata.EXPERIMENT_TAG
    got = data.experiment
    assert (got.description, got.time_created_secs) == ("digits", 3.0)
    assert [(i.name, i.type, i.differs, i.WhichOneof("domain")) for i in got.hparam_infos] == [
        ("lr", api_pb2.DATA_TYPE_FLOAT64, True, "domain_interval"),
        ("opt", api_pb2.DATA_TYPE_STRING, True, "domain_discrete"),
        ("flag", api_pb2.DATA_TYPE_BOOL, False, "domain_discrete"),
        ("free", api_pb2.DATA_TYPE_FLOAT64, True, None),
    ]
    assert (got.hparam_infos[0].domain_interval.min_value, got.hparam_infos[0].domain_interval.max_value) == (1e-4, 0.1)
    assert list(got.hparam_infos[1].domain_discrete) == ["adam", "sgd"]
    assert list(got.hparam_infos[2].domain_discrete) == [True, False]
    assert [(m.name.tag, m.name.group, m.description) for m in got.metric_infos] == [
        ("loss (best)", "", "the objective"),
        ("acc", "", ""),
    ]


def test_stamped_record_equals_the_plain_one_but_for_the_order_of_fields() -> None:
    values = [tfevents.scalar("x", 1.0), tfevents.session_end(1, 2.0)]
    stamped = tfevents.Stamped(values)
    for wall_time in (1.5, 1e9):
        assert parsed(stamped.at(wall_time)) == parsed(tfevents.summary(wall_time, 0, values))


def test_file_is_read_by_tensorboards_own_reader_which_checks_the_sums(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1"
    records = [
        tfevents.header(5.0),
        tfevents.summary(6.0, 1, [tfevents.scalar("loss", 0.5)]),
        tfevents.restart(7.0, 1),
        tfevents.Stamped([tfevents.scalar("b" * 10_000, 0.25)]).at(8.0),
    ]
    path.write_bytes(b"".join(records))
    events = list(LegacyEventFileLoader(str(path)).Load())
    assert [e.wall_time for e in events] == [5.0, 5.0, 6.0, 7.0, 8.0]
    assert events[0].file_version == "brain.Event:2"
    assert events[1].session_log.status == events[3].session_log.status == event_pb2.SessionLog.START
    broken = bytearray(b"".join(records))
    broken[len(records[0]) + 20] ^= 1
    path.write_bytes(bytes(broken))
    assert len(list(LegacyEventFileLoader(str(path)).Load())) == 2
