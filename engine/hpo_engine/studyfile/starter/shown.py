"""The names of metrics in what a Python script prints, and in what libraries print while they train."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hpo_engine.contract.sources import printed
from hpo_engine.studyfile.starter.syntax import assigned, imports, keywords_of, literal, name_of, owner_of

_PRINT = ("print", "info", "write", "warning", "echo", "secho", "pprint", "rprint", "display_message")
_VALUE = "1"  # in place of a value that is filled in
_HELD_OUT = re.compile(r"(?i)(^|[^a-z])(val|valid|validation|dev|eval|evaluation|test)([^a-z]|$)")
_OF_KERAS = {"mse": "mse", "mae": "mae", "acc": "acc", "accuracy": "accuracy", "AUC": "auc", "auc": "auc"}
_OF_XGBOOST = (("reg:", "rmse"), ("binary:", "logloss"), ("multi:", "mlogloss"), ("rank:", "ndcg"))


class Texts:
    """What the calls of a script print, with a number for each value that is filled in."""

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        self._held: dict[str, list[ast.expr]] = {}
        for name, value in assigned(nodes):
            self._held.setdefault(name, []).append(value)

    def names(self, calls: Iterable[ast.Call]) -> Iterator[str]:
        """The names that have a number; first those in lines about data that were held out."""
        lines = [line for call in calls for line in self._printed(call)]
        for line in sorted(lines, key=lambda line: not _HELD_OUT.search(line)):
            yield from printed.names(line)

    def _printed(self, node: ast.Call) -> Iterator[str]:
        """print(f"epoch {epoch}: loss={loss:.3f}"), with % and .format too, print("loss:", loss), print({"loss": 1}),
        bar.set_postfix(loss=0.3)"""
        if name_of(node.func) in ("set_postfix", "set_postfix_str"):
            yield " ".join(f"{name}={_VALUE}" for name in keywords_of(node))
            yield from map(self._filled, node.args)
        elif name_of(node.func) in _PRINT or (name_of(node.func) == "log" and owner_of(node.func) == "console"):
            yield " ".join(self._words(node))

    def _words(self, node: ast.Call) -> Iterator[str]:
        if len(node.args) > 1 and (name_of(node.func) != "print"):  # logger.info("loss: %f", loss)
            text = literal(node.args[0])
            if isinstance(text, str) and "%" in text:
                yield _unformatted(text)
                return
        for arg in node.args:
            yield self._filled(arg)

    def _filled(self, node: ast.expr, depth: int = 0) -> str:
        """The text with a number for what is filled in, and for what is no text."""
        if isinstance(node, ast.Name) and depth < 3:
            values = self._held.get(node.id, [])
            return " ".join(self._filled(value, depth + 1) for value in values[:5]) if values else _VALUE
        if isinstance(node, ast.Constant):
            return str(node.value) if isinstance(node.value, str) else _VALUE
        if isinstance(node, ast.JoinedStr):
            return "".join(str(p.value) if isinstance(p, ast.Constant) else _VALUE for p in node.values)
        if isinstance(node, ast.Dict):
            keys = (literal(key) for key in node.keys)
            return ", ".join(f"'{key}': {_VALUE}" for key in keys if isinstance(key, str))
        if isinstance(node, ast.BinOp):
            return self._of_operator(node, depth)
        if isinstance(node, ast.Call) and name_of(node.func) in ("format", "join", "ljust", "rjust"):
            text = literal(node.func.value) if isinstance(node.func, ast.Attribute) else None
            return re.sub(r"\{[^{}]*\}", _VALUE, text) if isinstance(text, str) else _VALUE
        return _VALUE

    def _of_operator(self, node: ast.BinOp, depth: int) -> str:
        if isinstance(node.op, ast.Mod) and isinstance(text := literal(node.left), str):
            return _unformatted(text)
        if isinstance(node.op, ast.Add):
            return self._filled(node.left, depth) + self._filled(node.right, depth)
        return _VALUE


def _unformatted(text: str) -> str:
    return re.sub(r"%[-+ #0-9.*]*[a-zA-Z]", _VALUE, text)


# -- what libraries print --------------------------------------------------------------------------------------------


def trained(nodes: Sequence[ast.AST]) -> tuple[str, ...]:
    """The names that Keras, XGBoost, LightGBM and Hugging Face's Trainer print while they train."""
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    if imports(nodes, "keras", "tensorflow"):
        return tuple(_of_keras(calls))
    if imports(nodes, "transformers"):
        return tuple(dict.fromkeys(_of_trainer(nodes, calls)))
    if imports(nodes, "xgboost"):
        return tuple(_of_xgboost(nodes, calls))
    return ()


