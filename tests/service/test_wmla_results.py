"""A trial's folder as a zip whose size is known before it is sent."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_engine.service.wmla import results
from hpo_engine.service.wmla.results import ResultZip, zip_size

_NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


def contents(archive: ResultZip) -> dict[str, bytes]:
    """What a client finds in the zip, which is as long as was said."""
    size = archive.size
    data = b"".join(archive.chunks())
    assert len(data) == size
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "results" / "7"
    (made / "model").mkdir(parents=True)
    (made / "config.json").write_text('{"lr": 0.1}')
    (made / "model" / "weights.bin").write_bytes(b"w" * 3_000_000)
    return made


def test_all_files_are_in_it(folder: Path) -> None:
    assert contents(ResultZip(str(folder))) == {
        "config.json": b'{"lr": 0.1}', "model/weights.bin": b"w" * 3_000_000,
    }  # fmt: skip


def test_an_empty_folder_gives_an_empty_zip(tmp_path: Path) -> None:
    assert contents(ResultZip(str(tmp_path))) == {}


def test_links_are_followed_within_the_folder_only(folder: Path) -> None:
    secret = folder.parent.parent / "secret"
    secret.write_text("secret")
    (folder / "best").symlink_to("model/weights.bin")
    (folder / "out").symlink_to(secret)
    (folder / "up").symlink_to("../../secret")
    (folder / "loop").symlink_to("loop")
    (folder / "gone").symlink_to("nothing")
    (folder / "folder").symlink_to(folder.parent.parent)
    (folder / "self").symlink_to(".")
    os.mkfifo(folder / "pipe")
    found = contents(ResultZip(str(folder)))
    assert sorted(found) == ["best", "config.json", "model/weights.bin"] and found["best"] == b"w" * 3_000_000


def test_a_link_that_replaces_a_file_meanwhile_is_not_followed(folder: Path) -> None:
    (folder.parent / "secret").write_bytes(b"s" * 4_000_000)
    archive = ResultZip(str(folder))
    (folder / "model" / "weights.bin").unlink()
    (folder / "model" / "weights.bin").symlink_to(folder.parent / "secret")
    assert contents(archive)["model/weights.bin"] == bytes(3_000_000)


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(folder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir()
    (other / "weights.bin").write_bytes(b"s" * 4_000_000)
    archive = ResultZip(str(folder))
    os.rename(folder / "model", folder / "before")
    (folder / "model").symlink_to(other)
    assert contents(archive)["model/weights.bin"] == bytes(3_000_000)


@pytest.mark.parametrize("now", [b"", b"x" * 10, b"x" * 5_000_000, None], ids=["empty", "shorter", "longer", "gone"])
def test_a_file_that_changes_meanwhile_has_the_bytes_that_were_promised(folder: Path, now: bytes | None) -> None:
    archive = ResultZip(str(folder))
    path = folder / "model" / "weights.bin"
    if now is None:
        path.unlink()
    else:
        path.write_bytes(now)
    found = contents(archive)["model/weights.bin"]
    assert found == (now or b"")[:3_000_000].ljust(3_000_000, b"\0")


def test_small_files_are_of_the_moment_of_the_request(folder: Path) -> None:
    archive = ResultZip(str(folder))
    (folder / "config.json").write_text("{}")
    assert contents(archive)["config.json"] == b'{"lr": 0.1}'


def test_a_folder_that_is_a_link_is_refused(folder: Path) -> None:
    (folder.parent / "8").symlink_to(folder)
    with pytest.raises(OSError):
        ResultZip(str(folder.parent / "8"))


def test_odd_names_and_times(tmp_path: Path) -> None:
    for name in (b"\xff\xfe", "é".encode(), b" ", b"a\nb", b'"'):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("x")
        os.utime(os.fsencode(tmp_path) + b"/" + name, (0, 0))
    assert len(contents(ResultZip(str(tmp_path)))) == 5


@given(st.dictionaries(_NAMES, st.integers(0, 2000), max_size=8), st.integers(100, 4000), st.integers(1, 8))
def test_the_size_is_right_beyond_the_limits_of_plain_zips(sizes: dict[str, int], limit: int, most: int) -> None:
    """With limits that small files pass, as four GiB are too many for a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", limit)
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", most)
        archive = ResultZip.__new__(ResultZip)
        archive._entries = [results.Entry(name, name, size, 1e9, 0o644, b"x" * size) for name, size in sizes.items()]
        assert len(b"".join(archive.chunks())) == archive.size
        assert archive.size == zip_size([(len(name.encode()), size) for name, size in sizes.items()])
