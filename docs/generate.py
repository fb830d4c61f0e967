"""Writes the parts of the manual that the program itself knows best.

    python -m docs.generate            write what is out of date
    python -m docs.generate --check    name what is out of date, and fail if anything is

A generated part of a page stands between `<!-- NAME: ... -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import yaml

from docs import wings
from hpo_engine import assembly
from hpo_engine.cli import algorithms, cli
from hpo_engine.contract.sources.interface import MetricSource
from hpo_engine.core import ports
from hpo_engine.plugins.card import Option
from hpo_engine.plugins.registry import card_of
from hpo_engine.reports.figures import FIGURES
from hpo_engine.searchers import Searcher
from hpo_engine.stoppers import Rule
from hpo_engine.study.spec import ALIKE, MISNAMED
from hpo_engine.studyfile.native import json_schema

DOCS = Path(__file__).parent


def main() -> int:
    stale = [(path, new) for path, new in results() if not path.exists() or path.read_text(encoding="utf-8") != new]
    for path, new in stale:
        print(f"{'out of date' if '--check' in sys.argv else 'written'}: {path.relative_to(DOCS.parent)}")
        if "--check" not in sys.argv:
            path.write_text(new, encoding="utf-8")
    return 1 if stale and "--check" in sys.argv else 0


def results() -> Iterator[tuple[Path, str]]:
    """Every generated file with what it should contain."""
    pages = {DOCS / page: (DOCS / page).read_text(encoding="utf-8") for page, _ in PARTS}
    for (page, name), part in PARTS.items():
        pages[DOCS / page] = replaced(pages[DOCS / page], name, part())
    yield from pages.items()
    yield DOCS / "wings.svg", wings.svg()


def replaced(text: str, name: str, new: str) -> str:
    """`text` with a new part NAME. Raises ValueError if it has no such part."""
    pattern = rf"(<!-- {name}:.*?-->\n).*?(<!-- /{name} -->)"
    text, found = re.subn(pattern, lambda m: f"{m[1]}\n{new.strip()}\n\n{m[2]}", text, flags=re.DOTALL)
    if found != 1:
        raise ValueError(f"there are {found} parts {name!r} where one is expected")
    return text


def rows(*lines: tuple[str, ...]) -> str:
    """A Markdown table; the first line is its head."""
    cells = [tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in line) for line in lines]
    head, *body = cells
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ("---",) * len(head), *body))


# -- the study file ----------------------------------------------------------------------------------------------------


def fields() -> str:
    """Every field, then the fields of each nested mapping; `parameters` has those of the space."""
    schema = json_schema()
    nested: dict[str, str] = {}  # form -> the field that holds it
    for name, field in schema["properties"].items():
        for form in () if name == "space" else re.findall(r"'#/\$defs/(\w+)'", str(field)):
            nested.setdefault(form, name)
    parts = [_field_table(schema)]
    for form, name in nested.items():
        part = schema["$defs"][form]
        parts.append(f"### `{name}`\n\n{part['description']}\n\n{_field_table(part)}")
    return "\n".join(parts)


def parameters() -> str:
    schema = json_schema()
    forms = [schema["$defs"][form] for form in re.findall(r"'#/\$defs/(\w+)'", str(schema["properties"]["space"]))]
    return "\n".join(f"### `{_kind(f)}`\n\n{f['description']}\n\n{_field_table(f)}" for f in forms)


def _kind(form: Mapping[str, Any]) -> str:
    """What makes an entry of the space one of this form: the only field that it must have."""
    (name,) = form["required"]
    return str(name)


def _field_table(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    lines = [
        (
            f"`{name}`",
            field.get("description", "") + (" Required." if name in required else ""),
            ", ".join(f"`{_flow(example)}`" for example in field.get("examples", ())),
        )
        for name, field in schema["properties"].items()
    ]
    return rows(("field", "meaning", "example"), *lines)


def _flow(value: Any) -> str:
    """A value as it is written in a study file, in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


# -- the command line --------------------------------------------------------------------------------------------------


def verbs() -> str:
    links = ((f"[`{name}`](#{name.replace(' ', '-')})", command) for name, _, command in _commands())
    lines = [(link, command.get_short_help_str(200)) for link, command in links]
    return rows(("verb", "what it does"), *lines)


def options() -> str:
    """A section for each verb."""
    sections = []
    for name, context, command in _commands():
        usage = " ".join(["hpo-engine", name, *command.collect_usage_pieces(context)])
        texts = [" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n")]
        found = (option.get_help_record(context) for option in command.params if isinstance(option, click.Option))
        lines = [(f"`{names}`", " ".join(text.split())) for names, text in filter(None, found)]
        table = rows(("option", "meaning"), *lines) if lines else ""
        if isinstance(command, click.Group):
            table = rows(("command", "what it does"), *_below(command, context))
        sections.append("\n".join([f"### {name}\n", f"`{usage}`\n", *(f"{text}\n" for text in texts if text), table]))
    return "\n".join(sections)


