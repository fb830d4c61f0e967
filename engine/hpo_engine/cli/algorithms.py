"""The verb algorithms: what each searcher is for, what it costs, its options, all from the cards of their classes.

Loads the searchers' own files and nothing that they load when they search.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from hpo_engine.cli.common import json_option
from hpo_engine.reports.objects import dump

if TYPE_CHECKING:
    from hpo_engine.plugins.card import Option
    from hpo_engine.searchers import Traits

_WIDTH = 80


@click.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Show every algorithm with its options.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@json_option
def algorithms(name: str | None, everything: bool, markdown: bool, as_json: bool) -> None:
    """Describe the algorithms: purpose, cost, options.

    With NAME, one algorithm in full. NAME may also be your own: module:Class, path/file.py:Class, or the name of an
    installed plugin.
    """
    from hpo_engine import assembly
    from hpo_engine.control.describing import algorithm_object, algorithm_objects
    from hpo_engine.plugins.card import NO_CARD

    if name is not None:
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
        click.echo(dump(algorithm_objects()))
    elif markdown:
        click.echo(page(ours), nl=False)
    elif everything:
        click.echo("\n\n".join(_full(known, own) for known, own in ours.items()))
        click.echo(f"\n{_all_have()}{_plugins(plugins)}")
    else:
        click.echo(f"{_overview(ours)}\n\n{_all_have()}{_plugins(plugins)}")
        click.echo("`hpo-engine algorithms NAME` shows the options of one, `--all` those of all.")


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
