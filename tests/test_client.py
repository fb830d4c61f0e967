"""The client's own parts: what is packed of a folder, the copy of a log, and the file of known servers."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.client import packing
from hpo_engine.client.servers import Server, forget, found_server, keep, load, normal_url
from hpo_engine.errors import JournalError, SpecError
from hpo_engine.store.copying import append, end_of, piece_after, prepare
from hpo_engine.store.journal import Journal, read_history
from hpo_engine.study.events import fold, opening
from tests.support.random_logs import spec


def unpacked(package: packing.Package) -> dict[str, bytes]:
    data = b"".join(package.pieces())
    assert len(data) == package.size
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert all(member.isfile() for member in tar)
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_what_a_local_study_would_copy_is_packed(tmp_path: Path) -> None:
    """Files only: links to files and to folders inside become files, others stay here and are named."""
    folder, outside = tmp_path / "model", tmp_path / "data.bin"
    for name in ("train.py", "lib/a.py", ".git/config", "__pycache__/x.pyc", "big.csv", "é/ü.txt", "n" * 150 + "/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    outside.write_bytes(b"data")
    for name, target in (("data", outside), ("dangling", "nowhere"), ("alias", "lib"), ("away", "/usr"), ("loop", ".")):
        (folder / name).symlink_to(target)
    (folder / "train.py").chmod(0o755)
    package = packing.packed(str(folder), patterns=["*.csv"])
    found = unpacked(package)
    assert set(found) == {"train.py", "lib/a.py", "alias/a.py", "data", "é/ü.txt", "n" * 150 + "/x"}
    assert found["data"] == b"data" and found["alias/a.py"] == b"lib/a.py"
    assert [note.split()[2] for note in package.notes] == ["away", "dangling", "loop"]


def test_a_folder_that_no_server_takes_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(SpecError, match="a server takes"):
        packing.packed(str(tmp_path))


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    package = packing.packed(str(tmp_path))
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(SpecError, match="shorter"):
        list(package.pieces())


def test_a_form_is_as_long_as_it_says_also_when_it_is_sent_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    counted = list[int]()
    upload = packing.form("trials: 1\n", packing.packed(str(tmp_path)), counted.append)
    for _ in range(2):
        assert sum(map(len, upload.pieces())) == upload.size
    assert 0 < sum(counted) < upload.size


def log_at(path: Path, *, now: float = 1.0) -> str:
    journal = Journal(str(path), write=True)
    events = opening(spec(), now, "trials: 1\n", [], None)
    journal.append(events, fold(events))
    journal.close()
    return str(path)


def test_a_copied_log_is_the_same_log(tmp_path: Path) -> None:
    source, copy = log_at(tmp_path / "study.db"), str(tmp_path / "copy.db")
    prepare(copy)
    assert end_of(copy) == (0, 0)
    piece = piece_after(source, *end_of(copy))
    append(copy, piece.rows)
    append(copy, piece.rows)  # of another process that copies the same
    assert end_of(copy) == end_of(source) and read_history(copy) == read_history(source)
    assert piece_after(source, *end_of(copy)).rows == []


def test_a_copy_notices_what_is_not_its_log(tmp_path: Path) -> None:
    source, other, copy = log_at(tmp_path / "a.db"), log_at(tmp_path / "b.db", now=2.0), str(tmp_path / "copy.db")
    prepare(copy)
    rows: list[list[Any]] = [list(row) for row in piece_after(source, 0, 0).rows]
    changed = [[*rows[0][:5], rows[0][5].replace("1", "2", 1)], *rows[1:]]
    for wrong in (changed, rows[1:] or [[2, *rows[0][1:]]], [[1, 1.0, "x"]]):
        with pytest.raises(JournalError):
            append(copy, wrong)
        assert end_of(copy) == (0, 0)
    append(copy, rows)
    assert piece_after(other, *end_of(copy)).other and not piece_after(source, *end_of(copy)).other


def test_servers_are_kept_for_this_user_only(tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert load(env) == {} and not forget("http://a:1", env)
    keep(Server("https://gpu1:8642", "t1", "ab", "ada"), env)
    keep(Server("https://gpu2:8642", "t2"), env)
    file = tmp_path / "config" / "hpo-engine" / "servers.json"
    assert file.stat().st_mode & 0o777 == 0o600 and os.listdir(file.parent) == ["servers.json"]
    assert found_server("gpu1", env) == Server("https://gpu1:8642", "t1", "ab", "ada")
    assert found_server("gpu1:8642", {**env, "HPO_ENGINE_TOKEN": "x"}) == Server("https://gpu1:8642", "x", "ab")
    with pytest.raises(SpecError, match='did you mean "gpu1:8642"'):
        found_server("gpu1:8643", env)
    assert forget("https://gpu1:8642", env) and list(load(env)) == ["https://gpu2:8642"]
    file.write_text("nonsense")
    with pytest.raises(SpecError, match="log in again"):
        load(env)


@pytest.mark.parametrize(
    ("text", "url"),
    [("https://h:1/", "https://h:1"), ("http://H", "http://h"), ("http://[::1]:8/", "http://[::1]:8"), ("https://h/p/", "https://h/p")],
)  # fmt: skip
def test_addresses_are_kept_in_one_form(text: str, url: str) -> None:
    assert normal_url(text) == url


@pytest.mark.parametrize(
    "text", ["h:1", "ftp://h", "http://", "http://u:p@h", "http://h:x", "http://h?x=1", "http://h#x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        normal_url(text)
