"""What one printed line says: metrics with their names, and the step. Pure text; time grows linearly with the line.

Names of several words are joined by underscores (`Validation loss` is `Validation_loss`). A metric that the study
names is found in whatever case and with whatever words between its letters are printed: `val_loss` in `Val Loss: 0.3`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from hpo_engine.contract.sources.numbers import metric, number, printable
from hpo_engine.contract.sources.numbers import step as to_step

COUNTS = ("epoch", "ep", "episode", "round", "global_step", "step", "iteration", "iter")
"""What counts steps, the first that a line has: an epoch counts, and not the batches in it."""


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = r"[^\W\d][\w./@^-]{0,99}"
_DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,5}(?:\.\d+)?(?!,)|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)"
_NUMBER = rf"[-+]?(?:{_DIGITS}|nan|inf(?:inity)?)"
_NO_MORE = r"(?!\w|\.\d|,\d|[:/-]\d|\s?[x×]\s?\d|%\|)"  # times, dates, versions, shapes, tuples, bars
_WRAPPED = r"(?:(?:tensor|array|Array|tf\.Tensor|(?:np|numpy|jnp|torch)\.[a-z]{1,10}\d{0,3})\()?"  # tensor(0.31, ...)
_SHARE = r"(\d{1,15})/(\d{1,15})\s{0,4}\(\s{0,4}[\d.]{1,9}\s?%\s?\)"  # 9842/10000 (98%)
_PHASES = "train|training|val|valid|validation|test|testing|eval|evaluation|dev"
_BESIDE = rf"(?:\s?\((%|{_PHASES})\)|\s?\[\d{{1,9}}\])?(?:\s(?:is|was))?"  # accuracy (%), loss (train), loss [3]
_PAIR = re.compile(
    rf"(?<![\w./@^-])(?P<name>{_WORD})['\"]?{_BESIDE}"
    rf"(?P<sign>\s{{0,40}}(?::=|=>|->|→|[=:：])\s{{0,40}}|\s{{1,40}})"
    rf"(?:{_SHARE}|['\"]?{_WRAPPED}(?P<number>{_NUMBER}){_NO_MORE})",
    re.IGNORECASE,
)
_CELL = re.compile(rf"^\s*[|│┃]\s*({_WORD}(?: [\w./@^%-]+){{0,4}})\s*[|│┃]\s*({_NUMBER})\s*%?\s*(?:[|│┃]|$)", re.I)
_COUNT = re.compile(
    r"(?<![\w.])(epochs?|episodes?|ep|rounds?|global[_ ]step|steps?|iterations?|iters?)"
    rf"(?:\((?:{_PHASES})\))?(['\"]?[\s:#=\[('\"]{{0,40}})(\d{{1,15}}(?:\.\d{{1,9}})?)(?!\w|\.\d|\s?%|:\d)",
    re.IGNORECASE,
)
_AT_START = re.compile(r"^\s{0,20}(?:\[\s{0,9}(\d{1,15})(?:/\d{1,15})?\]|(\d{1,15}):\s{1,9}(?=learn:))")
_ABOUT = re.compile(rf"^\W{{0,9}}((?:{_WORD} ){{0,2}}{_WORD}) (?:of|on|for) .{{0,80}}?(?:\b({_PHASES})\b|[=:])", re.I)
_CALL = re.compile(r"(?<=\w)\((?:[^()]|\([^()]*\))*(?:\)|$)")  # Namespace(lr=0.1, ...)
_BEGINS = re.compile(  # [val] loss: 0.3
    rf"^\W{{0,9}}({_PHASES})(?:\s(?:set|phase|epoch|results?|metrics|scores?|stats|summary))?\s?[\]:|,-]", re.IGNORECASE
)
_LOGGED = re.compile(
    r"^(?:[\[(\s]{0,9}(?:\d{2,4}[-/:]\d\d(?:[-/:]\d\d(?:\d\d)?)?(?:T\d\d:\d\d:\d\d)?(?:[.,]\d{1,9})?Z?"
    r"|(?:DEBUG|INFO|WARN|WARNING|ERROR)\b)[\])\s|:,-]{0,9}){1,6}"
)  # when and how important it is
_SIGNS = re.compile(r"[\s/_.@-]+")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_BEFORE = re.compile(r"[^\W\d][\w'^-]{0,30}\.?")
_NOT_COUNTED = _words_of("total num number max maximum min minimum n warmup per every best last of between")
_APART = _words_of(
    "is are was of the a an with at on in for and to from by has have had after before done finished took than over "
    "until vs or info debug warning warn error epoch step iter iteration round episode batch now got reached"
)  # words that no name of a metric begins with
_PHASE_WORDS = frozenset(_PHASES.split("|"))
_TRAIN = frozenset(("train", "training"))
_PLAIN = _PHASE_WORDS | _words_of("average avg mean current overall total final running epoch set")
"""Words that a study file may leave out of a metric's name."""
_USUAL = _words_of(
    "loss acc accuracy auc auroc auprc aucpr f1 mse rmse mae mape r2 ppl perplexity bleu rouge iou miou dice map ap "
    "precision recall reward return logloss nll elbo kl fid psnr ssim top1 top5 mrr ndcg cer wer bpc bpb kappa mcc "
    "score"
)
"""What is a metric also without a sign before its number: `val loss 0.31`."""
_DEVICES = _words_of("cuda gpu cpu mps xpu npu tpu hpu rank localhost line pid")  # cuda:0
_FILES = (".py", ".cc", ".cpp", ".cu", ".c", ".h", ".hpp", ".rs", ".go", ".js", ".ts", ".java", ".jl", ".scala")
_MOST = 4096  # characters of a line that are searched
_LOOK_BACK = 60  # characters before a name in which its other words are


