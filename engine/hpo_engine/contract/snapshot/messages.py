"""Messages about the copy of the script's folder: what is not in it, what perhaps should not be, why it failed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from hpo_engine.contract.snapshot import ignore
from hpo_engine.contract.snapshot.found import Amount, File, Found
from hpo_engine.errors import Problem, SpecError
from hpo_engine.text.quoting import listed
from hpo_engine.text.tables import size_text

_NAMED = 4
_MOST_KEYS = 4
_LARGEST = 3  # folders that are named


def notes(found: Found) -> list[str]:
    """What a user should know about the copy, one line each."""
    lines = _left_out(found.left_out) if found.left_out else []
    if found.excluded:
        lines.append(f"left out by exclude or a .hpoignore: {_listed(dict(sorted(found.excluded.items())))}")
    if found.linked:
        lines.append(_linked(found.linked))
    lines += _maybe(found)
    return lines + [f"exclude: {_word(text)} matches nothing in model_dir" for text in found.unused]


def dropped_config(config: object, known: Iterable[str]) -> str | None:
    """A line on the project's own config.json, which trials do not see.

    Args:
        config: what is in it; known: the keys that each trial's own has.
    """
    if not isinstance(config, Mapping):
        return None
    known = set(known)
    missing = [str(key) for key in config if key not in known]
    if not missing:
        return None
    keys, verb = listed(missing, _MOST_KEYS), "is" if len(missing) == 1 else "are"
    return (
        f"config.json of model_dir is not used: {keys} {verb} missing in the trials' config.json, which holds only the "
        "study's parameters; to start from it: base_config: config.json"
    )


def _left_out(left_out: Mapping[str, Amount]) -> list[str]:
    left_out = dict(sorted(left_out.items()))
    first = _word("!" + next(iter(left_out)))
    return [f"not copied (earlier runs wrote it): {_listed(left_out)}; to copy one all the same: exclude: [{first}]"]


def _linked(files: Sequence[File]) -> str:
    shown = listed([f"{file.name} ({size_text(file.size)})" for file in files], _NAMED)
    keep = "changes to it reach later trials; keep it where it is"
    if len(files) > 1:
        keep = "changes to them reach later trials; keep them where they are"
    return f"linked, not copied, for {'their' if len(files) > 1 else 'its'} size: {shown}: {keep}"


def _maybe(found: Found) -> list[str]:
    """What an earlier run may have written, or a script may need: it stays in."""
    folders = [name for name, _ in found.folders if ignore.maybe_of_a_run(name, True)]
    tops = {name for name in folders if not any(name.startswith(f"{other}/") for other in folders)}
    amounts: dict[str, Amount] = {f"{name}/": Amount() for name in tops}
    code: set[str] = set()
    patterns: dict[str, str] = {}
    for file in found.files:
        parent = file.name.rpartition("/")[0]
        while parent and parent not in tops:
            parent = parent.rpartition("/")[0]
        if parent:
            title, pattern = f"{parent}/", ignore.maybe_of_a_run(parent, True)
            if file.name.lower().endswith(ignore.CODE):
                code.add(title)
        else:
            title, pattern = file.name, ignore.maybe_of_a_run(file.name, False)
        if pattern is not None:
            amounts.setdefault(title, Amount()).add(file.size)
            patterns[title] = pattern
    order = sorted(amounts, key=lambda title: (not title.endswith("/"), title))
    shown = {title: amounts[title] for title in order if amounts[title].files and title not in code}
    if not shown:
        return []
    words = ", ".join(_word(pattern) for pattern in dict.fromkeys(patterns[title] for title in shown))
    return [f"perhaps of earlier runs, and seen by every trial: {_listed(shown)}; to leave it out: exclude: [{words}]"]


def _listed(amounts: Mapping[str, Amount]) -> str:
    return listed([f"{title} ({amount})" for title, amount in amounts.items()], _NAMED)


def _word(pattern: str) -> str:
    """A pattern as it can stand in a YAML list."""
    return pattern if pattern.replace("/", "").replace("_", "").replace("-", "").isalnum() else json.dumps(pattern)


# -- why there is no copy ----------------------------------------------------------------------------------------------


def refused(text: str) -> SpecError:
    return SpecError([Problem("model_dir", text)])


def unreadable(path: str, error: OSError) -> SpecError:
    return refused(
        f"{path} cannot be read ({error.strerror}); mend that, or leave it out with exclude: or a .hpoignore"
    )


def too_much(files: list[File]) -> str:
    """Which folders hold most of the files, and what to do."""
    largest = _largest(files)
    if not largest:
        return "leave files out with exclude: or a .hpoignore, or keep data elsewhere and name it with data_dir:"
    shown = ", ".join(f"{name}/ ({amount})" for name, amount in largest)
    pattern = ", ".join(f'"/{name}/"' if " " in name or "," in name else f"/{name}/" for name, _ in largest)
    return (
        f"the largest folders: {shown}; leave out what trials do not need, as in exclude: [{pattern}] or a .hpoignore "
        "(data can be named with data_dir:)"
    )


def _largest(files: list[File]) -> list[tuple[str, Amount]]:
    """Up to three folders that hold most, none in another, by their share of the files and of the bytes."""
    amounts: dict[str, Amount] = {}
    whole = Amount()
    for file in files:
        whole.add(file.size)
        folder = file.name.rpartition("/")[0]
        while folder:
            amounts.setdefault(folder, Amount()).add(file.size)
            folder = folder.rpartition("/")[0]

    def share(name: str) -> float:
        amount = amounts[name]
        return max(amount.files / max(1, whole.files), amount.size / max(1, whole.size))

    chosen: list[str] = []
    children: dict[str, list[str]] = {}
    for name in amounts:
        children.setdefault(name.rpartition("/")[0], []).append(name)
    for top in children.get("", ()):
        name = top
        while (below := max(children.get(name, ()), key=share, default="")) and share(below) > 0.9 * share(name):
            name = below
        chosen.append(name)
    chosen.sort(key=share, reverse=True)
    return [(name, amounts[name]) for name in chosen[:_LARGEST] if share(name) > 0.02]
