"""Draws docs/submit.svg: what `hpo-engine submit` showed of a real study at one moment of it.

    python docs/picture.py hpo-runs/digits 23.25 docs/submit.svg     # 23.25 seconds after it began

Reads the study's event log up to that moment and gives it to the same function that draws on a terminal.
"""

from __future__ import annotations

import io
import re
import sys

from rich.console import Console
from rich.text import Text

from hpo_engine.store.journal import Journal
from hpo_engine.study.events import fold
from hpo_engine.trackers.display import display

COLUMNS, LINES = 112, 24


def main(folder: str, seconds: str, target: str) -> None:
    journal = Journal(f"{folder}/study.db")
    events = journal.read()
    journal.close()
    now = events[0].at + float(seconds)
    history = fold([event for event in events if event.at <= now])
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text("$ hpo-engine submit examples/digits/algo.yaml", style="dim"))
    console.print(display(history, now, COLUMNS, LINES))
    picture = console.export_svg(title="hpo-engine", unique_id="submit")
    # A picture in a page may load no font from the web; any fixed-width one will do.
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    picture = re.sub(r"\s*<!--.*?-->", "", picture, flags=re.DOTALL)
    with open(target, "w", encoding="utf-8") as file:
        file.write(picture.replace("Fira Code,", "'DejaVu Sans Mono', Menlo, Consolas,"))


if __name__ == "__main__":
    main(*sys.argv[1:])
