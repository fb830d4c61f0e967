"""Which metric a scalar is: from its tag, and from the folder of the event file that it is in.

TensorBoard shows each folder with event files as a run of its own. A trial usually is one run, and what its folder is
called says nothing (`lightning_logs/version_0`, `runs/Nov27_17-52-07_host`). Folders that share its metrics out have a
meaning: `train` and `validation`, those that `SummaryWriter.add_scalars` makes, those of several writers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

_TRAINING = ("train", "training")
_VALIDATION = ("val", "valid", "validation", "eval", "evaluation", "dev")
_SPLITS = frozenset((*_TRAINING, *_VALIDATION, "test", "testing"))
_RUN = re.compile(  # a folder that is made for each run: by Lightning, by PyTorch, and any with a date
    r"version_\d+|[A-Z][a-z]{2}\d\d_\d\d-\d\d-\d\d_.+|.*(?<!\d)20\d\d[-_.]?[01]\d[-_.]?[0-3]\d(?!\d).*"
)
_TIME_STAMP = re.compile(r"\d{9,11}\.\d+")  # the subfolder of SummaryWriter.add_hparams
_DIGITS = re.compile(r"\d+")


class Source(NamedTuple):
    """Where scalars come from: the folder of the event file (below `top`, RESULT_DIR or LOG_DIR), and the tag."""

    folder: str
    tag: str
    top: str = "RESULT_DIR"


def metric_names(sources: Collection[Source], named: Collection[str] = ()) -> dict[Source, str]:
    """The metric that each of these is.

    Folders whose names differ in digits only are runs that came one after the other, with the same metrics. Otherwise
    metrics of a folder have the part of its name in front in which it differs from the others: `gan/loss`.

    Args:
        named: metrics that the study names. If one is another spelling of exactly one metric (`val_loss`, or
        `validation/loss`, of the tag `loss` in a folder `validation`), that is what it is called.
    """
    inner: dict[tuple[str, str], str] = {}  # by top and folder
    for top in {source.top for source in sources}:
        found = prefixes({source.folder for source in sources if source.top == top})
        inner.update({(top, folder): prefix for folder, prefix in found.items()})
    names = {source: _name(source, inner[source.top, source.folder]) for source in sources}
    for metric in named:
        if metric in names.values():
            continue
        for rank in range(3):
            meant = {names[source] for source in sources if metric in _spellings(source)[rank]}
            if meant:
                if len(meant) == 1:
                    names.update({source: metric for source in sources if names[source] in meant})
                break
    return names


def prefixes(folders: Iterable[str]) -> dict[str, str]:
    """What each folder puts in front of its metrics, "" or as in `validation`."""
    parts = {folder: _within_run(folder) for folder in folders}
    all_shared = _shared([inner for _, inner, _ in parts.values()])
    run_shared = _shared([inner for made_for_run, inner, _ in parts.values() if made_for_run])
    out = {}
    for folder, (made_for_run, inner, split) in parts.items():
        own = inner[run_shared if made_for_run else all_shared :]
        out[folder] = "/".join([*own, split] if split else own)
    return out


def _shared(paths: Sequence[Sequence[str]]) -> int:
    """How many folders at their beginning all paths have in common, but for digits."""
    shapes = [[_DIGITS.sub("#", part) for part in path] for path in paths]
    count = 0
    for level in zip(*shapes, strict=False):
        if len(set(level)) > 1:
            break
        count += 1
    return count


def _within_run(folder: str) -> tuple[bool, Sequence[str], str]:
    """Whether the folder is in one that is made for each run; the folders in that; the part of the data at the end."""
    parts = [part for part in folder.split("/") if part]
    split = parts.pop() if parts and parts[-1].lower() in _SPLITS else ""
    while parts and _TIME_STAMP.fullmatch(parts[-1]):
        parts.pop()
    run = max((i for i, part in enumerate(parts) if _RUN.fullmatch(part)), default=-1)
    return run >= 0, parts[run + 1 :], split


def _name(source: Source, prefix: str) -> str:
    folder, tag, _ = source
    last = folder.rpartition("/")[2]
    if _subtag(last, tag):
        return last  # add_scalars("loss", {"val": ...}) writes the tag loss into a folder loss_val
    *outer, split = prefix.split("/")
    if split.lower() in _SPLITS:
        if tag.startswith("epoch_") and split in ("train", "validation"):  # as Keras writes it, which calls it val_loss
            tag, split = tag[6:] if split == "train" else f"val_{tag[6:]}", ""
        elif _says(tag, split):
            split = ""
    return "/".join([*outer, *([split] if split else []), tag])


def _spellings(source: Source) -> Sequence[Collection[str]]:
    """What else users may call it: the surest first, then as parts of its path, then by the tag alone."""
    folder, tag, _ = source
    parts = [part for part in folder.split("/") if part]
    last = parts[-1] if parts else ""
    sure = {f"{last}/{tag}"} if last else set()
    if sub := _subtag(last, tag):
        sure |= {f"{tag}_{sub}", f"{tag}/{sub}"}
    if last.lower() in _SPLITS:
        plain = tag[6:] if tag.startswith("epoch_") else tag
        words = _TRAINING if last.lower() in _TRAINING else _VALIDATION if last.lower() in _VALIDATION else ("test",)
        sure |= {f"{word}{mark}{name}" for word in words for mark in "_/" for name in (plain, tag)}
    paths = {"/".join([*parts[i:], tag]) for i in range(len(parts))}
    return (sure, paths, {tag})


def _subtag(folder: str, tag: str) -> str:
    """What add_scalars was given under this tag, if the folder is one of its; "" if not."""
    begin = f"{tag.replace('/', '_')}_"
    return folder[len(begin) :] if folder.startswith(begin) else ""


def _says(tag: str, split: str) -> bool:
    """Whether a tag has the name of the data in it already, as `val_loss` and `val/loss` have."""
    first = re.split(r"[_/ .-]", tag.lower(), maxsplit=1)[0]
    group = next((words for words in (_TRAINING, _VALIDATION) if split.lower() in words), (split.lower(),))
    return first in group
