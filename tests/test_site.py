"""The manual as a site: it builds without a warning, and its links lead to pages of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    home = (tmp_path / "index.html").read_text()
    assert not [url for url in re.findall(r'<(?:link|script|img)[^>]*(?:href|src)="(.*?)"', home) if "//" in url]
    shown = tmp_path / "examples" / "lightning_argparse" / "train.py" / "index.html"
    assert "add_argument" in shown.read_text() and 'href="examples/lightning_argparse/train.py/"' in home
