"""What checkpoints are called: by the frameworks that write them, or by the study file.

A checkpoint is a file, a folder with all that is in it, or the files that TensorFlow writes under one prefix. It has a
rank by its name: the state of a training comes before a mere model, and the best one so far comes last, since training
has gone on after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from hpo_engine.contract.snapshot.ignore import endless
from hpo_engine.contract.sources.found import name_expression

STATE, MODEL, BEST = 0, 1, 2
"""The ranks, the preferred one first."""


class Name(NamedTuple):
    """A checkpoint that a file belongs to, by its path in RESULT_DIR, and its rank."""

    path: str
    rank: int


# Folders: checkpoint-500 (Hugging Face), checkpoint_000001 (Accelerate, Ray), ckpt-3, global_step100 (DeepSpeed),
# epoch=2-step=30.ckpt (Lightning with sharded strategies).
_FOLDER = re.compile(r"(?:checkpoint|ckpt|chkpt)[-_.]?\d[^/]*|global_?step[-_]?\d+|[^/]+\.ckpt", re.IGNORECASE)
# Files that make the folder which they are in a checkpoint: of Orbax, and of torch.distributed.checkpoint.
_MARKER = re.compile(r"orbax\.checkpoint|_CHECKPOINT_METADATA|[^/]+\.distcp")
# What TensorFlow writes under one prefix: ckpt-1.index, ckpt-1.data-00000-of-00001.
_TENSORFLOW = re.compile(r"([^/]+)\.(?:index|data-\d{5}-of-\d{5})")
# Always the state of a training: last.ckpt, snapshots of CatBoost and of LightGBM, agents of Stable-Baselines3.
_ALWAYS = re.compile(
    r"[^/]+\.ckpt|[^/]*\.cbsnapshot|[^/]+\.snapshot_iter_\d+|rl_model_[^/]*\d+_steps\.zip", re.IGNORECASE
)
# Models, whatever their names are.
_MODEL = re.compile(
    r"[^/]+\.(?:pt|pth|pth\.tar|th|safetensors|keras|h5|hdf5|msgpack|pdparams|pdopt|nemo|cbm|ubj|xgb)|"
    r"(?:pytorch_)?model[^/]*\.bin|best_model\.zip",
    re.IGNORECASE,
)
# Models if a folder on the way is called checkpoints.
_INSIDE = re.compile(
    r"[^/]+\.(?:pkl|pickle|joblib|npz|bin|zip|tar|model)|model[^/]*\.(?:json|txt)|[^/.]*(?:checkpoint|ckpt)[^/.]*",
    re.IGNORECASE,
)
_CHECKPOINTS = re.compile(r"(?:.*[-_.])?(?:checkpoints?|ckpts?|snapshots?)", re.IGNORECASE)
# Words of a name that say that it is the state of a training: checkpoint_last.pt, epoch_3.pth, model_0004999.pth.
_STATE_WORD = re.compile(r"checkpoint|ckpt|chkpt|last|latest|snapshot|resume|state|epoch|iter|step|\d", re.IGNORECASE)
_BEST_WORD = re.compile(r"(?:^|[-_./])best(?:[-_.]|$)", re.IGNORECASE)
# Data and parts of a state, unless a word says otherwise.
_NO_MODEL = re.compile(
    r"(?:train|val|valid|validation|test|data|dataset|features?|vocab|tokenizer|embeddings?|preds?|predictions?|metrics|"
    r"history|loss(?:es)?|results?|optim\w*|scheduler|scaler|rng\w*|training_args)(?:[-_.\d]|$)",
    re.IGNORECASE,
)
_OF_TOOLS = frozenset(("wandb", "mlruns", "mlartifacts", "__pycache__", "node_modules"))


class Usual:
    """Checkpoints as the usual frameworks call them. `files`: of a RESULT_DIR, by their paths there."""

    def __init__(self, files: Iterable[str]) -> None:
        self._marked = {folder for folder, name in map(_split, files) if folder and _MARKER.fullmatch(name)}

    def of(self, path: str) -> Name | None:
        """The checkpoint that a file belongs to; None if it belongs to none."""
        folders = path.split("/")[:-1]
        if any(folder in _OF_TOOLS or folder.startswith(".") for folder in folders):
            return None
        for depth, folder in enumerate(folders, 1):
            inside = "/".join(folders[:depth])
            if inside in self._marked or _FOLDER.fullmatch(folder):
                return Name(inside, _best_or(inside, STATE))
        folder, name = _split(path)
        if (prefixed := _TENSORFLOW.fullmatch(name)) and _STATE_WORD.search(prefixed[1]):
            return Name(f"{folder}/{prefixed[1]}" if folder else prefixed[1], _best_or(name, STATE))
        rank = _rank(name, any(map(_CHECKPOINTS.fullmatch, folders)))
        return None if rank is None else Name(path, _best_or(name, rank))


class Chosen:
    """Checkpoints as the patterns of the study file name them."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._found = _expressions(tuple(patterns))

    def of(self, path: str) -> Name | None:
        folders, found = path.split("/")[:-1], self._found
        for depth in range(1, len(folders) + 1):
            inside = "/".join(folders[:depth])
            if found.fullmatch(f"{inside}/"):
                return Name(inside, _best_or(inside, STATE))
        folder, name = _split(path)
        if prefixed := _TENSORFLOW.fullmatch(name):
            prefix = f"{folder}/{prefixed[1]}" if folder else prefixed[1]
            if found.fullmatch(prefix) or found.fullmatch(path):
                return Name(prefix, _best_or(name, STATE))
        return Name(path, _best_or(name, STATE)) if found.fullmatch(path) else None


