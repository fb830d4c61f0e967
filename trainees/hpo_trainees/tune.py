"""Any LightningModule and LightningDataModule as a trial, in three lines:

    from hpo_trainees.tune import tune_main
    from model import LitClassifier
    from data import Images

    if __name__ == "__main__":
        tune_main(LitClassifier, Images)

Knows nothing of the engine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.parsing import lightning_setattr

from hpo_trainees.features import ALIASES, feature_sections, trainer_arguments, trainer_section
from hpo_trainees.fitting import Outcome, Training, log_dir, result_dir
from hpo_trainees.keeping import Goal
from hpo_trainees.keys import Section, Values, merged, missing, parameters_of, route
from hpo_trainees.report import CONFIG_FILE, config
from hpo_trainees.shared_files import DataError
from hpo_trainees.values import ConfigError, Text


def tune_main(
    model_class: Callable[..., LightningModule],
    data_class: Callable[..., LightningDataModule] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    trainer: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    monitor: str | None = None,
    mode: str | None = None,
    link: Mapping[str, str] | None = None,
    arguments: Sequence[str] | None = None,
) -> Outcome:
    """Trains the module with the parameters of config.json; by hand, with those of the command line.

    Keys are `model.NAME`, `data.NAME`, `trainer.NAME` for the arguments of the two classes and of Lightning's Trainer;
    `NAME` alone if only one of the three has it. `seed`, `monitor`, `mode`, `ckpt_path` belong to the run;
    `early_stopping`, `swa`, `lr_finder`, `batch_size_finder` and `checkpoint` are switched on by true or by options
    (`early_stopping.patience`). The command line is `--lr 0.01 --trainer.max_epochs=3`; `--help` lists all keys.

    Each validation is reported. RESULT_DIR gets best.ckpt, last.ckpt and summary.json. HPO_RESUME_FROM is gone on from.

    Args:
        model_class, data_class: classes, or functions that return an instance. Without `data_class` the module has its
            own dataloaders.
        defaults: values of keys that the configuration does not have, such as {"max_epochs": 20, "model.width": 64}.
        trainer: arguments of the Trainer that a configuration cannot hold, such as a logger; its keys win over these.
        callbacks: further callbacks.
        monitor, mode: the metric that best.ckpt and early stopping go by, and "min" or "max". Default: the study's
            objective; by hand `val_loss`, else what looks like it. The mode follows from the name.
        link: source -> target, for a target that takes what the source has: {"data.num_classes": "model.num_classes"}.
            A source is a key, or an attribute that the data module has when it is made, or after setup("fit").
        arguments: the command line; default: that of the process.

    Returns:
        The trainer, the module, the data module, and the summary.

    A wrong configuration, or data that cannot be had, ends the process with one line on stderr and exit code 2.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        program = _Program(model_class, data_class, dict(link or {}))
        if any(word in ("-h", "--help") for word in words):
            _help(program)
        values = program.values(defaults or {}, words)
        base = {**(trainer or {}), **values.get("trainer", {})}
        made = trainer_arguments(base, result_dir=result_dir(), log_dir=log_dir())
        own = values.get("", {})
        training = Training(
            build=lambda found: program.build(values, found),
            make_trainer=lambda **changes: new_trainer({**made, **changes}),
            values=values,
            arguments=made,
            callbacks=[*listed(base.get("callbacks")), *callbacks],
            goal=goal_of(own.get("monitor") or monitor, own.get("mode") or mode),
        )
        return training.run()
    except (ConfigError, DataError) as error:
        refuse(error)


def goal_of(monitor: str | None, mode: str | None) -> Goal:
    """What the script or the configuration names; else the study's first objective."""
    if monitor is not None:
        return Goal(monitor, mode, firm=True)
    goals = {"minimize": "min", "maximize": "max"}
    return Goal(os.environ.get("HPO_METRIC") or None, mode or goals.get(os.environ.get("HPO_GOAL", "")))


def refuse(error: Exception) -> NoReturn:
    """Ends the process; the reason is the last line of its output."""
    text = " ".join(str(error).split())
    print(f"{os.path.basename(sys.argv[0]) or 'tune_main'}: {text}", file=sys.stderr)
    raise SystemExit(2) from None


