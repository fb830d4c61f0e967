"""Tars of strangers: what is sound comes out as it went in, and nothing else leaves a trace."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import resource
import subprocess
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo_engine.errors import MachineError, SpecError
from hpo_engine.service.desk import Model
from hpo_engine.service.intake import Spool, TooLarge, Unpacker
from hpo_engine.system.untar.limits import TarLimits
from tests.support.examples import some
from tests.support.tars import END, entry, header, hostile, long_name, pax, raw_pax, record

HOSTILE = hostile()
GOOD = (
    entry(b"m/train.py", b"print(1)\n" * 90) + entry(b"m/lib/", kind=b"5") + pax(path=b"m/lib/a.py") + entry(b"x", b"1")
)
LIMITS = TarLimits(unpacked=8 << 20, members=200, ratio=50, free=1 << 20)


class Room:
    """A spool, and a canary beside it: a tree that must not change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = Spool(str(folder / "spool"))
        self.unpacker = Unpacker(self.spool, LIMITS)
        (folder / "canary" / "deep").mkdir(parents=True)
        (folder / "canary" / "deep" / "file").write_text("untouched")
        (folder / "canary" / "link").symlink_to("deep/file")
        self._count = 0

    def model(self, data: bytes) -> Model:
        path = self.folder / "upload"
        path.write_bytes(data)
        return Model("tar", str(path), "m.tar", len(data))

    def target(self) -> str:
        self._count += 1
        return str(self.folder / f"out{self._count}")

    def trace(self) -> str:
        """Of every byte and name outside the upload and what came out."""
        digest = hashlib.sha256()
        for at, folders, names in os.walk(self.folder):
            folders[:] = sorted(each for each in folders if not each.startswith("out"))
            for name in sorted(each for each in names if each != "upload"):
                path = os.path.join(at, name)
                digest.update(f"{path} {os.lstat(path)[0:2]} {os.lstat(path).st_mtime_ns}".encode())
                digest.update(Path(path).read_bytes())
            digest.update(f"{at} {folders}".encode())
        return digest.hexdigest()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    found = Room(tmp_path_factory.mktemp("room"))
    yield found
    found.unpacker.close()


def refused(room: Room, data: bytes) -> str:
    """The line that refuses a tar, plain and compressed; nothing has come out, and nothing else has changed."""
    before, texts = room.trace(), []
    for sent in (data, gzip.compress(data, 1)):
        target = room.target()
        for work in (lambda m: room.unpacker.check(m), lambda m, t=target: room.unpacker.extract(m, t)):
            with pytest.raises(SpecError) as error:
                work(room.model(sent))
            texts.append(str(error.value))
        assert not os.path.lexists(target)
    assert room.trace() == before and not os.listdir(room.spool.folder)
    assert texts[0].isprintable() and len(texts[0]) < 300
    return texts[0]


def test_there_are_enough_hostile_tars() -> None:
    assert len(HOSTILE) >= 80


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_tars_leave_nothing(room: Room, what: str) -> None:
    text = refused(room, HOSTILE[what])
    if what.startswith(("name", "kind", "twice", "case", "pax path", "prefix")):
        assert text.startswith("the tar's member"), text


def unpacked(room: Room, data: bytes, script: str = "") -> dict[str, bytes]:
    target = Path(room.target())
    room.unpacker.extract(room.model(data), str(target), script)
    found = {
        str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file() and not p.is_symlink()
    }
    assert not os.listdir(room.spool.folder)
    return found


def test_every_format_comes_out(room: Room, tmp_path: Path) -> None:
    """Of Python's tarfile and of GNU tar, plain, gzip, and several gzip streams in one file; long names in each way."""
    deep = "/".join(["folder-with-a-long-name"] * 8)
    files = {"train.py": b"print(1)\n", f"{deep}/data.csv": b"1,2\n" * 5000, "ünï.txt": b"x", "empty": b""}
    source = tmp_path / "src"
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    (source / "train.py").chmod(0o4755)
    made = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            tar.add(source, ".")
        made.append(out.getvalue())
    for gnu in ("gnu", "posix"):
        made.append(subprocess.run(["tar", f"--format={gnu}", "-cC", str(source), "."], capture_output=True).stdout)
    made.append(subprocess.run(["tar", "-cC", str(tmp_path), "src"], capture_output=True).stdout)
    for data in made:
        half = len(data) // 2
        for sent in (data, gzip.compress(data), gzip.compress(data[:half]) + gzip.compress(data[half:]) + bytes(512)):
            assert unpacked(room, sent) == files
    target = Path(room.target())
    room.unpacker.extract(room.model(made[0]), str(target))
    assert (target / "train.py").stat().st_mode & 0o7777 == 0o755
    assert (target / "empty").stat().st_mode & 0o7777 == 0o644


