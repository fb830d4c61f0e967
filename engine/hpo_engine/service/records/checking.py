"""The process that checks a study with code of its own, see `owncode`."""

from __future__ import annotations

import json
import sys
from typing import Any

from hpo_engine.errors import SpecError
from hpo_engine.service.records.owncode import ANSWER
from hpo_engine.service.records.uploads import read, spec_of


def check_asked() -> None:
    """Reads what is to be checked from standard input, and prints the result."""
    asked = json.load(sys.stdin)
    try:
        doc = read(asked["text"], asked["file"])
        spec, text = spec_of(
            doc, asked["text"], asked["root"], asked["folder"], user=asked["user"], name=asked["name"], apart=True
        )
        answer: dict[str, Any] = {"spec": spec.to_json(), "text": text}
    except SpecError as error:
        answer = {"problems": [list(problem) for problem in error.problems], "source": error.source}
    print(f"\n{ANSWER}{json.dumps(answer)}", flush=True)
