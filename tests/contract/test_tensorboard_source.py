"""The metric source `tensorboard` on event files as scripts write them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo_engine.contract.layout import lay_out, lay_out_study
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.sources import tree
from hpo_engine.contract.sources.candidates import Candidate
from hpo_engine.contract.sources.interface import Reading, TrialFiles
from hpo_engine.contract.sources.reports import Reports
from hpo_engine.contract.sources.tensorboard import curves, records
from hpo_engine.contract.sources.tensorboard.source import TensorBoard
from hpo_engine.errors import ContractError
from hpo_engine.study.objective import Row
from hpo_engine.system.tfrecord import framed, record
from hpo_engine.trackers import tfevents
from tests.support.eventfiles import NAME, VERSION, field, packed, scalars, tensor
from tests.support.examples import some

DEFAULT, LIGHTNING = "runs/Nov27_18-00-00_host", "lightning_logs/version_0"


class Trial:
    """A trial whose script writes event files; `look` and `final` as the engine calls them."""

    def __init__(self, folder: Path, *named: str, step: str = "") -> None:
        study = StudyPaths(str(folder / "study"))
        os.makedirs(study.root)
        lay_out_study(study, "user")
        lay_out(study.trial(0))
        self.files = TrialFiles(study.trial(0), named=frozenset(named), objectives=frozenset(named))
        self.paths, self.step = study.trial(0), step
        self.source = TensorBoard(self.files, step=step)

    def write(self, folder: str, *data: bytes, name: str = NAME, top: str = "") -> Path:
        path = Path(top or self.paths.result_dir, folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"".join(data if path.stat().st_size else (VERSION, *data)))
        return path

    def look(self) -> Sequence[Row]:
        for _ in range(200):
            if not self.source.look():
                break
        return list(self.source.rows)

    def final(self) -> Reading:
        return TensorBoard(
            TrialFiles(self.paths, named=self.files.named, objectives=self.files.objectives), step=self.step
        ).final(cut=False)

    def final_or_none(self) -> Sequence[Row]:
        try:
            return self.final().rows
        except ContractError:
            return ()


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trial]:
    monkeypatch.setattr(tree, "_EVERY_S", 0.0)
    monkeypatch.setattr(tree, "_SHARE", 0)
    return lambda *named, **options: Trial(tmp_path, *named, **options)


def plain(rows: Sequence[Row]) -> list[tuple[float, Mapping[str, float]]]:
    return [(row.step, dict(row.values)) for row in rows]


def test_tags_of_one_step_are_one_row_also_out_of_order_and_from_several_files(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    t.write(DEFAULT, scalars(2, {"loss": 0.5}), scalars(1, {"loss": 0.75}), scalars(2, {"acc": 0.25}))
    t.write(f"{DEFAULT}/loss_val", scalars(1, {"loss": 3.0}), scalars(2, {"loss": 2.0}))
    t.write("more", scalars(2, {"f1": 0.125}), top=t.paths.log_dir)
    assert len(t.look()) >= 2
    t.write(DEFAULT, scalars(1, {"acc": 0.5}))
    assert [row.values for row in t.look() if "acc" in row.values][-1] == {"acc": 0.5}
    last = t.final()
    assert sorted(plain(last.rows)) == [
        (1, {"loss": 0.75, "loss_val": 3.0, "acc": 0.5}),
        (2, {"loss": 0.5, "acc": 0.25, "loss_val": 2.0, "f1": 0.125}),
    ]
    assert last.problem is None and last.source == "3 event files"


def test_a_loss_per_batch_does_not_count_the_steps_of_a_score_per_epoch(trial: Callable[..., Trial]) -> None:
    t = trial("val")
    batches = iter(range(30))

    def epoch(number: int) -> None:
        for batch in [next(batches) for _ in range(10)]:
            t.write(DEFAULT, scalars(batch, {"loss": float(batch)}, at=1.7e9 + batch))
        t.write(DEFAULT, scalars(number, {"val": 0.5}, at=1.7e9 + batch + 0.5))
        t.write(DEFAULT, scalars(number, {"acc": 0.75}, at=1.7e9 + batch + 0.6))

    expected = [(i, {"loss": 10.0 * i + 9, "val": 0.5, "acc": 0.75}) for i in range(3)]
    for i in range(3):
        epoch(i)
        assert plain(t.look()) == expected[: i + 1]
    assert plain(t.final().rows) == expected


def test_metrics_that_are_reported_more_often_have_rows_of_their_own(trial: Callable[..., Trial]) -> None:
    t = trial("val")
    for fold in range(2):  # the steps of the second one begin anew
        for i in range(6):
            t.write(DEFAULT, scalars(i, {"loss": 0.5 + fold}, at=1.7e9 + 10 * fold + i))
            if i % 3 == 2:
                t.write(DEFAULT, scalars(i, {"val": 0.25}, at=1.7e9 + 10 * fold + i + 0.5))
    assert plain(t.look()) == plain(t.final().rows)
    assert [row.step for row in t.look()] == [0, 1, 2, 3, 4, 5] * 2


def test_rows_that_were_seen_stay_and_late_ones_are_added(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    t.write(DEFAULT, *[scalars(i, {"loss": 1.0 / (i + 1)}) for i in range(50)])
    before = t.look()
    t.write(DEFAULT, scalars(0, {"val": 0.5}, at=2e9))
    after = t.look()
    assert after[:50] == before and plain(after[50:]) == [(0, {"val": 0.5})]
    assert plain(t.final().rows)[0] == (0, {"loss": 1.0, "val": 0.5})


def lightning(step: int, epoch: float, **values: float) -> list[bytes]:
    return [scalars(step, {name: value}) for name, value in {**values, "epoch": epoch}.items()]


def test_what_lightning_logs_is_counted_by_epoch(trial: Callable[..., Trial]) -> None:
    t = trial("val_loss")
    t.write(LIGHTNING, scalars(0, {"hp_metric": -1.0}))
    t.look()
    t.write(LIGHTNING, *lightning(49, 0, train_loss=4.0), *lightning(99, 0, train_loss=3.0))
    assert t.look() == []  # nothing that the study looks for yet
    t.write(LIGHTNING, *lightning(110, 0, val_loss=0.5, acc=0.25))
    assert plain(t.look()) == [(0, {"train_loss": 3.0, "val_loss": 0.5, "acc": 0.25})]
    t.write(LIGHTNING, *lightning(110, 0, train_loss_epoch=3.5), *lightning(149, 1, train_loss=2.0))
    assert plain(t.look()) == [(0, {"train_loss": 3.0, "val_loss": 0.5, "acc": 0.25, "train_loss_epoch": 3.5})]
    t.write(LIGHTNING, *lightning(221, 1, val_loss=0.25))
    live = plain(t.look())
    assert live[1:] == [(1, {"train_loss": 2.0, "val_loss": 0.25})]
    assert plain(t.final().rows) == live


def test_an_epoch_written_a_moment_later_is_waited_for(trial: Callable[..., Trial]) -> None:
    t = trial("val_loss")
    t.write(LIGHTNING, *lightning(9, 0, val_loss=1.0))
    t.look()
    t.write(LIGHTNING, scalars(19, {"val_loss": 0.5}))
    t.source.look()
    assert len(t.source.rows) == 1
    t.write(LIGHTNING, scalars(19, {"epoch": 1.0}))
    assert plain(t.look()) == [(0, {"val_loss": 1.0}), (1, {"val_loss": 0.5})]
    t.write(LIGHTNING, scalars(25, {"by_hand": 0.5}))  # by the logger's writer itself, without an epoch
    t.look()
    assert plain(t.final().rows)[1] == (1, {"val_loss": 0.5, "by_hand": 0.5})


def test_rows_are_counted_anew_if_a_run_turns_out_to_log_its_epoch(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    t.write(LIGHTNING, scalars(10, {"loss": 1.0}))
    assert plain(t.look()) == [(10, {"loss": 1.0})]
    t.write(LIGHTNING, *lightning(20, 0, loss=0.5))
    assert plain(t.look()) == plain(t.final().rows) == [(0, {"loss": 0.5})]


@pytest.mark.parametrize(("step", "named"), [("global_step", "loss"), ("", "epoch")])
def test_the_global_step_counts_if_the_study_says_so(trial: Callable[..., Trial], step: str, named: str) -> None:
    t = trial(named, step=step)
    t.write(LIGHTNING, *lightning(20, 0, loss=0.5), *lightning(30, 0, loss=0.25))
    expected = [(20, {"loss": 0.5, "epoch": 0.0}), (30, {"loss": 0.25, "epoch": 0.0})]
    assert plain(t.look()) == plain(t.final().rows) == expected


def test_any_scalar_can_say_the_step(trial: Callable[..., Trial]) -> None:
    t = trial("eval/loss", step="train/epoch")
    t.write("runs/x", scalars(5, {"eval/loss": 0.5}), scalars(5, {"train/epoch": 0.5}))
    assert plain(t.look()) == plain(t.final().rows) == [(0.5, {"eval/loss": 0.5})]


def test_the_latest_run_counts_for_the_metrics_that_it_has(trial: Callable[..., Trial]) -> None:
    t = trial("val_loss")
    t.write(LIGHTNING, *lightning(10, 0, val_loss=0.125, other=1.0))
    assert plain(t.look()) == [(0, {"val_loss": 0.125, "other": 1.0})]
    again = [tfevents.summary(1.8e9 + i, i, [tfevents.scalar("val_loss", 0.5 / i)]) for i in (1, 2)]
    path = Path(t.paths.result_dir, "lightning_logs/version_1", NAME)
    path.parent.mkdir()
    path.write_bytes(b"".join(again))
    expected = [(0, {"other": 1.0}), (1, {"val_loss": 0.5}), (2, {"val_loss": 0.25})]
    assert plain(t.look()) == expected[1:]
    assert plain(t.final().rows) == expected


def test_steps_that_are_never_given_are_counted(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    t.write(DEFAULT, scalars(0, {"loss": 3.0}, at=1.7e9), scalars(0, {"acc": 0.5}, at=1.7e9))
    t.look()
    t.write(DEFAULT, scalars(0, {"loss": 2.0}, at=1.7e9), scalars(0, {"acc": 0.75}, at=1.7e9))
    expected = [(0, {"loss": 3.0, "acc": 0.5}), (1, {"loss": 2.0, "acc": 0.75})]
    assert plain(t.look()) == plain(t.final().rows) == expected


def test_steps_that_begin_anew_keep_the_order_in_which_they_were_reported(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    for fold in range(2):
        t.write(DEFAULT, *[scalars(i, {"loss": fold + i / 8}, at=1.7e9 + 10 * fold + i) for i in range(3)])
        t.look()
    assert plain(t.look()) == plain(t.final().rows)
    assert [row.step for row in t.look()] == [0, 1, 2, 0, 1, 2]


def test_a_restart_takes_back_what_was_reported_from_its_step_on(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    t.write(DEFAULT, *[scalars(i, {"loss": 9.0 - i, "acc": 0.5}) for i in range(5)])
    t.write("other", *[scalars(i, {"f1": 0.25}) for i in range(5)])
    assert len(t.look()) == 5
    second = NAME.replace("1700000000", "1700000009") + ".suffix"
    t.write(DEFAULT, tfevents.restart(1.7e9 + 9, 2), scalars(2, {"loss": 1.0}, at=1.7e9 + 10), name=second)
    assert [(s, v["loss"]) for s, v in plain(t.look()) if "loss" in v] == [(0, 9.0), (1, 8.0), (2, 1.0)]
    last = plain(t.final().rows)
    assert [(s, v["loss"]) for s, v in last if "loss" in v] == [(0, 9.0), (1, 8.0), (2, 1.0)]
    assert [v["other/f1"] for _, v in last] == [0.25] * 5


def test_rotated_files_are_read_in_order_of_time(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    for i, name in enumerate((NAME.replace("77.0", "77.9"), NAME.replace("77.0", "77.10"))):
        t.write(DEFAULT, *[scalars(2 * i + j, {"loss": 1.0 / (2 * i + j + 1)}) for j in range(2)], name=name)
    assert [row.step for row in t.look()] == [row.step for row in t.final().rows] == [0, 1, 2, 3]


def test_scalars_between_images_are_read_and_the_images_are_not(
    trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    t = trial("loss")
    image = field(1, b"image") + field(4, bytes(3_000_000))
    mixed = b"\x10\x01" + field(5, field(1, image) + field(1, tfevents.scalar("acc", 0.5)) + field(1, image))
    for i in range(3):
        t.write(DEFAULT, framed(field(5, field(1, image)), 0), scalars(i, {"loss": 0.5}), framed(mixed, 0))
    read = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: (data := pread(fd, size, at), read.append(len(data)))[0])
    assert [row.values.get("loss") for row in t.look() if "loss" in row.values] == [0.5] * 3
    assert {"loss": 0.5, "acc": 0.5} in [row.values for row in t.final().rows]
    assert sum(read) < 500_000


def test_a_wrong_checksum_of_a_content_costs_that_record_and_of_a_length_the_rest(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    good = [scalars(i, {"loss": 0.5}) for i in range(3)]
    spoilt = bytearray(good[1])
    spoilt[-6] ^= 1
    path = t.write(DEFAULT, good[0], bytes(spoilt), good[2])
    assert [row.step for row in t.look()] == [0, 2]
    last = t.final()
    assert [row.step for row in last.rows] == [0, 2]
    assert last.problem == "TensorBoard's event files have 1 record with a wrong checksum, which were passed over"
    torn = bytearray(good[1])
    torn[0] ^= 1
    path.write_bytes(b"".join([VERSION, good[0], bytes(torn), good[2]]))
    assert [row.step for row in t.look()] == [0]
    last = t.final()
    at = len(VERSION) + len(good[0])
    title = f"{DEFAULT}/{NAME} in RESULT_DIR"
    assert [row.step for row in last.rows] == [0]
    assert last.problem == f"{title} is damaged at byte {at}: what follows was not read"


def test_only_the_first_tensor_of_a_tag_has_to_say_that_it_is_a_scalar(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    told, untold = (tensor("epoch_loss", 1, packed_single, plugin=p) for p in ("scalars", ""))
    for i, value in enumerate((told, untold)):
        t.write("logs/validation", tfevents.summary(1.7e9 + i, i, [value]))
        t.look()
    t.write("logs/validation", tfevents.summary(1.7e9, 1, [tensor("other", 2, packed(0.5), plugin="")]))
    assert plain(t.look()) == plain(t.final().rows) == [(0, {"val_loss": 0.5}), (1, {"val_loss": 0.5})]


packed_single = field(4, b"\0\0\0\x3f")


def test_the_engines_own_event_files_are_never_read(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    for name in ("", "reported"):
        for end in ("", ".1"):
            own = f"events.out.tfevents.1700000000.host.hpo-engine{end}"
            t.write(name, scalars(1, {"loss": 9.0}), top=t.paths.log_dir, name=own)
    assert t.look() == []
    t.write("", scalars(1, {"loss": 0.5}), top=t.paths.log_dir, name="events.out.tfevents.1.a.hpo-engine.77.0")
    assert plain(t.look()) == plain(t.final().rows) == [(1, {"loss": 0.5})]


def test_of_very_many_scalars_those_count_that_the_study_names(
    trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "MAX_SCALARS", 100)
    monkeypatch.setattr(curves, "MAX_NAMED", 200)
    monkeypatch.setattr(records, "_SMALL", 60)  # most records are condensed
    t = trial("loss")
    t.write(DEFAULT, *[scalars(i, {"loss": 1.0, "other": 2.0}) for i in range(150)])
    live, last = t.look(), t.final()
    for rows in (live, last.rows):
        assert len(rows) == 150 and sum("other" in row.values for row in rows) == 50
    t.write(DEFAULT, *[scalars(i, {"loss": 1.0}) for i in range(150, 400)])
    assert len(t.look()) == 250
    with pytest.raises(ContractError, match="too many scalars"):
        t.final()


def test_a_damaged_file_whose_rows_count_is_noted_with_the_result(trial: Callable[..., Trial]) -> None:
    t = trial("loss")
    t.write(DEFAULT, scalars(1, {"loss": 0.5}), b"\1" * 40)
    made = Candidate("tensorboard", lambda files: TensorBoard(files))
    reading = Reports(TrialFiles(t.paths), [made], objectives=["loss"]).final()
    assert len(reading.rows) == 1 and "is damaged at byte" in (reading.problem or "")


PIECES = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(record),
    st.builds(
        lambda step, tag, value: scalars(step, {tag: value}),
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from(["loss", "epoch", "", "a/b", "hp_metric", "é\n"]),
        st.floats(),
    ),
    st.builds(tfevents.restart, st.floats(), st.integers(-(2**63), 2**63 - 1)),
    st.builds(
        lambda kind, numbers, plugin: tfevents.summary(0.0, 1, [tensor("epoch_loss", kind, numbers, plugin=plugin)]),
        st.integers(0, 127),
        st.binary(max_size=20),
        st.sampled_from(["", "scalars", "images"]),
    ),
)
FOLDERS = st.sampled_from(["", "logs/train", "logs/validation", "lightning_logs/version_0", "x/loss_val", "1/2/3.4"])


@settings(max_examples=some(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(FOLDERS, st.lists(PIECES, max_size=6).map(b"".join)), max_size=6), st.data())
def test_whatever_is_in_event_files_is_read_or_passed_over(files: list[tuple[str, bytes]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(tree, "_EVERY_S", 0.0)
        patched.setattr(tree, "_SHARE", 0)
        t = Trial(Path(folder), *data.draw(st.sampled_from([(), ("loss",), ("val_loss", "loss")])))
        for name, content in files:
            path = Path(t.paths.result_dir, name, NAME)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
            t.look()
        for rows in (t.source.rows, t.final_or_none()):
            assert all(type(row.step) in (int, float) and row.values for row in rows)
