"""Our reading of events against TensorBoard's own messages."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.sources.tensorboard import messages

event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2")
np = pytest.importorskip("numpy")
from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2  # noqa: E402
from tensorboard.util import tensor_util  # noqa: E402

from tests.support.examples import some  # noqa: E402

single = st.floats(width=32, allow_nan=False)


def read(value: summary_pb2.Summary.Value, **event: object) -> messages.Event:
    whole = event_pb2.Event(summary=summary_pb2.Summary(value=[value]), **event)
    return messages.event(whole.SerializeToString())


def number(tensor: tensor_pb2.TensorProto) -> float | None:
    return read(summary_pb2.Summary.Value(tag="a", tensor=tensor)).values[0].number


@settings(max_examples=some(60), deadline=None)
@given(st.floats(0, 1e11), st.integers(-(2**63), 2**63 - 1), st.text(max_size=20), single)
def test_a_scalar_is_read_as_it_was_written(time: float, step: int, tag: str, value: float) -> None:
    found = read(summary_pb2.Summary.Value(tag=tag, simple_value=value), wall_time=time, step=step)
    assert (found.wall_time, found.step, found.restarts) == (time, step, False)
    assert found.values[0][:1] + found.values[0][2:] == (tag, True, "")
    assert struct.pack("<f", found.values[0].number or 0.0) in (struct.pack("<f", value), struct.pack("<f", 0.0))


def test_single_precision_has_no_digits_that_say_nothing() -> None:
    for value in (0.3, 1e-7, 12345.68, 3.4e38, 1.0, -0.0, 123456784.0, 0.693147182):
        found = read(summary_pb2.Summary.Value(tag="a", simple_value=value)).values[0].number
        assert found == value or f"{found!r}" == f"{np.float32(value)!s}"


@pytest.mark.parametrize(
    "dtype",
    "float32 float64 float16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split(),
)
def test_tensors_of_every_type_of_number(dtype: str) -> None:
    value = np.array(1 if dtype == "bool" else 100 if "8" in dtype else 1000.5 if "float" in dtype else 1000, dtype)
    listed = tensor_util.make_tensor_proto(value)
    assert number(listed) == float(value)
    raw = tensor_pb2.TensorProto(dtype=listed.dtype, tensor_content=value.tobytes())
    assert number(raw) == float(value)
    one = tensor_util.make_tensor_proto(value.reshape(1, 1))
    assert number(one) == float(value)
    several = tensor_util.make_tensor_proto(np.array([value, value]))
    assert number(several) is None


def test_half_precision_of_the_other_kind_and_a_tensor_without_numbers() -> None:
    half = tensor_pb2.TensorProto(dtype=types_pb2.DT_BFLOAT16, half_val=[0x3FC0])
    assert number(half) == 1.5
    assert number(tensor_pb2.TensorProto(dtype=types_pb2.DT_BFLOAT16, tensor_content=b"\xc0\x3f")) == 1.5
    assert number(tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT)) == 0.0
    assert number(tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[b"x"])) is None
    nothing = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=0)])
    assert number(tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=nothing)) is None


def test_a_tensor_says_which_plugin_it_is_for() -> None:
    value = summary_pb2.Summary.Value(tag="a", tensor=tensor_util.make_tensor_proto(np.float32(0.5)))
    assert read(value).values[0] == ("a", 0.5, False, "")
    value.metadata.plugin_data.plugin_name = "scalars"
    assert read(value).values[0] == ("a", 0.5, False, messages.SCALARS)


def test_a_restart_of_the_session_is_read_and_its_end_is_not_one() -> None:
    log = event_pb2.SessionLog
    for status, restarts in ((log.START, True), (log.STOP, False), (log.CHECKPOINT, False)):
        data = event_pb2.Event(step=7, session_log=log(status=status)).SerializeToString()
        assert messages.event(data) == messages.Event(0.0, 7, (), restarts)


def test_histograms_images_and_texts_are_no_scalars() -> None:
    for value in (
        summary_pb2.Summary.Value(tag="a", histo=summary_pb2.HistogramProto(min=1, bucket=[1.0] * 30)),
        summary_pb2.Summary.Value(tag="a", image=summary_pb2.Summary.Image(height=3, encoded_image_string=b"\x15" * 9)),
        summary_pb2.Summary.Value(tag="a", tensor=tensor_util.make_tensor_proto(np.array([b"text"], object))),
    ):
        assert read(value).values[0].number is None


@settings(max_examples=some(300), deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_one_error(data: bytes) -> None:
    for whole in (data, b"\x2a" + bytes([len(data) & 0x7F]) + data):
        try:
            found = messages.event(whole)
        except ValueError:
            continue
        assert math.isfinite(found.wall_time)
