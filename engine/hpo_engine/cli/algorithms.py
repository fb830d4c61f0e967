"""The verb algorithms: what each searcher is for, what it costs, its options, all from the cards of their classes.

Loads the searchers' own files and nothing that they load when they search.
"""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import json_option
from hpo_engine.reports.objects import dump
from hpo_engine.text.tables import safe_text

if TYPE_CHECKING:
    from hpo_engine.isolation.installed import Installed
    from hpo_engine.plugins.card import Option
    from hpo_engine.searchers import Traits

_WIDTH = 80


class _Algorithms(click.Command):
    """A verb with verbs of its own, which are no algorithms' names: `algorithms NAME`, `algorithms install DIR`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.commands: dict[str, click.Command] = {}

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and (own := self.commands.get(args[0])) is not None:
            return own.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_Algorithms)
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Show every algorithm with its options.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@json_option
def algorithms(name: str | None, everything: bool, markdown: bool, as_json: bool) -> None:
    """Describe the algorithms: purpose, cost, options.

    With NAME, one algorithm in full. NAME may also be your own: module:Class, path/file.py:Class, or the name of an
    installed plugin. `hpo-engine algorithms install DIR` installs a search plugin written for WMLA (a folder with
    optimizer.py), and `hpo-engine algorithms uninstall NAME` removes it.
    """
    from hpo_engine import assembly
    from hpo_engine.control.describing import algorithm_object, algorithm_objects, plugin_object
    from hpo_engine.isolation import installed
    from hpo_engine.plugins.card import NO_CARD

    own_plugins = installed.plugins(installed.folder_of(os.environ))
    if name is not None:
        found = next((own_plugins[each] for each in own_plugins if each.lower() == name.lower()), None)
        if found is not None and name not in assembly.SEARCHERS:
            click.echo(dump({name: plugin_object(found)}) if as_json else _plugin_text(found))
            return
        own = assembly.traits(name)
        if own.card is NO_CARD:
            click.echo(f"{name}: your own; it has no card that says what its options mean")
        elif as_json:
            click.echo(dump({name: algorithm_object(own)}))
        else:
            click.echo(_section(name, own) if markdown else _full(name, own))
        return
    ours = {known: assembly.traits(known) for known in assembly.SEARCHERS}
    plugins = {known: where for known, where in assembly.SEARCHERS.known().items() if known not in assembly.SEARCHERS}
    if as_json:
        click.echo(dump(algorithm_objects(os.environ)))
    elif markdown:
        click.echo(page(ours), nl=False)
    elif everything:
        click.echo("\n\n".join(_full(known, own) for known, own in ours.items()))
        click.echo(f"\n{_all_have()}{_plugins(plugins)}{_search_plugins(own_plugins)}")
    else:
        click.echo(f"{_overview(ours)}\n\n{_all_have()}{_plugins(plugins)}{_search_plugins(own_plugins)}")
        click.echo("`hpo-engine algorithms NAME` shows the options of one, `--all` those of all.")


_SERVICE = click.option(
    "--service", metavar="ROOT", help="For the `hpo-engine serve` over the studies in ROOT [for you alone]."
)


def _where(service: str | None) -> str:
    """The folder of the plugins that are meant. Raises SpecError."""
    from hpo_engine.errors import SpecError
    from hpo_engine.isolation import installed

    if service is None:
        return installed.folder_of(os.environ)
    if not os.path.isdir(service):
        raise SpecError(f"--service: there is no folder {service}; name the root that `hpo-engine serve` prints")
    os.makedirs(os.path.join(service, ".service"), mode=0o700, exist_ok=True)
    return installed.service_folder(os.path.abspath(service))


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--name", metavar="NAME", help="What studies call it [the folder's name].")
@click.option("--conda-env", default="", metavar="ENV", help="The conda environment that it runs in, by name or path.")
@click.option("--python", default="", metavar="PATH", help="The interpreter that it runs in [that of hpo-engine].")
@click.option("--log-level", default="", metavar="LEVEL", help="The level of its logger, as in DEBUG [INFO].")
@click.option("--replace", is_flag=True, help="Replace one of this name. Studies that exist keep their copy.")
@_SERVICE
@json_option
def install(
    folder: str,
    name: str | None,
    conda_env: str,
    python: str,
    log_level: str,
    replace: bool,
    service: str | None,
    as_json: bool,
) -> None:
    """Install a search plugin written for WMLA: a folder with optimizer.py, which has a class PluginOptimizer.

    Its files are copied, and its class is loaded once, in a process of its own. Studies then name it as their
    algorithm. It is yours alone, or with --service a service's, which has plugins of its own.
    """
    from hpo_engine import assembly
    from hpo_engine.contract.binding import user_of
    from hpo_engine.control.describing import plugin_object
    from hpo_engine.isolation import installed

    if conda_env and python:
        raise click.UsageError("--conda-env and --python name the same thing twice")
    source = os.path.abspath(folder)
    found = installed.install(
        source,
        name or os.path.basename(source),
        _where(service),
        taken=assembly.reserved(),
        python=python,
        conda_env=conda_env,
        log_level=log_level,
        creator=user_of(os.environ),
        now=time.time(),
        replace=replace,
    )
    if as_json:
        click.echo(dump({found.name: plugin_object(found)}))
    else:
        click.echo(f"{found.name} is installed; study files name it as their algorithm: {found.name}")


@click.command()
@click.argument("name")
@_SERVICE
def uninstall(name: str, service: str | None) -> None:
    """Remove a search plugin that was installed. Studies that exist have copies of their own and are not affected."""
    from hpo_engine.isolation import installed

    where = _where(service)
    found = installed.find(where, name)
    installed.uninstall(found.name, where)
    click.echo(f"{found.name} is removed")


algorithms.commands = {"install": install, "uninstall": uninstall}
VERBS = (algorithms,)


def page(ours: Mapping[str, Traits]) -> str:
    """Every algorithm as Markdown, for a section of docs/algorithms.md: a table, then each with its options."""

    rows = "".join(
        f"| [`{name}`](#{_anchor(name)}) | {own.card.summary} | {own.card.suits} |\n" for name, own in ours.items()
    )
    from hpo_engine.control.describing import common

    table = f"| algorithm | what it does | when to use it |\n| --- | --- | --- |\n{rows}"
    head = f"Every algorithm has the option `seed`: {common()['seed'].about}.\n"
    return "\n".join([table, head, *(_section(name, own) + "\n" for name, own in ours.items())])


def _all_have() -> str:
    from hpo_engine.control.describing import common

    option = common()["seed"]
    return _filled(f"All have the option `seed` ({option.range}): {option.about}.", "") + "\n"


def _plugins(plugins: Mapping[str, str]) -> str:
    named = ", ".join(f"{name} ({where})" for name, where in sorted(plugins.items()))
    return _filled(f"Installed plugins: {named}", "  ") + "\n" if named else ""


def _search_plugins(found: Mapping[str, Installed]) -> str:
    named = ", ".join(f"{name} ({each.path})" for name, each in found.items())
    return _filled(f"Installed search plugins: {named}", "  ") + "\n" if named else ""


def _plugin_text(found: Installed) -> str:
    lines = [
        f"{found.name}: a search plugin written for WMLA",
        f"  files     {found.path}",
        f"  python    {found.python or 'that of hpo-engine'}",
        f"  log level {found.log_level or 'INFO'}",
        f"  installed {_day(found.created)}{f' by {found.creator}' if found.creator else ''}",
    ]
    return "\n".join(map(safe_text, lines))


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


# -- text ------------------------------------------------------------------------------------------------------------


def _overview(ours: Mapping[str, Traits]) -> str:
    """Two or three lines per algorithm: what it is for, then what it needs and costs."""
    column = max(map(len, ours)) + 2
    blocks = [f"{'NAME':<{column}}WHAT IT IS FOR; THE COST OF A PROPOSAL"]
    for name, own in ours.items():
        extra = f"needs pip install 'hpo-engine[{own.card.extra}]'; " if own.card.extra else ""
        needs = f"needs a `resource`; {extra}" if own.needs_resource else extra
        blocks.append(_filled(f"{name:<{column}}{own.card.suits}", " " * column))
        blocks.append(_filled(f"{'':{column}}{needs}cost: {own.card.cost}", " " * column))
    return "\n".join(blocks)


def _full(name: str, own: Traits) -> str:
    lines = [_filled(f"{name}: {own.card.summary}", " " * (len(name) + 2))]
    lines += [_filled(f"  {word:<9}{text}", " " * 11) for word, text in _facts(own)]
    for option, about in own.card.options.items():
        text = f"  {option} ({_default(about)}): {about.about}; {about.range}"
        lines.append(_filled(text, "      "))
    return "\n".join(lines)


def _facts(own: Traits) -> list[tuple[str, str]]:
    needs = [("needs", "a `resource` in the study file")] if own.needs_resource else []
    needs += [("needs", f"pip install 'hpo-engine[{own.card.extra}]'")] if own.card.extra else []
    goals = [] if own.many_objectives else [("goals", "the first objective of a study only")]
    running = [("running", "trials that are still running influence its proposals")] if own.uses_running else []
    source = [("source", own.card.source)] if own.card.source not in ("", "-") else []
    more = [("options", own.card.open)] if own.card.open else []
    head = [("for", own.card.suits), ("cost", f"per proposal: {own.card.cost}")]
    return [*head, *goals, *running, *needs, *source, *more]


def _filled(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _default(option: Option) -> str:
    from hpo_engine.space.params import json_text

    if option.default is None:
        return "automatic"
    return option.default if isinstance(option.default, str) else json_text(option.default)


# -- Markdown --------------------------------------------------------------------------------------------------------


def _section(name: str, own: Traits) -> str:
    lines = [f"## {name}", "", f"{own.card.summary[:1].upper()}{own.card.summary[1:]}.", ""]
    lines += [f"- {word}: {text}" for word, text in _facts(own)]
    if own.card.options:
        lines += ["", "| option | default | allowed | meaning |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{option}` | {_default(about)} | {about.range} | {about.about} |".replace(" |  | ", " | - | ")
            for option, about in own.card.options.items()
        ]
    return "\n".join(lines)


def _anchor(name: str) -> str:
    """As GitHub makes it of a heading."""
    return "".join(c for c in name.lower().replace(" ", "-") if c.isalnum() or c in "-_")
