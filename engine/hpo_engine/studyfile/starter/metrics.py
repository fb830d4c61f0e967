"""The metrics that a script reports, and the one that a search is about: guesses from its text and its project's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hpo_engine.contract.paths import RESULT
from hpo_engine.space.params import name_problem
from hpo_engine.studyfile.starter import logged, shown
from hpo_engine.studyfile.starter.interface import Reading, Script
from hpo_engine.studyfile.starter.modules import Modules, modules_of

MAXIMIZED = re.compile(r"(?i)acc|auc|f1|score|precision|recall|r2|reward|return|iou|dice|bleu|rouge|map\b|psnr|ssim")
_LIKELY = re.compile(rf"(?i)loss|err|mse|mae|perplexity|nll|val_|{MAXIMIZED.pattern[4:]}")
_REWARD = re.compile(
    r"(?i)(^|[^a-z])(episod\w*|mean|avg|average|total|eval)_?(reward|return)|^(reward|return|score)s?$"
)
_LOSSES = ("val_loss", "valid_loss", "validation_loss", "loss_val", "loss_valid", "eval_loss", "test_loss", "loss_test")
_VALIDATION = re.compile(r"(^|_)(val|valid|validation|dev|eval)(_|$)")
_TEST = re.compile(r"(^|_)test(_|$)")
_TRAINING = re.compile(r"(^|_)(train|training)(_|$)")
_MOST_LINES = 5000
_WRITERS = ("dump", "dumps", "DictWriter", "writerow")
_STEPS = {"step", "steps", "epoch", "iteration"}
_KEY = re.compile(r"""\\?["']([A-Za-z_]\w{0,60})\\?["']\s*:""")
_PUSHED = re.compile(r"""push\(\s*\{([^{}]{0,500})\}""")


@dataclass(frozen=True)
class Metrics:
    """What a script reports.

    Attributes:
        names: in the order found.
        printed: they are only printed.
        elsewhere: what they are left in, for messages, if it is neither the output nor the engine's own files.
        objective: the one that a search is most likely about.
        goal: minimize or maximize.
        said: the script itself says that this one counts.
        unread: as the script is, nothing can read them; a note says what to do.
        notes: what has to be done about them, a sentence or two each.
    """

    names: tuple[str, ...] = ()
    printed: bool = False
    elsewhere: str = ""
    objective: str = "loss"
    goal: str = "minimize"
    said: bool = False
    unread: bool = False
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        return bool(self.names) or self.said

    @property
    def found_elsewhere(self) -> bool:
        return self.printed or bool(self.elsewhere)


def find(script: Script, reading: Reading) -> Metrics:
    """`reading`: how the script takes its parameters; its configuration may say what counts."""
    if reading.runner and reading.objective:  # what runs the script reports for it
        return Metrics((reading.objective,), False, "", reading.objective, reading.goal, True)
    parameters = {parameter.name for parameter in reading.parameters}
    return _of_text(script.text, parameters) if script.tree is None else _of_python(script, reading, parameters)


def _of_text(text: str, parameters: set[str]) -> Metrics:
    """Of a script in another language."""
    rows = _names(name for name in _text_names(text) if name not in parameters)
    echoed = _names(name for line in text.splitlines()[:_MOST_LINES] for name in shown.echoed(line))
    is_printed = RESULT not in text and any(map(_LIKELY.search, echoed))
    names = echoed if is_printed else rows
    objective = _likeliest(names)
    return Metrics(names, is_printed, objective=objective, goal=goal_of(objective))


def _of_python(script: Script, reading: Reading, parameters: set[str]) -> Metrics:
    modules = modules_of(script)
    paths = modules.imported(reading.classes)
    calls = [call for path in paths for call in logged.calls_in(modules.nodes(path))]
    lightning = logged.uses_lightning(modules, paths)
    reports = any(name in (modules.text(path) or "") for name in ("ReportCallback", RESULT) for path in paths)
    single = _names(logged.of_single_batches(calls))
    names, elsewhere = _left(calls, lightning and not reports)
    if names and not reports and not elsewhere and any(call.name in _WRITERS for call in calls):
        elsewhere = "a file of its own"
    names = tuple(name for name in names if name not in single)
    printed = () if lightning else _printed(modules, paths, calls, names, parameters)
    names = () if printed else names
    notes, unread = _of_batches(single) if reports else (), False
    if lightning and not reports and logged.without_logger(calls):
        elsewhere, notes, unread = "", (_NO_LOGGER,), True
    if not names and not printed and (only := _names(name for call in calls for name in logged.wandb(call))):
        names, notes, unread = only, (*notes, _ONLY_WANDB), True
    said = next(filter(None, [_said(reading), *logged.monitors(calls)]), None)
    objective = said.metric if said else _likeliest(names or printed)
    goal = (said.goal if said else "") or goal_of(objective)
    return Metrics(names or printed, bool(printed), elsewhere, objective, goal, said is not None, unread, notes)


def _printed(
    modules: Modules, paths: list[str], calls: list[logged.Call], names: tuple[str, ...], parameters: set[str]
) -> tuple[str, ...]:
    """What is printed, if it has the metrics: `names`, of rows and logs, without one that looks like a metric are
    something else if such are printed."""
    if any(map(_LIKELY.search, names)):
        return ()
    nodes = [node for path in paths for node in modules.nodes(path)]
    found = [*shown.trained(nodes), *shown.Texts(nodes).names(call.node for call in calls)]
    printed = _names(name for name in found if name not in parameters)
    return printed if not names or any(map(_LIKELY.search, printed)) else ()


_NO_LOGGER = (
    "the Trainer has logger=False, so that its metrics are written nowhere: take that away, or add "
    "callbacks=[ReportCallback()] (from hpo_trainees.lightning import ReportCallback)."
)
_ONLY_WANDB = (
    "the metrics go to Weights & Biases only, where they are not read: print them as well, as in "
    "print(f'val_loss={val_loss}')."
)


def goal_of(name: str) -> str:
    return "maximize" if MAXIMIZED.search(name) and "loss" not in name.lower() else "minimize"


def _said(reading: Reading) -> logged.Monitor | None:
    return logged.Monitor(reading.objective, reading.goal) if reading.objective else None


def _left(calls: list[logged.Call], lightning: bool) -> tuple[tuple[str, ...], str]:
    """(the names, where they are left) in the first of the places that has any; "" is the engine's own files."""
    if names := _names(name for call in calls for name in logged.rows(call)):
        return names, ""
    places = (
        (logged.lightning, "Lightning's logs" if lightning else ""),
        (logged.tensorboard, "TensorBoard's event files"),
        (logged.mlflow, "MLflow"),
    )
    for read, place in places:
        if names := _names(name for call in calls for name in read(call)):
            return names, place
    return (), "Lightning's logs" if lightning else ""


def _likeliest(names: tuple[str, ...]) -> str:
    """A loss of the validation, or else a metric of the validation, or else any."""
    if reward := next((name for name in names if _REWARD.search(name) and not _TRAINING.search(name)), None):
        return reward  # an agent's losses say little about it
    plain = {name: re.sub(r"[^a-z0-9]+", "_", name.lower()) for name in names}
    for wanted in _LOSSES:
        if found := next((name for name in names if plain[name] == wanted), None):
            return found
    if "loss" in names:
        return "loss"
    likely = [name for name in names if _LIKELY.search(name)]
    for kind in (_VALIDATION, _TEST):
        if known := [name for name in likely if kind.search(plain[name])]:
            return known[0]
    return next((name for name in likely if not _training(plain[name])), next(iter(likely or names), "loss"))


def _training(plain: str) -> bool:
    return _TRAINING.search(plain) is not None


def _names(found: Iterable[object]) -> tuple[str, ...]:
    good = (n for n in found if isinstance(n, str) and name_problem(n) is None and n.lower() not in _STEPS)
    return tuple(dict.fromkeys(good))


def _of_batches(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        return ()
    some = ", ".join(names[:4])
    return (f"{some}: logged for single batches only; to report it for each epoch: self.log(..., on_epoch=True).",)


def _text_names(text: str) -> Iterator[str]:
    for row in _PUSHED.findall(text):
        for piece in row.split(","):
            name = piece.partition(":")[0].strip().strip("\"'")
            if re.fullmatch(r"[A-Za-z_]\w{0,60}", name):
                yield name
    yield from _KEY.findall(text)
