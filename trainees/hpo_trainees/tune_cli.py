"""LightningCLI as a trial: `TuneCLI(Model, Data)` in place of `LightningCLI(Model, Data)`.

Takes config.json besides the command line and `--config` files. Needs jsonargparse; knows nothing of the engine.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningCLI

from hpo_trainees.features import feature_sections, trainer_arguments, trainer_section
from hpo_trainees.fitting import Outcome, Training, log_dir, quiet, result_dir
from hpo_trainees.keys import Section, Values, merged, route
from hpo_trainees.report import config
from hpo_trainees.tune import goal_of, listed, new_trainer, parse, refuse, set_found
from hpo_trainees.values import ConfigError

_OTHERS = ("validate", "test", "predict")
_OWN = ("early_stopping", "swa", "lr_finder", "batch_size_finder", "checkpoint")
_ALIASES = {"epochs": "trainer.max_epochs", "steps": "trainer.max_steps", "seed": ".seed_everything"}


class TuneCLI(LightningCLI):
    """Trains as `tune_main` does, with LightningCLI's parser: types, links, `--config`, classes by name.

    `python main.py` and `python main.py fit` train; `validate`, `test` and `predict` are LightningCLI's own. Options of
    the command line win over config.json, which wins over `--config` files. Of the keys of `tune_main` all are taken.

    Args:
        model_class, datamodule_class: as for LightningCLI.
        callbacks: further callbacks.
        monitor, mode: the metric that best.ckpt and early stopping go by; default: the study's objective.
        args: the command line; default: that of the process.
        more: further arguments of LightningCLI.

    Attributes:
        outcome: the trainer, the module, the data module, and the summary; None for the other subcommands.
    """

    outcome: Outcome | None = None

    def __init__(
        self,
        model_class: Callable[..., LightningModule] | None = None,
        datamodule_class: Callable[..., LightningDataModule] | None = None,
        *,
        callbacks: Sequence[Callback] = (),
        monitor: str | None = None,
        mode: str | None = None,
        args: list[str] | None = None,
        **more: Any,
    ) -> None:
        words = sys.argv[1:] if args is None else list(args)
        self._values: Values = {}
        self._ready: tuple[Any, Any] | None = None
        if words[:1] and words[0] in _OTHERS:
            super().__init__(model_class, datamodule_class, args=args, **more)
            return
        quiet()
        self._words = words[1:] if words[:1] == ["fit"] else words
        more = {"seed_everything_default": 0, "save_config_callback": None, **more}
        more["trainer_defaults"] = {"devices": 1, **(more.get("trainer_defaults") or {})}
        try:
            super().__init__(model_class, datamodule_class, run=False, **more)
            self.outcome = self._train(callbacks, monitor, mode)
        except ConfigError as error:
            refuse(error)

    def parse_arguments(self, parser: Any, args: Any) -> None:
        if getattr(self, "_words", None) is None:
            super().parse_arguments(parser, args)
            return
        sections = self._sections(parser)
        files, words, own = _sorted(self._words)
        routed = [route(one, sections, aliases=_ALIASES) for one in (config(), own)]
        self._values = merged(*routed)
        options = [
            f"--{option}={_word(value)}"
            for section in sections
            if section.name not in _OWN
            for option, value in _options(section, routed[0].get(section.name, {}))
        ]
        self.config = parser.parse_args([*files, *options, *words])

    def _sections(self, parser: Any) -> list[Section]:
        """Those of the parser; model and data by their signatures, without what is linked."""
        known = {action.dest for action in parser._actions} - _linked(parser)
        parts = []
        for name, made in (("model", self.model_class), ("data", self.datamodule_class)):
            by_signature = made is not None and not getattr(self, f"subclass_mode_{name}")
            section = Section.of(name, made) if by_signature and made is not None else Section(name, {}, open=True)
            there = {k: p for k, p in section.parameters.items() if f"{name}.{k}" in known}
            parts.append(Section(name, there, section.title, open=section.open))
        run, *features = feature_sections()
        heads = {dest.partition(".")[0] for dest in known if isinstance(dest, str)}
        reserved = {"model", "data", "trainer", "help", "config", "print_config", "seed", *_OWN}
        empty = {head: inspect.Parameter(head, inspect.Parameter.KEYWORD_ONLY) for head in heads - reserved}
        others = {name: p for name, p in run.parameters.items() if name != "seed"} | {
            name: p for name, p in empty.items() if name in known
        }
        groups = [Section(head, {}, plain=False, open=True) for head in sorted(heads - reserved)]
        return [*parts, trainer_section(), Section("", others), *features, *groups]

    def instantiate_classes(self) -> None:
        if self._ready is None and getattr(self, "_words", None) is None:
            super().instantiate_classes()
            return
        self._ready = self._build({})

    def _build(self, found: Mapping[str, Any]) -> tuple[Any, Any]:
        if not found and self._ready is not None:
            ready, self._ready = self._ready, None
            return ready
        wanted = self.config.clone()
        for name, value in found.items():
            for part in ("model", "data"):
                if f"{part}.{name}" in wanted:
                    wanted[f"{part}.{name}"] = value
        self.config_init = self.parser.instantiate_classes(wanted)
        self.datamodule, self.model = self._get(self.config_init, "data"), self._get(self.config_init, "model")
        self._add_configure_optimizers_method_to_model(None)
        set_found((self.model, self.datamodule), found)
        return self.model, self.datamodule

    def _train(self, callbacks: Sequence[Callback], monitor: str | None, mode: str | None) -> Outcome:
        trainer = self._get(self.config_init, "trainer", default={})
        base = {name: value for name, value in dict(trainer).items() if value is not None}  # None: not set
        made = trainer_arguments(base, result_dir=result_dir(), log_dir=log_dir())
        own = self._values.get("", {})
        extra = [self._get(self.config_init, key) for key in self.parser.callback_keys]
        defaults = listed(self.trainer_defaults.get("callbacks"))
        seed = self.config.get("seed_everything")
        used = {name: self.config.get(name) for name in ("model", "data", "optimizer")}
        given = {name: one.as_dict() for name, one in used.items() if hasattr(one, "as_dict")}
        values = {**self._values, **given, "": {**own, "seed": 0 if seed is True else seed}}
        training = Training(
            build=self._build,
            make_trainer=lambda **changes: new_trainer({**made, **changes}, self.trainer_class),
            values=values,
            arguments=made,
            callbacks=[*listed(base.get("callbacks")), *extra, *defaults, *callbacks],
            goal=goal_of(own.get("monitor") or monitor, own.get("mode") or mode),
        )
        if before := getattr(self, "before_fit", None):
            before()
        done = training.run()
        self.trainer: Trainer = done.trainer
        if after := getattr(self, "after_fit", None):
            after()
        return done


def _linked(parser: Any) -> set[str]:
    """The options that take their value from another one, by `link_arguments`."""
    links = getattr(getattr(parser, "_links_group", None), "_group_actions", [])
    return {link.target[0] for link in links}


def _sorted(words: Sequence[str]) -> tuple[list[str], list[str], dict[str, Any]]:
    """(`--config` files, other words of the parser, keys that are not the parser's)."""
    files: list[str] = []
    rest: list[str] = []
    own: list[str] = []
    into = rest
    for word in words:
        if word.startswith("-"):
            name = word.lstrip("-").partition("=")[0]
            head = name.partition(".")[0]
            kept = {"config": files, "c": files, **dict.fromkeys((*_OWN, "monitor", "mode", "ckpt_path"), own)}
            into = kept.get(head, rest)
        into.append(word)
    return files, rest, parse(own)


def _options(section: Section, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The full names; an object of an open section is one option per value."""
    skipped = ("monitor", "mode", "ckpt_path") if not section.name else ()
    prefix = f"{section.name}." if section.name else ""
    return [(f"{prefix}{name}", value) for name, value in values.items() if name not in skipped]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
