"""One HTML file that shows a study: its figures, its winner, all its trials. It needs no server and asks for nothing.

Plotly's script and the data are in it compressed, and unpacked by the reader's browser. A policy in the page forbids it
every request, and every script but its own ones.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import lru_cache
from importlib.resources import files

from hpo_engine.errors import EngineError
from hpo_engine.reports.figures import MISSING
from hpo_engine.reports.page import data, sections
from hpo_engine.reports.page.sections import Moment
from hpo_engine.study.history import History
from hpo_engine.version import __version__

_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""`unsafe-eval`: Plotly compiles the shaders of some figures. It reads nothing that is not in the page."""


def page(history: History, moment: Moment, *, theme: str = "", only: str | None = None) -> str:
    """The file's content.

    Args:
        moment: what is known beside the history.
        only: the one figure to draw (None: all).
        theme: light, dark, or "": as the reader's system has it, and a button changes it.

    Raises:
        NothingToShow: there is nothing in the only figure. EngineError: Plotly is missing.
    """
    figures, missing = data.drawings(history, only)
    packed = _packed(data.of(history, figures).encode())
    # A nonce that nobody knows who only writes into the study: it depends on all of it. The same study, the same file.
    nonce = base64.b64encode(hashlib.sha256(packed).digest()[:18]).decode()
    fixed = f' data-fixed="{theme}" data-theme="{theme}"' if theme else ""
    return "\n".join([
        "<!doctype html>",
        f'<html lang="en"{fixed}><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY.format(nonce=nonce)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta name="generator" content="hpo-engine {__version__}">',
        f"<title>{sections.text(history.spec.name)} – hpo-engine</title>",
        f"<style>{_asset('page.css')}</style></head><body>",
        *sections.body(history, moment, list(figures), missing),
        f'<script type="text/plain" id="plotly">{_plotly()}</script>',
        f'<script type="text/plain" id="data">{packed.decode()}</script>',
        f'<script nonce="{nonce}">{_asset("page.js")}</script>',
        "</body></html>\n",
    ])  # fmt: skip


def _packed(content: bytes) -> bytes:
    return base64.b64encode(gzip.compress(content, 6, mtime=0))


@lru_cache(maxsize=1)
def _plotly() -> str:
    try:
        script = files("plotly").joinpath("package_data").joinpath("plotly.min.js").read_bytes()
    except ModuleNotFoundError as error:
        raise EngineError(MISSING) from error
    return _packed(script).decode()


def _asset(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
