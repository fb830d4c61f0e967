"""What the user is told of the copy of the script's folder: what is not in it, and what perhaps should not be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from hpo_engine.contract.snapshot import ignore
from hpo_engine.contract.snapshot.survey import Amount, File, Found, size_text

_NAMED = 4
_MOST_KEYS = 4


def notes(found: Found) -> list[str]:
    """One line on each thing that somebody should know who did not look into the folder himself."""
    return [
        *(_left_out(found.left_out) if found.left_out else ()),
        *(
            [f"left out by exclude or a .hpoignore: {_listed(dict(sorted(found.excluded.items())))}"]
            if found.excluded
            else ()
        ),
        *([_linked(found.linked)] if found.linked else ()),
        *_maybe(found),
        *(f"exclude: {_word(text)} matches nothing in model_dir" for text in found.unused),
    ]


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
    keys = ", ".join(missing[:_MOST_KEYS]) + (
        f" and {len(missing) - _MOST_KEYS} more" if len(missing) > _MOST_KEYS else ""
    )
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"config.json of model_dir is not used: {keys} {verb} missing in the trials' config.json, which holds only the "
        "study's parameters; to start from it: base_config: config.json"
    )


def _left_out(left_out: Mapping[str, Amount]) -> list[str]:
    left_out = dict(sorted(left_out.items()))
    first = _word("!" + next(iter(left_out)))
    return [f"not copied (earlier runs wrote it): {_listed(left_out)}; to copy one all the same: exclude: [{first}]"]


def _linked(files: Sequence[File]) -> str:
    shown = [f"{file.name} ({size_text(file.size)})" for file in files[:_NAMED]]
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    keep = "changes to it reach later trials; keep it where it is"
    if len(files) > 1:
        keep = "changes to them reach later trials; keep them where they are"
    return f"linked, not copied, for {'their' if len(files) > 1 else 'its'} size: {', '.join(shown)}{more}: {keep}"


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
    shown = [f"{title} ({amount})" for title, amount in list(amounts.items())[:_NAMED]]
    return ", ".join(shown) + (f" and {len(amounts) - _NAMED} more" if len(amounts) > _NAMED else "")


def _word(pattern: str) -> str:
    """A pattern as it can stand in a YAML list."""
    return pattern if pattern.replace("/", "").replace("_", "").replace("-", "").isalnum() else json.dumps(pattern)
