"""Hooks of mkdocs: the site has the project's own layout, so that the links of a page lead the same way on it.

    mkdocs build --strict

Pages are the README, the manual, and the pages of examples and benchmarks. A file that one of them links to (a script,
a study file, a notebook) becomes a page that shows it; a link to a folder leads to the README in it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import File, Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["*.md", "docs/*.md", "examples/**/README.md", "benchmarks/**/*.md"]
AS_THEY_ARE = {".svg", ".png", ".html"}
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".sh": "sh", ".c": "c", ".js": "js"}
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    from mkdocs.structure.files import File, Files

    def placed(path: str) -> File:
        return File(path, str(ROOT), config.site_dir, config.use_directory_urls)

    own = [file for file in files if file.src_dir != config.docs_dir]  # the theme's
    pages = [str(page.relative_to(ROOT)) for pattern in PAGES for page in sorted(ROOT.glob(pattern))]
    linked = sorted({path for page in pages for path in _linked(page)} - {*pages})
    shown = [path for path in linked if Path(path).suffix not in AS_THEY_ARE]
    return Files([
        *own,
        *map(placed, pages),
        *(placed(path) for path in linked if path not in shown),
        *(File.generated(config, f"{path}.md", content=_as_page(path)) for path in shown),
    ])  # fmt: skip


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links to files and folders to their pages; those in code are left alone."""
    if page.file.generated_by:
        return markdown

    def led(match: re.Match[str]) -> str:
        return f"{match[1]}{_led(match[2], page.file.src_uri)}{match[3]}"

    parts = _CODE.split(markdown)
    parts[::2] = [_LINK.sub(led, part) for part in parts[::2]]
    return "".join(parts)


def _led(target: str, page: str) -> str:
    path = _path(target, page)
    name, mark, anchor = target.partition("#")
    if path is None:
        return target
    if (ROOT / path).is_dir():
        return f"{name.rstrip('/')}/README.md{mark}{anchor}"
    return target if Path(path).suffix in {".md", *AS_THEY_ARE} else f"{name}.md{mark}{anchor}"


def _linked(page: str) -> Iterator[str]:
    """The files of the project that a page links to, relative to its root."""
    text = _CODE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for match in _LINK.finditer(text):
        path = _path(match[2], page)
        if path is not None and (ROOT / path).is_file():
            yield path


def _path(target: str, page: str) -> str | None:
    """What a link of a page leads to in the project; None: it leads elsewhere, or to the page itself."""
    name = target.partition("#")[0]
    if not name or re.match(r"[a-z]+:", target):
        return None
    return os.path.normpath(os.path.join(os.path.dirname(page), name))


def _as_page(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".ipynb"):
        return "\n\n".join(_cell(cell) for cell in json.loads(text)["cells"])
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"# {path}\n\n~~~~~~{language}\n{text}\n~~~~~~\n"


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    return source if cell["cell_type"] == "markdown" else f"~~~~~~python\n{source}\n~~~~~~"
