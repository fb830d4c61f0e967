"""Draws docs/submit.svg: the terminal at one moment of a real run of the digits example.

    python -m docs.picture                        run the example in a temporary folder (a minute on two cores), draw it
    python -m docs.picture hpo-runs/digits        draw a study that has been run already

The study's event log is read up to that moment and given to the function that draws on a terminal.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from hpo_engine.store.journal import Journal
from hpo_engine.study.events import Event, apply
from hpo_engine.study.history import History
from hpo_engine.trackers.display import display

DOCS = Path(__file__).parent
COLUMNS, LINES = 112, 24
ENDED, ROWS = 8, 3  # the moment: so many trials have ended, and each running one has reported so many rows


def main() -> None:
    if len(sys.argv) > 1:
        draw(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(DOCS.parent / "examples" / "digits", f"{folder}/digits")
        command = [sys.executable, "-m", "hpo_engine.cli", "submit", "digits/algo.yaml", "--quiet"]
        subprocess.run(command, cwd=folder, check=True)
        draw(Path(folder, "hpo-runs", "digits"))


def draw(study: Path) -> None:
    journal = Journal(str(study / "study.db"))
    history, now = moment(journal.read())
    journal.close()
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text("$ hpo-engine submit examples/digits/algo.yaml", style="dim"))
    console.print(display(history, now, COLUMNS, LINES))
    picture = console.export_svg(title="hpo-engine", unique_id="submit")
    # A picture in a page may load no font from the web; any fixed-width one will do.
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    picture = re.sub(r"\s*<!--.*?-->", "", picture, flags=re.DOTALL)
    picture = picture.replace("Fira Code,", "'DejaVu Sans Mono', Menlo, Consolas,")
    (DOCS / "submit.svg").write_text(picture, encoding="utf-8")


def moment(events: Sequence[Event]) -> tuple[History, float]:
    """The first history to be drawn, and its time. Raises ValueError if the study never came to it."""
    history = apply(None, events[0])
    for event in events[1:]:
        history = apply(history, event)
        running = history.running
        full = len(running) == history.spec.resources.parallel
        if history.ended_count >= ENDED and full and all(len(trial.rows) >= ROWS for trial in running):
            return history, event.at
    raise ValueError(f"no moment at which {ENDED} trials had ended and the others had {ROWS} rows")


if __name__ == "__main__":
    main()
