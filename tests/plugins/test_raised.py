"""What a plugin raised is one line that names the plugin's file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_engine.plugins.loader import load_class
from hpo_engine.plugins.raised import by_plugin, described


def raised(folder: Path, body: str) -> BaseException:
    (folder / "mine.py").write_text(f"import json\n\n\ndef Mine():\n    {body}\n")
    with pytest.raises(BaseException) as caught:
        load_class("mine.py:Mine", str(folder))()
    return caught.value


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("raise ValueError('no')", "ValueError: no (mine.py:5)"),
        ("raise ValueError('no\\n  and no\\nand no')", "ValueError: no ... (mine.py:5)"),
        ("raise ValueError('\\n\\n')", "ValueError (mine.py:5)"),
        ("raise ValueError('x' * 1000)", f"ValueError: {'x' * 300} ... (mine.py:5)"),
        ("raise SystemExit(3)", "SystemExit: 3 (mine.py:5)"),
        ("json.loads('')", "JSONDecodeError: Expecting value: line 1 column 1 (char 0) (mine.py:5)"),
    ],
)
def test_the_line_of_the_plugin_is_named_wherever_the_error_was_raised(tmp_path: Path, body: str, line: str) -> None:
    error = raised(tmp_path, body)
    assert described(error) == line and by_plugin(error)


def test_missing_class_is_told_without_the_name_that_the_module_has_here(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Climb: pass\n")
    with pytest.raises(AttributeError) as caught:
        load_class("mine.py:Climp", str(tmp_path))
    assert described(caught.value) == 'AttributeError: no class Climp; did you mean "Climb"?'
    assert not by_plugin(caught.value)