def problem(pattern: str) -> str | None:
    """What is wrong with a pattern of the study file, as the end of a sentence; None: nothing."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts or parts == ["**"]:
        return "would make every file a checkpoint; name files or folders, as in state-*.bin"
    if pattern.startswith(("/", "~/")) or ".." in parts:
        return "must be a name, or a path in RESULT_DIR"
    if pattern.startswith("!"):
        return "must say what is a checkpoint, not what is none"
    if endless(pattern):
        return "has too many stars to be matched in time"
    try:
        _expressions((pattern,))
    except re.error as error:
        return f"is not a pattern ({error})"
    return None


def steps_in(path: str) -> tuple[int, ...]:
    """The numbers in a checkpoint's name: (2, 30) for epoch=2-step=30.ckpt."""
    return tuple([int(digits) for digits in re.findall(r"\d{1,18}", path.rpartition("/")[2])])


def is_last(path: str) -> bool:
    """Whether its name says that it is the last one."""
    return re.search(r"last|latest", path.rpartition("/")[2], re.IGNORECASE) is not None


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def _rank(name: str, inside: bool) -> int | None:
    """The rank of a file by its own name; None: it is not a checkpoint. `inside`: of a folder called checkpoints."""
    if name.startswith("."):
        return None
    if _ALWAYS.fullmatch(name):
        return STATE
    if not _MODEL.fullmatch(name):
        return STATE if inside and _INSIDE.fullmatch(name) else None
    if inside or _STATE_WORD.search(_without_ending(name)):
        return STATE
    return None if _NO_MODEL.match(name) else MODEL


def _without_ending(name: str) -> str:
    """`model` of model.h5, so that the 5 does not count as the number of a step."""
    return name.partition(".weights.")[0].rpartition(".")[0] or name.partition(".")[0]


def _best_or(name: str, rank: int) -> int:
    return BEST if _BEST_WORD.search(name) else rank


@lru_cache(maxsize=8)
def _expressions(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """For the paths of files, and of folders with a slash at their end."""
    return re.compile("|".join([f"(?:{_expression(pattern)})" for pattern in patterns]))


def _expression(pattern: str) -> str:
    """As in a .gitignore: a pattern without a slash inside means a name anywhere, one with a slash a path."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    folder = pattern.endswith("/") or parts[-1] == "**"
    parts = parts[:-1] if parts[-1] == "**" else parts  # all that is in a folder is the folder
    if len(parts) == 1 and "/" not in pattern.rstrip("/"):
        parts.insert(0, "**")
    inner = "".join([r"(?:[^/]+/)*" if part == "**" else f"{name_expression(part)}/" for part in parts[:-1]])
    return f"{inner}{name_expression(parts[-1])}{'/' if folder else '/?'}"
