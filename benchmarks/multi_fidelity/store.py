"""Results on disk: for each tool, number of workers and way of promotion one JSON file of its incumbents.

A file is void when the searcher proposes something else than before, or the package's version changes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
Steps = list[tuple[float, float]]


def path_of(word: str, workers: int, carry: bool, folder: Path = RESULTS) -> Path:
    return folder / f"{word.replace(':', '_')}.w{workers}.{'carry' if carry else 'anew'}.json"


def read(word: str, workers: int, carry: bool, folder: Path = RESULTS) -> dict[str, dict[int, Steps]]:
    """Task -> seed -> incumbents."""
    path = path_of(word, workers, carry, folder)
    if not path.exists():
        return {}
    runs = json.loads(path.read_text())["runs"]
    return {
        name: {int(seed): [tuple(s) for s in steps] for seed, steps in seeds.items()} for name, seeds in runs.items()
    }


def write(word: str, workers: int, carry: bool, runs: dict[str, dict[int, Steps]], folder: Path = RESULTS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f'"{name}": {{'
        + ", ".join(f'"{seed}": {json.dumps(steps, separators=(",", ":"))}' for seed, steps in sorted(seeds.items()))
        + "}"
        for name, seeds in sorted(runs.items())
    ]
    path = path_of(word, workers, carry, folder)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text(f'{{"tool": {json.dumps(word)}, "runs": {{\n' + ",\n".join(lines) + "\n}}\n")
    os.replace(aside, path)


def name_of(path: Path) -> str:
    """The tool whose results a file has."""
    return str(json.loads(path.read_text())["tool"])