def test_the_top_folder_goes_away_if_it_is_one(room: Room) -> None:
    below = entry(b"m/src/train.py", b"x") + entry(b"m/src/a.py", b"y") + END
    assert set(unpacked(room, below)) == {"src/train.py", "src/a.py"}
    assert set(unpacked(room, below, "src/train.py")) == {"src/train.py", "src/a.py"}
    assert set(unpacked(room, below, "m/src/train.py")) == {"m/src/train.py", "m/src/a.py"}
    assert set(unpacked(room, below, "other.py")) == {"m/src/train.py", "m/src/a.py"}
    two = entry(b"m/train.py", b"x") + entry(b"n/a.py", b"y") + END
    assert set(unpacked(room, two, "train.py")) == {"m/train.py", "n/a.py"}
    beside = entry(b"._m", b"mac") + entry(b"m/train.py", b"x") + entry(b"m/._train.py", b"mac") + END
    assert unpacked(room, beside, "./train.py") == {"train.py": b"x"}
    assert room.unpacker.check(room.model(below), "src/train.py") == (2, 2, "m", True)
    assert room.unpacker.check(room.model(below), "nowhere.py") == (2, 2, "", False)


def test_a_single_script_is_called_what_the_study_says(room: Room) -> None:
    (room.folder / "upload").write_bytes(b"print(1)\n")
    model = Model("script", str(room.folder / "upload"), "x", 9)
    target = Path(room.target())
    room.unpacker.extract(model, str(target), "src/main.py")
    assert (target / "src" / "main.py").read_bytes() == b"print(1)\n"
    for name in ("", "../main.py", "/etc/passwd", "a//b", "a\nb", "x" * 300):
        with pytest.raises(SpecError, match="no name for it"):
            room.unpacker.extract(model, room.target(), name)


def test_nothing_is_replaced(room: Room) -> None:
    target = Path(room.target())
    target.mkdir()
    with pytest.raises(FileExistsError):
        room.unpacker.extract(room.model(GOOD + END), str(target))


def test_too_much_is_too_large(room: Room) -> None:
    many = b"".join(entry(b"%d" % i) for i in range(300)) + END
    huge = header(b"a", 1 << 33)
    bomb = gzip.compress(header(b"a", 7 << 20) + bytes(7 << 20) + END)
    endless = gzip.compress(entry(b"a", b"x") + bytes(90 << 20))
    for data, text in ((many, "members"), (huge, "limit of 8 MiB"), (bomb, "50 times"), (endless, "50 times")):
        with pytest.raises(TooLarge, match=text):
            room.unpacker.extract(room.model(data), room.target())
    assert not os.listdir(room.spool.folder)


@pytest.mark.slow
def test_bombs_cost_little(room: Room) -> None:
    """1 GiB of zeros, a gzip in a gzip, a million members: each is refused within two seconds of processor time."""
    zeros = io.BytesIO()
    with gzip.GzipFile(fileobj=zeros, mode="wb", compresslevel=1) as out:
        out.write(header(b"a", 1 << 30))
        for _ in range(1024):
            out.write(bytes(1 << 20))
    million = gzip.compress(b"".join(entry(b"%d" % i) for i in range(100_000)) + END, 1)
    unpacker = Unpacker(room.spool)
    for data in (zeros.getvalue(), million, gzip.compress(zeros.getvalue())):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with pytest.raises(SpecError):
            unpacker.check(room.model(data))
        unpacker.close()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0


