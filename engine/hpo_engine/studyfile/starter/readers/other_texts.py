"""Scripts in other languages, and Python that cannot be parsed: what patterns find."""

from __future__ import annotations

import re

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script

_HOLDER = re.compile(r"(?<!\w)([A-Za-z_]\w{0,100})\s*(?::?=|<-)[^\n]{0,200}config\.json")
_METHODS = {"get", "keys", "values", "items", "has", "map", "forEach", "length", "entries", "toString", "json", "yaml"}


def read(script: Script) -> Reading | None:
    if script.tree is not None:
        return None
    found = Collector()
    for holder in dict.fromkeys(_HOLDER.findall(script.text)):
        uses = re.findall(rf"""\b{holder}(?:\.|\$|\[\s*[:"']?)\s*([A-Za-z_]\w{{0,60}})(?!\w|\()""", script.text)
        for name in uses:
            if name not in _METHODS:
                found.add(Parameter(name))
    return Reading("config.json", found.parameters()) if found or "config.json" in script.text else None
