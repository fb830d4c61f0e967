"""Which topic of Python's standard library is a docstring about? A small transformer reads and answers; nothing is
downloaded.

By hand: `python -m hpo_trainees.text`; in a study: `command: python -m hpo_trainees.text`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hpo_trainees.classifier import Classifier
from hpo_trainees.corpus import TOPICS, read_corpus
from hpo_trainees.shared_files import DataError, data_root, provide
from hpo_trainees.tokenizer import PAD, Tokenizer, train_tokenizer
from hpo_trainees.tune import tune_main
from hpo_trainees.values import ConfigError

LARGEST_VOCABULARY = 4096  # what the network has room for, whatever the tokenizer of a trial uses
Example = tuple[list[int], int]  # tokens, topic
Batch = tuple[Tensor, Tensor]  # tokens (n, longest of the batch), filled up with PAD; topics (n,)


class TextData(pl.LightningDataModule):
    """Docstrings and their topics, some 4,900; a fifth of them for validation.

    `prepare_data` reads the corpus and trains a tokenizer on the training texts, once for all trials with the same
    `split_seed` and `vocab_size`: both are kept below DATA_DIR/docstrings, by the version of Python.

    Args:
        batch_size: texts in a training batch, >= 1.
        vocab_size: numbers that the tokenizer uses, 256..4096.
        max_length: tokens of a text that are read, >= 1; the rest is cut off.
        split_seed: which texts are for validation; trials that are compared must share it.
    """

    def __init__(self, batch_size: int = 64, vocab_size: int = 1024, max_length: int = 48, split_seed: int = 0) -> None:
        super().__init__()
        if not 256 <= vocab_size <= LARGEST_VOCABULARY:
            raise ConfigError(f"vocab_size must be in 256..{LARGEST_VOCABULARY}, not {vocab_size}")
        self.batch_size = batch_size
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.split_seed = split_seed
        self.tokenizer: Tokenizer | None = None
        self._train: list[Example] = []
        self._val: list[Example] = []

    @property
    def corpus_path(self) -> Path:
        return data_root() / "docstrings" / f"python-{'.'.join(map(str, sys.version_info[:3]))}.json"

    @property
    def tokenizer_path(self) -> Path:
        """Has in its name all that the tokenizer depends on: trials with other values have other files."""
        return self.corpus_path.with_name(f"{self.corpus_path.stem}-split{self.split_seed}-vocab{self.vocab_size}.json")

    def prepare_data(self) -> None:
        def corpus(folder: Path) -> None:
            (folder / self.corpus_path.name).write_text(json.dumps(read_corpus()), encoding="utf-8")

        def tokenizer(folder: Path) -> None:
            train, _ = self._split()
            train_tokenizer((text for text, _ in train), self.vocab_size).save(folder / self.tokenizer_path.name)

        for path, make in ((self.corpus_path, corpus), (self.tokenizer_path, tokenizer)):
            provide(path.parent, [path.name], make)

    def setup(self, stage: str | None = None) -> None:
        if self.tokenizer is None:
            try:
                self.tokenizer = Tokenizer.load(self.tokenizer_path)
            except ValueError as error:
                raise DataError(f"{error}: delete that file, and it is made again") from None
            self._train, self._val = (list(map(self._example, part)) for part in self._split())

    def train_dataloader(self) -> DataLoader[Example]:
        return self._loader(self._train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Example]:
        return self._loader(self._val, 256, shuffle=False)

    def _loader(self, examples: list[Example], batch_size: int, shuffle: bool) -> DataLoader[Example]:
        if not examples:
            raise RuntimeError("call prepare_data() and setup() before asking for a dataloader")
        data: Any = examples  # a list has all that a loader needs
        return DataLoader(data, batch_size, shuffle=shuffle, collate_fn=as_batch, num_workers=0)

    def _split(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        try:
            corpus = [(text, topic) for text, topic in json.loads(self.corpus_path.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{self.corpus_path} is damaged ({error}): delete that file, and it is made again"
            ) from None
        order = torch.randperm(len(corpus), generator=torch.Generator().manual_seed(self.split_seed)).tolist()
        held_out = len(corpus) // 5
        return [corpus[i] for i in order[held_out:]], [corpus[i] for i in order[:held_out]]

    def _example(self, item: tuple[str, str]) -> Example:
        text, topic = item
        assert self.tokenizer is not None
        return self.tokenizer.encode(text)[: self.max_length], list(TOPICS).index(topic)


def as_batch(examples: list[Example]) -> Batch:
    texts = nn.utils.rnn.pad_sequence([torch.tensor(t) for t, _ in examples], batch_first=True, padding_value=PAD)
    return texts, torch.tensor([topic for _, topic in examples])


class TextModule(Classifier):
    """A transformer's encoder over the tokens, their mean, and one layer; logs train_loss, val_loss and val_acc.

    Args:
        dim: numbers per token, a multiple of `heads` and even.
        heads: of the attention, >= 1.
        layers: of the encoder, >= 1.
        dropout: in each layer while training, 0..1.
        learning_rate: the highest of the schedule, > 0.
        weight_decay: >= 0.
        optimizer: "adam", "adamw" or "sgd".
        schedule: "constant" or "cosine".
        label_smoothing: share of each target that is spread over all topics, 0..1.
    """

    def __init__(
        self,
        dim: int = 64,
        heads: int = 4,
        layers: int = 1,
        dropout: float = 0.1,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        optimizer: str = "adamw",
        schedule: str = "cosine",
        label_smoothing: float = 0.0,
    ) -> None:
        if dim % heads or dim % 2:
            raise ConfigError(f"dim must be even and a multiple of heads ({heads}), not {dim}")
        super().__init__(
            _Reader(dim, heads, layers, dropout),
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            optimizer=optimizer,
            schedule=schedule,
            label_smoothing=label_smoothing,
        )


class _Reader(nn.Module):
    def __init__(self, dim: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Embedding(LARGEST_VOCABULARY, dim, padding_idx=PAD)
        nn.init.normal_(self.tokens.weight, std=0.5)  # beside places of -1..1
        layer = nn.TransformerEncoderLayer(
            dim, heads, dim_feedforward=2 * dim, dropout=dropout, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(dim), enable_nested_tensor=False)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, len(TOPICS)))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (n, topics) of tokens (n, length)."""
        empty = tokens == PAD
        states = self.tokens(tokens) + _places(tokens.shape[1], self.tokens.weight)
        states = self.encoder(states, src_key_padding_mask=empty)
        there = (~empty).unsqueeze(2).to(states.dtype)
        logits: Tensor = self.head((states * there).sum(1) / there.sum(1))
        return logits


def _places(length: int, like: Tensor) -> Tensor:
    """Sines and cosines (length, dim) that tell the places of a text apart (Vaswani et al. 2017, section 3.5)."""
    dim = like.shape[1]
    rates = 10_000.0 ** -(torch.arange(0, dim, 2, device=like.device, dtype=like.dtype) / dim)
    angles = torch.arange(length, device=like.device, dtype=like.dtype)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


if __name__ == "__main__":
    tune_main(TextModule, TextData, defaults={"max_epochs": 6})
