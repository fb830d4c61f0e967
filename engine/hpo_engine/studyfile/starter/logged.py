"""The names under which a script and the modules that it imports report metrics, and what says which one counts."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpo_engine.studyfile.starter.modules import Modules
from hpo_engine.studyfile.starter.syntax import imported, literal, name_of, owner_of
from hpo_engine.studyfile.starter.trees import parts

_STAGES = ("stage", "split", "phase", "mode", "prefix", "subset", "step_type", "name", "kind")
_GUESSED = ("train", "val")
_MOST_NAMES = 24
_LIGHTNING = re.compile(r"(pytorch_)?lightning\b")
_GOALS = {"max": "maximize", "min": "minimize"}


@dataclass(frozen=True)
class Monitor:
    """What a script itself watches: a metric, and its goal if the script says it."""

    metric: str
    goal: str = ""


@dataclass(frozen=True)
class Call:
    """A call in one of the files, with the function that it stands in."""

    node: ast.Call
    within: ast.FunctionDef | ast.AsyncFunctionDef | None
    calls: Sequence[ast.Call]

    @property
    def name(self) -> str | None:
        return name_of(self.node.func)

    def keyword(self, name: str, place: int | None = None) -> ast.expr | None:
        """An argument by its name, or by its place."""
        found = next((k.value for k in self.node.keywords if k.arg == name), None)
        if found is None and place is not None and place < len(self.node.args):
            return self.node.args[place]
        return found

    def texts(self, node: ast.expr | None) -> list[str]:
        """What a text is, or may be: `"val_loss"`, `f"{stage}_loss"`, `prefix + "loss"`."""
        if node is None:
            return []
        if isinstance(node, ast.JoinedStr):
            parts = [self._parts(part) for part in node.values]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            parts = [self._parts(node.left), self._parts(node.right)]
        else:
            parts = [self._parts(node)]
        return ["".join(texts) for texts in itertools.islice(itertools.product(*parts), _MOST_NAMES)]

    def _parts(self, node: ast.expr) -> list[str]:
        if isinstance(node, ast.FormattedValue):
            node = node.value
        if isinstance(text := literal(node), str):
            return [text]
        if isinstance(node, ast.JoinedStr):
            return self.texts(node)
        name = name_of(node) if isinstance(node, ast.Name) else None
        return self._arguments(name) if name else []

    def _arguments(self, name: str) -> list[str]:
        """The texts that the enclosing function is called with for its parameter."""
        if self.within is None:
            return []
        names = [argument.arg for argument in self.within.args.args]
        if name not in names:
            return []
        place = names.index(name) - (names[:1] == ["self"])
        found = []
        for call in self.calls:
            if name_of(call.func) == self.within.name:
                given = [k.value for k in call.keywords if k.arg == name] or call.args[place : place + 1]
                found += [text for node in given if isinstance(text := literal(node), str)]
        return list(dict.fromkeys(found)) or (list(_GUESSED) if name in _STAGES else [])


def calls_in(nodes: Sequence[ast.AST]) -> list[Call]:
    """All calls among the nodes of a file, each with the innermost function that it stands in."""
    every = [node for node in nodes if isinstance(node, ast.Call)]
    within: dict[int, ast.FunctionDef | ast.AsyncFunctionDef] = {}
    for function in nodes:  # the inner ones come later
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            within |= {id(node): function for node in ast.walk(function) if isinstance(node, ast.Call)}
    return [Call(node, within.get(id(node)), every) for node in every]


# -- names -----------------------------------------------------------------------------------------------------------


def rows(call: Call) -> Iterator[object]:
    """The keys of rows: rows.append({...}), json.dump([{...}]), record(0, {...}), report(loss=0), and the names in the
    header of a table: writer.writerow(["epoch", "loss"]), DictWriter(file, fieldnames=["epoch", "loss"])."""
    if call.name in ("DictWriter", "writerow"):
        header = literal(call.keyword("fieldnames", 1) if call.name == "DictWriter" else call.keyword("row", 0))
        if isinstance(header, (list, tuple)) and all(isinstance(name, str) for name in header):
            yield from header
    if call.name in ("append", "dump", "dumps", "record", "extend", "writerow"):
        given = [row for arg in call.node.args for row in (arg.elts if isinstance(arg, ast.List) else [arg])]
        for row in given:
            for key in row.keys if isinstance(row, ast.Dict) else []:
                yield literal(key)
    elif call.name == "report" and owner_of(call.node.func) in (None, "report", "hpo_trainees"):
        for keyword in call.node.keywords:
            yield keyword.arg


def lightning(call: Call) -> Iterator[str]:
    """self.log("val_loss", x), self.log_dict({"val_loss": x}); what is logged for steps and epochs has two names."""
    if owner_of(call.node.func) != "self" or call.name not in ("log", "log_dict"):
        return
    ends = [""]
    if literal(call.keyword("on_step")) is True and literal(call.keyword("on_epoch")) is True:
        ends = ["_epoch"]
    for name in _keys(call, "name" if call.name == "log" else "dictionary"):
        yield from (f"{name}{end}" for end in ends)


def tensorboard(call: Call) -> Iterator[str]:
    """writer.add_scalar("Loss/val", x)"""
    if call.name == "add_scalar":
        yield from call.texts(call.keyword("tag", 0))


def mlflow(call: Call) -> Iterator[str]:
    """mlflow.log_metric("val_loss", x), mlflow.log_metrics({"val_loss": x})"""
    if call.name == "log_metric":
        yield from _keys(call, "key")
    elif call.name == "log_metrics":
        yield from _keys(call, "metrics")


def wandb(call: Call) -> Iterator[str]:
    """wandb.log({"val_loss": x})"""
    if call.name == "log" and owner_of(call.node.func) in ("wandb", "run", "wandb_run"):
        yield from _keys(call, "data")


def _keys(call: Call, name: str) -> Iterator[str]:
    """The name, or the keys of the dictionary, that is the argument `name` or the first one."""
    node = call.keyword(name, 0)
    if isinstance(node, ast.Dict):
        for key in node.keys:
            yield from call.texts(key)
    else:
        yield from call.texts(node)


# -- what counts -------------------------------------------------------------------------------------------------------


def monitors(calls: Iterable[Call]) -> Iterator[Monitor]:
    """EarlyStopping(monitor="val_acc", mode="max"), ModelCheckpoint(...), metric_for_best_model of Hugging Face."""
    checkpoints = []
    for call in calls:
        if call.name == "EarlyStopping" and (found := _monitor(call, 0)):
            yield found
        elif call.name == "ModelCheckpoint" and (found := _monitor(call, None)):
            checkpoints.append(found)
        elif (node := call.keyword("metric_for_best_model")) is not None and isinstance(name := literal(node), str):
            greater = literal(call.keyword("greater_is_better"))
            goal = "" if greater is None else "maximize" if greater else "minimize"
            yield Monitor(name if name.startswith("eval_") else f"eval_{name}", goal)
    yield from checkpoints


def _monitor(call: Call, place: int | None) -> Monitor | None:
    name = literal(call.keyword("monitor", place))
    mode = literal(call.keyword("mode"))
    return Monitor(name, _GOALS.get(str(mode), "")) if isinstance(name, str) else None


def monitor_of(tree: object) -> Monitor | None:
    """The same in a configuration: the first `monitor` with its `mode` in it."""
    for node in parts(tree):
        name = node.get("monitor") if isinstance(node, Mapping) else None
        if isinstance(node, Mapping) and isinstance(name, str) and not re.search(r"[$?]", name):
            return Monitor(name, _GOALS.get(str(node.get("mode")), ""))
    return None


# -- Lightning ------------------------------------------------------------------------------------------------------


def uses_lightning(modules: Modules, paths: Iterable[str]) -> bool:
    return any(_LIGHTNING.match(name) for path in paths for name in imported(modules.nodes(path)))


def without_logger(calls: Iterable[Call]) -> bool:
    """Trainer(logger=False)"""
    trainers = [call for call in calls if call.name == "Trainer"]
    return bool(trainers) and all(literal(call.keyword("logger")) is False for call in trainers)


def of_single_batches(calls: Sequence[Call]) -> list[str]:
    """What a script that validates logs in training_step for each batch only."""
    steps = {call.within.name for call in calls if call.within and call.within.name.endswith("_step")}
    if not {"training_step", "validation_step"} <= steps:
        return []
    inside = [c for c in calls if c.within and c.within.name == "training_step" and c.name == "log"]
    return [name for c in inside if owner_of(c.node.func) == "self" and not _on_epoch(c) for name in lightning(c)]


def _on_epoch(call: Call) -> bool:
    return any(k.arg == "on_epoch" and literal(k.value) is not False for k in call.node.keywords)