def _below(group: click.Group, above: click.Context) -> Iterator[tuple[str, str]]:
    """Usage and help of each command of a verb that has several."""
    for name in group.list_commands(above):
        command = group.commands[name]
        context = click.Context(command, info_name=name, parent=above)
        if isinstance(command, click.Group):
            yield from _below(command, context)
            continue
        options = (option for option in command.params if isinstance(option, click.Option))
        records = (option.get_help_record(context) for option in options if option.name != "root")
        meanings = (f"`{names}`: {' '.join(text.split())}" for names, text in filter(None, records))
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        yield f"`{usage}`", " ".join([" ".join((command.help or "").split()), *meanings])


def _commands() -> Iterator[tuple[str, click.Context, click.Command]]:
    above = click.Context(cli, info_name="hpo-engine")
    for name in cli.list_commands(above):
        command = cli.get_command(above, name)
        assert command is not None
        yield name, click.Context(command, info_name=name, parent=above), command
        for own, each in getattr(command, "commands", {}).items():
            yield f"{name} {own}", click.Context(each, info_name=f"{name} {own}", parent=above), each


# -- the algorithms ----------------------------------------------------------------------------------------------------


def cards() -> str:
    return algorithms.page({name: assembly.traits(name) for name in assembly.SEARCHERS})


def rules() -> str:
    """The rules that `stop` can name; the other two of the house are set by `failures`."""
    lines = []
    for name in assembly.STOPPERS:
        card = card_of(assembly.STOPPERS.load(name, ".", "stop"))
        options = "; ".join(f"`{key}`{_default(option)}: {option.about}" for key, option in card.options.items())
        if name not in (MISNAMED, ALIKE):
            lines.append((f"`{name}`", card.summary, card.suits, options))
    return rows(("rule", "what it does", "when to use it", "options"), *lines)


def _default(option: Option) -> str:
    return "" if option.default is None else f" ({_flow(option.default)})"


# -- the ports ---------------------------------------------------------------------------------------------------------


def port(*classes: type) -> str:
    """The methods of classes with the first paragraph of what they promise."""
    lines = [
        (f"`{name}({', '.join(list(inspect.signature(method).parameters)[1:])})`", _first_paragraph(method))
        for cls in classes
        for name, method in vars(cls).items()
        if inspect.isfunction(method) and not name.startswith("_")
    ]
    return rows(("method", "what it does"), *lines)


def _first_paragraph(method: Any) -> str:
    return " ".join((inspect.getdoc(method) or "").split("\n\n")[0].split())


def figures() -> str:
    """Every figure of a report."""
    return rows(("name", "figure", "how to read it"), *((f"`{n}`", f.title, f.reading) for n, f in FIGURES.items()))


# -- the HTTP API ------------------------------------------------------------------------------------------------------


def calls() -> str:
    """Every call of `/api/v1`, by what it is about."""
    import tempfile

    from hpo_engine.service.app import create_app
    from hpo_engine.service.described import operations
    from hpo_engine.service.desk import Desk

    with tempfile.TemporaryDirectory() as root:
        desk = Desk(root)
        document = create_app(desk).openapi()
        desk.close()
    about = {tag["name"]: tag["description"] for tag in document["tags"]}
    found: dict[str, list[tuple[str, ...]]] = {}
    for method, path, operation in operations(document):
        if path.startswith("/api/v1/"):
            first = " ".join(operation.get("description", "").split("\n\n")[0].split())
            line = (f"`{method} {path.removeprefix('/api/v1')}`", operation["summary"], first)
            found.setdefault(operation["tags"][0], []).append(line)
    heads = ("call", "what it does", "more")
    return "\n".join(f"### {name}\n\n{about[name]}\n\n{rows(heads, *found[name])}" for name in about if name in found)


PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("study-file.md", "fields"): fields,
    ("study-file.md", "parameters"): parameters,
    ("cli.md", "verbs"): verbs,
    ("cli.md", "options"): options,
    ("algorithms.md", "algorithms"): cards,
    ("early-stopping.md", "rules"): rules,
    ("report.md", "figures"): figures,
    ("api-v1.md", "calls"): calls,
    ("writing-plugins.md", "searcher"): partial(port, Searcher),
    ("writing-plugins.md", "stopper"): partial(port, Rule),
    ("writing-plugins.md", "tracker"): partial(port, ports.Listener, ports.Tracker),
    ("writing-plugins.md", "source"): partial(port, MetricSource),
    ("writing-plugins.md", "executor"): partial(port, ports.Executor),
}


if __name__ == "__main__":
    sys.exit(main())