class _Program:
    """The two classes as sections of keys.

    Args:
        link: source -> target.
    """

    def __init__(self, model: Callable[..., Any], data: Callable[..., Any] | None, link: dict[str, str]) -> None:
        self._model, self._data, self._link = model, data, link
        self._parts = [Section.of("model", model)]
        if data is not None:
            self._parts.append(Section.of("data", data))
        self.sections = [*self._parts, trainer_section(), *feature_sections()]
        for source, target in link.items():
            if not all("." in name for name in (source, target)):
                raise ConfigError(f'link: "{source}": "{target}" must both be full names, such as data.classes')

    def values(self, defaults: Mapping[str, Any], words: Sequence[str]) -> Values:
        """The values of all keys: the defaults, config.json over them, the command line over both."""
        given = parse(words)
        layers = [defaults, config() if not given or os.path.exists(CONFIG_FILE) else {}, given]
        routed = [route(one, self.sections, aliases=ALIASES, links=self._link) for one in layers]
        values = merged(*routed)
        for source, target in self._link.items():
            section, _, name = source.partition(".")
            value = values[section][name] if name in values.get(section, {}) else self._default(section, name)
            if value is not None or name in values.get(section, {}):
                into, _, wanted = target.partition(".")
                values.setdefault(into, {}).setdefault(wanted, value)
        for part in self._parts:
            targets = {t.partition(".")[2] for t in self._link.values() if t.startswith(f"{part.name}.")}
            if lacking := missing(part, {**values.get(part.name, {}), **dict.fromkeys(targets)}):
                raise ConfigError(
                    f"{part.title} needs {', '.join(lacking)}: give a value in config.json or in defaults"
                )
        return values

    def _default(self, part: str, name: str) -> Any:
        """What an argument is if nothing sets it; None: nobody knows."""
        made = {"model": self._model, "data": self._data}.get(part)
        parameter = parameters_of(made)[0].get(name) if made else None
        return None if parameter is None or parameter.default is parameter.empty else parameter.default

    def build(self, values: Values, found: Mapping[str, Any]) -> tuple[LightningModule, LightningDataModule | None]:
        """New objects, with what finders chose: as an argument where there is one, and as an attribute."""
        data = None
        if self._data is not None:
            data = self._data(**self._arguments("data", values, found))
        model_values = self._arguments("model", values, found)
        for source, target in self._link.items():
            section, _, name = target.partition(".")
            if section == "model" and source.startswith("data.") and name not in model_values:
                model_values[name] = _attribute(data, source.partition(".")[2])
        module = self._model(**model_values)
        set_found((module, data), found)
        return module, data

    def _arguments(self, part: str, values: Values, found: Mapping[str, Any]) -> dict[str, Any]:
        made = self._model if part == "model" else self._data
        known = parameters_of(made)[0] if made else {}
        return {**values.get(part, {}), **{name: value for name, value in found.items() if name in known}}


def _attribute(data: Any, name: str) -> Any:
    """What the data module knows when it is made, or when it has seen its data."""
    found = _held(data, name)
    if found is None:
        if not os.environ.get("LOCAL_RANK"):
            data.prepare_data()
        data.setup("fit")
        found = _held(data, name)
    if found is None:
        raise ConfigError(f"link: the data module has no {name}, not even after setup")
    return found


def _held(data: Any, name: str) -> Any:
    found = getattr(data, name, None)
    return data.hparams.get(name) if found is None else found


def set_found(parts: Sequence[Any], found: Mapping[str, Any]) -> None:
    """Sets what finders chose on those that have such an attribute."""
    for name, value in found.items():
        for one in parts:
            if one is not None:
                _set(one, name, value)


def _set(one: Any, name: str, value: Any) -> None:
    if isinstance(one, LightningModule):
        try:
            lightning_setattr(one, name, value)
        except AttributeError:
            return  # the other one has it
    elif hasattr(one, name):
        setattr(one, name, value)
    if name in (getattr(one, "hparams", None) or {}):
        one.hparams[name] = value


def new_trainer(arguments: Mapping[str, Any], kind: Callable[..., Trainer] = Trainer) -> Trainer:
    """A Trainer; what it says against its arguments is one line."""
    try:
        return kind(**arguments)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise ConfigError(f"trainer: {error}") from None


def listed(callbacks: Any) -> list[Callback]:
    """None, one, or several, as a Trainer takes them."""
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []


def parse(words: Sequence[str]) -> dict[str, Any]:
    """`--name value`, `--name=value`, `name=value`, and `--name` for true.

    Raises:
        ConfigError: a word is neither.
    """
    out: dict[str, Any] = {}
    waiting: str | None = None
    for word in words:
        if waiting is not None and not word.startswith("--"):
            out[waiting], waiting = Text(word), None
            continue
        if waiting is not None:
            out[waiting], waiting = True, None
        name, equals, value = word.partition("=")
        if not equals and not word.startswith("--"):
            raise ConfigError(f'"{word}" is not an option: write --name value or name=value')
        name = name.removeprefix("--").replace("-", "_")
        if equals:
            out[name] = Text(value)
        else:
            waiting = name
    if waiting is not None:
        out[waiting] = True
    return out


def _help(program: _Program) -> NoReturn:
    print(
        "options: --NAME VALUE, or a config.json with these keys (a plain name if only one part has it).\n"
        "Behind each is its default; None often means that Lightning chooses. Checkpoints and metrics are written to\n"
        "RESULT_DIR, else the current folder; logs to LOG_DIR.\n"
    )
    for section in program.sections:
        if section.switch and section.name != "checkpoint":
            print(f"  --{section.name:<45} off (without a value: on)")
        for parameter in section.parameters.values():
            full = f"{section.name}.{parameter.name}" if section.name else parameter.name
            missing = "optional" if section.switch else "required"
            shown = missing if parameter.default is parameter.empty else repr(parameter.default)
            print(f"  --{full:<45} {shown}")
    raise SystemExit(0)