def _of_keras(calls: list[ast.Call]) -> Iterator[str]:
    fits = [call for call in calls if name_of(call.func) == "fit"]
    compiled = [call for call in calls if name_of(call.func) == "compile"]
    if not fits or not compiled:
        return
    metrics = [literal(metric) or name_of(getattr(metric, "func", metric)) for metric in _items(compiled[0], "metrics")]
    names = ["loss", *(_OF_KERAS.get(str(metric), _snake(str(metric))) for metric in metrics)]
    if any(key in keywords_of(call) for call in fits for key in ("validation_data", "validation_split")):
        yield from (f"val_{name}" for name in names)
    yield from names


def _of_trainer(nodes: Sequence[ast.AST], calls: list[ast.Call]) -> Iterator[str]:
    trainers = [call for call in calls if (name_of(call.func) or "").endswith("Trainer")]
    if not trainers:
        return
    if any("eval_dataset" in keywords_of(call) for call in trainers):
        yield "eval_loss"
        functions = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}
        for call in trainers:
            function = functions.get(name_of(keywords_of(call).get("compute_metrics")) or "")
            for inner in ast.walk(function) if function else ():
                if isinstance(inner, ast.Return) and isinstance(inner.value, ast.Dict):
                    yield from (f"eval_{key}" for key in map(literal, inner.value.keys) if isinstance(key, str))
    yield "train_loss"


def _of_xgboost(nodes: Sequence[ast.AST], calls: list[ast.Call]) -> Iterator[str]:
    """`[3]  valid-rmse:0.5` of train(evals=[(data, "valid")]), `validation_0-rmse` of fit(eval_set=...)."""
    names: list[str] = []
    for call in calls:
        if name_of(call.func) == "train":
            pairs = [pair for pair in _items(call, "evals") if isinstance(pair, ast.Tuple) and len(pair.elts) == 2]
            names += [name for pair in pairs if isinstance(name := literal(pair.elts[1]), str)]
        if name_of(call.func) == "fit":
            names += [f"validation_{number}" for number, _ in enumerate(_items(call, "eval_set"))]
    metric = _metric_of_xgboost(nodes, calls)
    # XGBoost stops early by the last one, so that is the one that people care about.
    yield from (f"{name}-{metric}" for name in reversed(names))


def _metric_of_xgboost(nodes: Sequence[ast.AST], calls: list[ast.Call]) -> str:
    given: dict[Any, Any] = {}
    for node in nodes:
        if isinstance(node, ast.Dict):
            given |= {literal(k): literal(v) for k, v in zip(node.keys, node.values, strict=True) if k is not None}
    for call in calls:
        given |= {k: literal(v) for k, v in keywords_of(call).items() if k in ("eval_metric", "objective")}
    chosen, objective = given.get("eval_metric"), str(given.get("objective", ""))
    if isinstance(chosen, list) and chosen:
        chosen = chosen[-1]
    default = next((metric for begin, metric in _OF_XGBOOST if objective.startswith(begin)), None)
    classifier = any((name_of(call.func) or "").endswith("Classifier") for call in calls)
    return chosen if isinstance(chosen, str) else default or ("logloss" if classifier else "rmse")


def _items(call: ast.Call, keyword: str) -> list[ast.expr]:
    value = keywords_of(call).get(keyword)
    return list(value.elts) if isinstance(value, (ast.List, ast.Tuple)) else []


def _snake(name: str) -> str:
    """`mean_squared_error` of MeanSquaredError."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


# -- other languages -------------------------------------------------------------------------------------------------

_ECHO = re.compile(r"\b(echo|printf?|println|cat|sprintf|message|console\.log|log|fmt|write|format)\b")
_FILLED = re.compile(r"\$\{[^}]*\}|\$\([^)]*\)|\$\w+|%[-+ #0-9.]*[a-zA-Z]|\{[^{}]*\}")


def echoed(line: str) -> list[str]:
    """The names in what a line in another language prints: echo "loss: $loss", cat(sprintf("loss=%f", x))."""
    if not _ECHO.search(line[:2000]):
        return []
    filled = _FILLED.sub(_VALUE, line[:2000])
    return printed.names(re.sub(r"""["'],\s*[^"',]+""", f" {_VALUE}", filled))