@dataclass(frozen=True)
class Line:
    """`step`: what the line counts itself. `lasts`: whether lines after it without a count have the same."""

    values: Mapping[str, float] = field(default_factory=dict)
    step: float | None = None
    lasts: bool = True


@dataclass(frozen=True)
class _Pair:
    words: tuple[str, ...]  # the last one is the name
    value: float
    phase: str = ""  # that the whole line is about
    data: str = ""  # the data set that it is of: "valid_0" in LightGBM's `valid_0's auc`
    usual: bool = True  # False: it counts only if the study names it


class LineReader:
    """Args:
    named: the metrics that the study names; what is called so is a metric and never a step.
    """

    def __init__(self, named: Collection[str] = ()) -> None:
        self._named = {plain(name): name for name in named}

    def read(self, text: str) -> Line:
        text = text[:_MOST].rstrip()
        if not any(map(str.isdigit, text)) and "nan" not in text.lower() and "inf" not in text.lower():
            return Line()
        text = text[found.end() :] if (found := _LOGGED.match(text)) else text
        if text.startswith("wandb:") or "@[ IoU=" in text:  # a summary of what was there before; COCO's areas
            return Line()
        step, lasts = self._step(text)
        return Line(self.named(_pairs(text)), step, lasts)

    def named(self, pairs: Iterable[_Pair]) -> dict[str, float]:
        """The values by the names that the study uses for them, or by their own."""
        own: dict[str, float] = {}
        known: dict[str, float] = {}
        main = ""  # the first data set that is not the training's: its metrics have plain names
        for pair in pairs:
            words = (pair.phase, *pair.words) if pair.phase else pair.words
            name = self._known(words)
            if pair.data and not pair.data.startswith("train"):
                main = main or pair.data
            if pair.data:
                name = self._known((pair.data, *words)) or (name if pair.data == main else None)
                words = words if pair.data == main else (pair.data, *words)
            if name is not None:
                known.setdefault(name, pair.value)
            elif pair.usual and plain(pair.words[-1]) not in COUNTS:
                own["_".join(words)] = pair.value
        return own | known

    def name(self, words: str) -> str:
        """The name of a column, as the study names it or with underscores for blanks."""
        return self._known(tuple(words.split())) or "_".join(words.split())

    def _known(self, words: tuple[str, ...]) -> str | None:
        for first in range(len(words)):
            if (name := self._named.get(plain("_".join(words[first:])))) is not None:
                return name
            if plain(words[first]) not in _PLAIN or plain(words[first]) in _TRAIN:
                break
        if not words or plain(words[0]) not in _PHASE_WORDS:
            return None
        rest = [word for word in words[1:] if plain(word) not in _PLAIN - _PHASE_WORDS]
        return self._named.get(plain("_".join((words[0], *rest))))

    def _step(self, text: str) -> tuple[float | None, bool]:
        if (found := _AT_START.match(text)) is not None:
            return int(found[1] or found[2]), False
        ranks: dict[int, float] = {}
        best = text.lower().find("best")
        for found in _COUNT.finditer(text):
            what, sign, digits = found.groups()
            before = text[max(0, found.start() - _LOOK_BACK) : found.start()].split()
            if 0 <= best < found.start():  # the step of another line
                continue
            name = plain(what).rstrip("s")
            whole = name != plain(what) and ("=" in sign or ":" in sign)  # "epochs: 90" is how many there will be
            if whole or (before and before[-1].lower() in _NOT_COUNTED) or name in self._named:
                continue
            if (at := to_step(digits)) is not None:
                ranks.setdefault(COUNTS.index(name), at)
        return (ranks[min(ranks)], True) if ranks else (None, True)


