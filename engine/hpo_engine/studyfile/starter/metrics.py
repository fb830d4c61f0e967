"""The names of the metrics that a script reports: guesses from its text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hpo_engine.contract.sources import printed
from hpo_engine.space.params import name_problem
from hpo_engine.studyfile.starter.interface import Script
from hpo_engine.studyfile.starter.syntax import imports, literal, name_of, owner_of

MAXIMIZED = re.compile(r"(?i)acc|auc|f1|score|precision|recall|r2|reward|iou|dice|bleu|rouge|map\b|psnr|ssim")
_LIKELY = re.compile(rf"(?i)loss|err|mse|mae|perplexity|nll|val_|{MAXIMIZED.pattern[4:]}")
_LOSSES = ("val_loss", "valid_loss", "validation_loss", "test_loss", "loss")
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
        lightning: the script is one of Lightning's.
        batch_only: what it logs for batches only, which ReportCallback does not report.
    """

    names: tuple[str, ...] = ()
    printed: bool = False
    elsewhere: str = ""
    lightning: bool = False
    batch_only: tuple[str, ...] = ()

    @property
    def found_elsewhere(self) -> bool:
        return self.printed or bool(self.elsewhere)

    @property
    def objective(self) -> str:
        """The one that a search is most likely about."""
        for wanted in _LOSSES:
            if wanted in self.names:
                return wanted
        likely = [name for name in self.names if _LIKELY.search(name)]
        return next(iter(likely or self.names), "loss")

    @property
    def goal(self) -> str:
        name = self.objective
        return "maximize" if MAXIMIZED.search(name) and "loss" not in name.lower() else "minimize"


def find(script: Script, parameters: Iterable[str]) -> Metrics:
    """`parameters`: names that are none in a text that only patterns read."""
    if script.tree is None:
        return Metrics(_names(name for name in _text_names(script.text) if name not in set(parameters)))
    calls = [node for node in script.nodes if isinstance(node, ast.Call)]
    batches = _logs_of_batches(script.nodes)
    single = [node for node in calls if id(node) in batches and not _on_epoch(node)]
    left_out = {id(node) for node in single}
    names = _names(name for node in calls if id(node) not in left_out for name in _reported(node))
    lightning = imports(script.nodes, "lightning", "pytorch_lightning")
    shown = () if names or lightning else _names(name for node in calls for name in _printed(node))
    batch_only = _names(literal(node.args[0]) if node.args else None for node in single)
    return Metrics(names or shown, bool(shown), "", lightning, batch_only)


def _names(found: Iterable[object]) -> tuple[str, ...]:
    good = (n for n in found if isinstance(n, str) and name_problem(n) is None and n not in _STEPS)
    return tuple(dict.fromkeys(good))


def _reported(node: ast.Call) -> Iterator[object]:
    """The keys of rows: rows.append({...}), json.dump([{...}]), record(0, {...}), report(loss=0), self.log("loss")."""
    called = name_of(node.func)
    if called in ("append", "dump", "dumps", "record", "extend"):
        rows = [row for arg in node.args for row in (arg.elts if isinstance(arg, ast.List) else [arg])]
        for row in rows:
            for key in row.keys if isinstance(row, ast.Dict) else []:
                yield literal(key)
    elif called == "report" and owner_of(node.func) in (None, "report", "hpo_trainees"):
        for keyword in node.keywords:
            yield keyword.arg
    elif called == "log" and owner_of(node.func) == "self" and node.args:
        yield literal(node.args[0])


def _printed(node: ast.Call) -> Iterator[str]:
    """print(f"epoch {epoch}: loss={loss:.3f}"), and the same with % and .format."""
    for arg in node.args if name_of(node.func) in ("print", "info", "write") else []:
        if (text := _filled_text(arg)) is not None:
            yield from printed.names(text)


def _filled_text(node: ast.expr) -> str | None:
    """The text that is printed, with 0 for each value that is filled in; None: it is no such text."""
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.values)
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(text := literal(node.left), str):
        return re.sub(r"%[-+ #0-9.]*[a-zA-Z]", "0", text)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        text = literal(node.func.value)
        return re.sub(r"\{[^{}]*\}", "0", text) if isinstance(text, str) else None
    return None


def _logs_of_batches(nodes: Iterable[ast.AST]) -> set[int]:
    """The calls of self.log in a training_step, by id, if the script validates: then validations make the rows."""
    steps = {n.name: n for n in nodes if isinstance(n, ast.FunctionDef) and n.name.endswith("_step")}
    if "training_step" not in steps or "validation_step" not in steps:
        return set()
    calls = (n for n in ast.walk(steps["training_step"]) if isinstance(n, ast.Call))
    return {id(n) for n in calls if name_of(n.func) == "log" and owner_of(n.func) == "self"}


def _on_epoch(node: ast.Call) -> bool:
    return any(k.arg == "on_epoch" and literal(k.value) is not False for k in node.keywords)


def _text_names(text: str) -> Iterator[str]:
    for row in _PUSHED.findall(text):
        for piece in row.split(","):
            name = piece.partition(":")[0].strip().strip("\"'")
            if re.fullmatch(r"[A-Za-z_]\w{0,60}", name):
                yield name
    yield from _KEY.findall(text)