def test_a_reader_that_hangs_is_ended(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its processor time: the answer is one line, and the next tar is read by a new process."""
    monkeypatch.setattr("hpo_engine.service.intake.unpacker._MAIN", _HANGS)
    unpacker = Unpacker(room.spool)
    with pytest.raises(SpecError, match="too long"):
        unpacker.check(room.model(GOOD + END))
    monkeypatch.undo()
    assert unpacker.check(room.model(GOOD + END)).files == 2
    unpacker.close()


_HANGS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (1, 9))
sys.stdin.readline()
while True: pass
"""


def test_a_reader_that_somebody_kills_is_no_fault_of_the_tar(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it reads, the client may send the tar again; while it waits, nobody notices."""
    monkeypatch.setattr("hpo_engine.service.intake.unpacker._MAIN", _IS_KILLED)
    unpacker, target = Unpacker(room.spool), room.target()
    with pytest.raises(MachineError, match="killed; send it again"):
        unpacker.extract(room.model(GOOD + END), target)
    monkeypatch.undo()
    assert not os.path.exists(target) and not os.listdir(room.spool.folder)
    unpacker.check(room.model(GOOD + END))
    (idle,) = unpacker._free
    idle._process.kill()
    idle._process.wait()
    assert unpacker.check(room.model(GOOD + END)).files == 2
    unpacker.close()


_IS_KILLED = "import os, sys; sys.stdin.readline(); os.kill(os.getpid(), 9)"


def test_no_shell_and_no_environment_reach_the_reader(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_SECRET", "secret")
    unpacker = Unpacker(room.spool)
    unpacker.check(room.model(GOOD + END))
    (child,) = unpacker._free
    pid = child._process.pid
    assert b"HPO_SECRET" not in Path(f"/proc/{pid}/environ").read_bytes()
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max core file size        0" in limits and f"{512 << 20}" in limits
    unpacker.close()
    assert not Path(f"/proc/{pid}").exists()


MUTATIONS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, len(GOOD + END) - 1), st.integers(0, 255)), min_size=1, max_size=12
)


@settings(
    max_examples=some(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(MUTATIONS, st.booleans(), st.booleans())
def test_mutants_come_out_whole_or_not_at_all(
    room: Room, changes: list[tuple[int, int, int]], mend: bool, gz: bool
) -> None:
    mutant_is_handled(room, changes, mend=mend, gz=gz)


@pytest.mark.slow
@settings(
    max_examples=50_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(MUTATIONS, st.booleans(), st.booleans())
def test_50_000_mutants(room: Room, changes: list[tuple[int, int, int]], mend: bool, gz: bool) -> None:
    mutant_is_handled(room, changes, mend=mend, gz=gz)


def mutant_is_handled(room: Room, changes: list[tuple[int, int, int]], *, mend: bool, gz: bool) -> None:
    """`mend`: the checksums are made to fit, so that what was changed is believed."""
    data = bytearray(GOOD + END)
    for how, at, byte in changes:
        if how < 4:
            data[at % len(data)] = byte
        elif how == 4:
            del data[at % len(data) : at % len(data) + byte + 1]
        elif how == 5:
            data[at % len(data) : at % len(data)] = data[: 2 * byte]
        else:
            block = at % len(data) // 512 * 512
            data[block : block + 512] = data[:512]
        data = data or bytearray(1)
    if mend:
        for begin in range(0, len(data) - 511, 512):
            header_block = data[begin : begin + 512]
            if any(header_block):
                header_block[148:156] = b" " * 8
                data[begin + 148 : begin + 156] = b"%06o\0 " % sum(header_block)
    target, before, began = room.target(), room.trace(), time.process_time()
    try:
        contents = room.unpacker.extract(room.model(gzip.compress(bytes(data), 1) if gz else bytes(data)), target)
    except SpecError as error:
        assert not os.path.lexists(target) and str(error).isprintable()
    else:
        files = [path for path in Path(target).rglob("*") if path.is_file()]
        assert len(files) == contents.files and sum(path.stat().st_size for path in files) == contents.size
        assert all(not path.is_symlink() and path.stat().st_nlink == 1 for path in files)
        subprocess.run(["rm", "-rf", target], check=True)
    assert room.trace() == before and time.process_time() - began < 2


def test_damaged_gzip_is_refused(room: Room) -> None:
    good = gzip.compress(GOOD + END)
    for data in (
        good[:-20],
        good[:30],
        good[:40] + b"\xff\xff\xff" + good[43:],
        good + b"trailing",
        b"\x1f\x8b",
        b"\x1f\x8b" + bytes(50),
    ):
        with pytest.raises(SpecError):
            room.unpacker.check(room.model(data))
    assert zlib.decompress(good, 31)


def test_what_real_tools_add_is_taken(room: Room) -> None:
    """git archive's comment, attributes of macOS and of SELinux, GNU's long names, base 256, an old tar's folder."""
    data = (
        pax(b"g", comment=b"0123abcd")
        + raw_pax(record(b"LIBARCHIVE.xattr.com.apple.quarantine", b"x" * 2000) + record(b"mtime", b"1.5"))
        + entry(b"train.py", b"a")
        + long_name(b"lib/" + b"n" * 200)
        + entry(b"short", b"b")
        + header(b"big.bin", b"\x80" + bytes(10) + b"\3") + b"abc".ljust(512, b"\0")
        + entry(b"old/", kind=b"\0", magic=bytes(8))
        + entry(b"old/f", b"c", b"\0", magic=bytes(8))
        + END
    )  # fmt: skip
    assert unpacked(room, data) == {"train.py": b"a", "lib/" + "n" * 200: b"b", "big.bin": b"abc", "old/f": b"c"}