def names(text: str) -> list[str]:
    """The names that have a number in a line."""
    return list(LineReader().named(_pairs(text[:_MOST])))


@lru_cache(4096)
def plain(name: str) -> str:
    """A name without what makes no difference: `Val Loss`, `val/loss` and `val-loss` are one."""
    return _SIGNS.sub("_", name.strip().lower()).strip("_")


def as_number(text: str) -> float | None:
    """A number as it is printed: with a sign, separators of thousands, a percent sign, a comma after it."""
    text = text.strip("'\"()[]{},;:% ")
    if "," in text and _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        return metric(number(text)) if text and "_" not in text else None
    except (ValueError, OverflowError):
        return None


def _pairs(text: str) -> Iterator[_Pair]:
    if (cell := _CELL.match(text)) is not None:
        if (value := as_number(cell[2])) is not None:
            yield _Pair(tuple(cell[1].split()), value)
        return
    yield from _in_phase(text, list(_signed(text)))


def _signed(text: str) -> Iterator[_Pair]:
    """The pairs of a line, each by its own words."""
    calls = [found.span() for found in _CALL.finditer(text) if "=" in found[0]]
    end, first = 0, True
    for found in _PAIR.finditer(text):
        before, end = text[max(end, found.start() - _LOOK_BACK) : found.start()], found.end()
        data, words, called = _words(found, before)
        value = _value(found)
        if value is None or _is_place(found, before):
            continue
        if first and called:
            first = False
            words = _about(text[: found.start("sign") + 1]) or words
        in_call = any(low <= found.start() < high for low, high in calls)
        yield _Pair(words, value, data=data, usual=called and not in_call)


def _in_phase(text: str, pairs: list[_Pair]) -> list[_Pair]:
    """The pairs, with the phase that the line is about if they do not say one: `[val] loss: 0.2`, and the accuracy in
    `val Loss: 0.2 Acc: 0.9`."""
    own = [next((word for word in pair.words if plain(word) in _PHASE_WORDS), "") for pair in pairs]
    phase = found[1] if (found := _BEGINS.match(text)) is not None else ""
    if not phase and len({plain(word) for word in own if word}) == 1:
        first = next(word for word in own if word)
        phase = first if text.lstrip(" \t*#>").startswith(first) else ""
    if not phase:
        return pairs
    return [pair if word else replace(pair, phase=phase) for pair, word in zip(pairs, own, strict=True)]


def _about(text: str) -> tuple[str, ...]:
    """The name in `Accuracy on the test set:` and the like, the phase first."""
    if (found := _ABOUT.match(text)) is None or not _is_usual(found[1].rpartition(" ")[2]):
        return ()
    return (*([found[2]] if found[2] else []), *found[1].split())


def _words(found: re.Match[str], before: str) -> tuple[str, tuple[str, ...], bool]:
    """The data set and the words of a name, and whether it is a metric by what stands there."""
    data = ""
    before = before.rpartition("\t")[2]
    words = [printable(found["name"].rstrip("./-"))]
    quoted = before[-1:] in ("'", '"')
    for word in reversed(before.split(" ")[:-1]) if before.endswith(" ") else ():
        bare = word.rpartition(":")[2].lstrip("'\"([{<|*>#,;")
        if not _BEFORE.fullmatch(bare) or bare.lower() in _APART or len(words) == 3:
            break
        if bare.endswith("'s"):
            data = printable(bare[:-2])
            break
        words.insert(0, printable(bare.rstrip(".")))
        if bare != word:
            break
    if found[2] and found[2] != "%":  # loss (train)
        words.insert(0, found[2])
    signed = quoted or found["sign"].strip() != ""
    return data, tuple(words), signed or _is_usual(words[-1])


@lru_cache(4096)
def _is_usual(name: str) -> bool:
    return not _USUAL.isdisjoint(re.split(r"[\W_]+", name.lower()))


def _value(found: re.Match[str]) -> float | None:
    if (text := found["number"]) is not None:
        return as_number(text)
    part, whole = int(found[4]), int(found[5])
    return part / whole if whole else None


def _is_place(found: re.Match[str], before: str) -> bool:
    """Whether it is a line of a file, a port, a device: `train.py:42`, `cuda:0`, `__main__:train:42`."""
    name, sign = found["name"].lower(), found["sign"]
    if sign.strip() == ":" and name in _PHASE_WORDS and found.string[found.end() :].startswith(" ["):
        return True  # Train: 3 [ 10/100]
    if sign != ":":
        return False
    inner = before.endswith(":") and (found["number"] or "").isdigit()
    return name.endswith(_FILES) or plain(name) in _DEVICES or inner
