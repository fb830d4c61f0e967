"""Files that trials share are made once, whole or not at all; what is made for the docstrings."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hpo_trainees.corpus import TOPICS
from hpo_trainees.shared_files import DataError, data_root, provide
from hpo_trainees.tokenizer import UNKNOWN, Tokenizer, train_tokenizer

FORK = multiprocessing.get_context("fork")


def test_root_is_data_dir_unless_that_is_the_trials_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RESULT_DIR", "/study/results/3")
    monkeypatch.setenv("DATA_DIR", "/data")
    assert data_root() == Path("/data")
    monkeypatch.setenv("DATA_DIR", "/study/results/3")  # what the engine sets where the study file has no data_dir
    assert data_root() == tmp_path / "cache" / "hpo-trainees"
    monkeypatch.delenv("DATA_DIR")
    assert data_root() == tmp_path / "cache" / "hpo-trainees"


def test_two_at_once_make_it_once_and_both_have_it(tmp_path: Path) -> None:
    begun, go_on = FORK.Event(), FORK.Event()

    def make(folder: Path) -> None:
        with open(tmp_path / "makers", "a") as file:
            file.write("x")
        begun.set()
        assert go_on.wait(60)
        (folder / "set").mkdir()
        (folder / "set" / "a").write_text("whole")

    def work() -> None:
        provide(tmp_path / "data", ["set/a"], make)
        assert (tmp_path / "data" / "set" / "a").read_text() == "whole"

    both = [FORK.Process(target=work) for _ in range(2)]
    for process in both:
        process.start()
    assert begun.wait(60)
    assert not (tmp_path / "data" / "set").exists()
    go_on.set()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0] and (tmp_path / "makers").read_text() == "x"


def test_after_a_kill_nothing_half_made_is_found_and_the_next_one_makes_it(tmp_path: Path) -> None:
    half = FORK.Event()

    def endless(folder: Path) -> None:
        (folder / "a").write_text("ha")
        half.set()
        signal.pause()

    child = FORK.Process(target=lambda: provide(tmp_path, ["a"], endless))
    child.start()
    assert half.wait(60) and child.pid
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert not (tmp_path / "a").exists()

    def make(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        (folder / "a").write_text("half no more")

    provide(tmp_path, ["a"], make)
    assert (tmp_path / "a").read_text() == "half no more" and {p.name for p in tmp_path.iterdir()} == {"a", ".a.lock"}


def test_what_cannot_be_written_is_said_unless_the_files_are_there(tmp_path: Path) -> None:
    def never(folder: Path) -> None:
        raise AssertionError

    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "data", Path("/proc/nowhere/data")):
        with pytest.raises(DataError, match="lacks set/a, and nothing can be written there .*DATA_DIR"):
            provide(place, ["set/a"], never)
    provide(tmp_path, ["file"], never)
    with pytest.raises(ZeroDivisionError):
        provide(tmp_path, ["b"], lambda folder: print(1 / 0))
    assert {p.name for p in tmp_path.iterdir()} == {"file", ".b.lock"}


# -- the tokenizer --------------------------------------------------------------------------------------------------------


def test_the_most_frequent_pairs_are_merged_first() -> None:
    """The example of the paper: low, lower, newest, widest."""
    texts = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    found = train_tokenizer(texts, size=11 + 2 + 4)
    assert [left + right for left, right in found._merges] == ["t_", "st_", "est_", "ow"], (
        "of equal ones, the last letters"
    )
    assert len(found.encode("lowest")) == len(["l", "ow", "est_"])
    assert found.decode(found.encode("lowest newest")) == "lowest newest"


def test_a_tokenizer_has_its_size_and_survives_its_file(tmp_path: Path) -> None:
    texts = [(Path(__file__).parents[2] / name).read_text() for name in ("README.md", "CONTRIBUTING.md")]
    made = train_tokenizer(texts, 400)
    assert len(made) == 400 == len(train_tokenizer(texts, 400))
    made.save(tmp_path / "t.json")
    loaded = Tokenizer.load(tmp_path / "t.json")
    numbers = loaded.encode(texts[1])
    assert numbers == made.encode(texts[1]) and min(numbers) > 1 and max(numbers) < 400
    assert len(numbers) < len(texts[1]) / 2
    assert loaded.encode("\N{SNOWMAN}")[0] == UNKNOWN
    (tmp_path / "t.json").write_text((tmp_path / "t.json").read_text()[:50])
    with pytest.raises(ValueError, match="is not a tokenizer"):
        Tokenizer.load(tmp_path / "t.json")
    with pytest.raises(ValueError, match="too small"):
        train_tokenizer(texts, 20)


# -- docstrings and their tokenizers --------------------------------------------------------------------------------------


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with a short corpus and a folder of its own."""
    pytest.importorskip("lightning")
    from hpo_trainees import text

    def corpus() -> list[tuple[str, str]]:
        return [
            (f"Returns the {topic} number {number} of all words.", topic) for number in range(20) for topic in TOPICS
        ]

    monkeypatch.setattr(text, "read_corpus", corpus)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("RESULT_DIR", raising=False)
    return text


def test_each_vocabulary_has_a_file_of_its_own_and_is_made_once(text: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = text.TextData(vocab_size=256), text.TextData(vocab_size=300, batch_size=7)
    for data in (small, large):
        data.prepare_data()
    assert small.tokenizer_path != large.tokenizer_path and small.corpus_path == large.corpus_path
    monkeypatch.setattr(text, "train_tokenizer", None)
    monkeypatch.setattr(text, "read_corpus", None)
    for data in (small, large):
        data.prepare_data()
        data.setup()
    tokens, topics = next(iter(large.train_dataloader()))
    assert tokens.shape[0] == topics.shape[0] == 7 and int(tokens.max()) < text.LARGEST_VOCABULARY
    assert len(small._train) + len(small._val) == 20 * len(TOPICS) and len(small._val) == 4 * len(TOPICS)
    module = text.TextModule(dim=8, heads=2)
    longer = text.nn.functional.pad(tokens, (0, 5))
    module.eval()
    assert (module(tokens) - module(longer)).abs().max() < 1e-5, "what fills a batch up is not read"


@pytest.mark.parametrize("which", ["corpus_path", "tokenizer_path"])
def test_a_damaged_file_is_named(text: Any, which: str) -> None:
    data = text.TextData(vocab_size=256)
    data.prepare_data()
    path = getattr(data, which)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DataError, match=f"{path.name} is .*delete that file"):
        text.TextData(vocab_size=256).setup()
