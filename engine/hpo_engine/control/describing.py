"""What algorithms are for and take, as JSON, from the cards of their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo_engine.isolation.installed import Installed
    from hpo_engine.plugins.card import Option
    from hpo_engine.searchers import Traits


def algorithm_objects(env: Mapping[str, str]) -> dict[str, Any]:
    """The built-in algorithms, the options that all have, where the classes of installed packages are from, and the
    search plugins that were installed.

    Args:
        env: says where those are.
    """
    from hpo_engine import assembly
    from hpo_engine.isolation import installed

    ours = {known: algorithm_object(assembly.traits(known)) for known in assembly.SEARCHERS}
    plugins = {known: where for known, where in assembly.SEARCHERS.known().items() if known not in assembly.SEARCHERS}
    found = installed.plugins(installed.folder_of(env))
    search = {name: plugin_object(plugin) for name, plugin in found.items()}
    return {"algorithms": ours, "common": _options_object(common()), "plugins": plugins, "search_plugins": search}


def common() -> dict[str, Option]:
    """The options that all have."""
    from hpo_engine.plugins.card import SEED

    return {"seed": SEED}


def algorithm_object(own: Traits) -> dict[str, Any]:
    return {
        "summary": own.card.summary, "suits": own.card.suits, "cost": own.card.cost, "source": own.card.source,
        "extra": own.card.extra or None, "needs_resource": own.needs_resource, "uses_running": own.uses_running,
        "many_objectives": own.many_objectives, "options": _options_object(own.card.options),
    }  # fmt: skip


def plugin_object(found: Installed) -> dict[str, Any]:
    """A search plugin that was installed."""
    return {
        "path": found.path, "python": found.python or None, "conda_env": found.conda_env or None,
        "log_level": found.log_level or None, "creator": found.creator or None, "created": found.created,
    }  # fmt: skip


def _options_object(options: Mapping[str, Option]) -> dict[str, Any]:
    return {
        name: {
            "type": {int: "int", float: "float", bool: "bool", str: "text"}[option.kind],
            "default": option.default, "allowed": option.range, "about": option.about,
        }
        for name, option in options.items()
    }  # fmt: skip
