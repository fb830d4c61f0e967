"""What `stop` may hold: names, texts with options, mappings; on the command line the text alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_engine import assembly
from hpo_engine.errors import SpecError
from hpo_engine.study.spec import GUARDS, Named, StudySpec
from hpo_engine.studyfile import named, native
from hpo_engine.studyfile.document import dump, read_document

STUDY = "command: [cat]\nobjective: minimize loss\nspace: {x: {float: [0, 1]}}\n"
PLATEAU = """\
from hpo_engine.stoppers import Rule


class Plateau(Rule):
    def __init__(self, spec, *, after=2, metric="loss", options=None):
        self.after, self.metric, self.options = after, metric, options
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my rules").mkdir()
    for name in ("stop.py", "my rules/stop.py"):
        (tmp_path / name).write_text(PLATEAU)
    return tmp_path


def loaded(folder: Path, more: str) -> StudySpec:
    (folder / "algo.yaml").write_text(STUDY + more)
    return assembly.load_spec(str(folder / "algo.yaml"), {"PATH": "/bin:/usr/bin"})[0]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("rank", Named("rank")),
        ("[rank]", Named("rank")),
        ("rank keep=0.3 min_rivals=3", Named("rank", {"keep": 0.3, "min_rivals": 3})),
        ("[rank keep=3e-1]", Named("rank", {"keep": 0.3})),
        ("{rank: {keep: 0.3}}", Named("rank", {"keep": 0.3})),
        ("\n  rank:", Named("rank")),
        ("\n  rank:\n    keep: 0.3", Named("rank", {"keep": 0.3})),
        ("\n- rank:\n    keep: 0.3", Named("rank", {"keep": 0.3})),
        ("{name: rank, keep: 0.3}", Named("rank", {"keep": 0.3})),
        ("[{name: rank, options: {keep: 0.3}}]", Named("rank", {"keep": 0.3})),
        ("stop:Plateau after=3", Named("stop:Plateau", {"after": 3})),
        ("stop.py:Plateau after=3 metric='3'", Named("{}/stop.py:Plateau", {"after": 3, "metric": "3"})),
        ("{'stop.py:Plateau': {after: 3}}", Named("{}/stop.py:Plateau", {"after": 3})),
        ("my rules/stop.py:Plateau", Named("{}/my rules/stop.py:Plateau")),
        ("'\"my rules/stop.py:Plateau\" after=3'", Named("{}/my rules/stop.py:Plateau", {"after": 3})),
        ("{name: 'stop.py:Plateau', options: {options: {a: 1}}}", Named("{}/stop.py:Plateau", {"options": {"a": 1}})),
    ],
)
def test_every_way_to_write_a_stopper(written: str, meant: Named, folder: Path) -> None:
    spec = loaded(folder, f"stop: {written}\n")
    meant = Named(meant.name.format(folder), meant.options)
    assert spec.stop == (*GUARDS, meant)
    again = native.parse(dump(native.to_native(spec)), file="x.yaml", base_dir="/nowhere")
    assert again.stop == spec.stop


def test_several_stoppers_keep_their_order(folder: Path) -> None:
    names = [each.name for each in loaded(folder, "stop: {'stop:Plateau': {after: 3}, rank: }\n").stop[len(GUARDS) :]]
    assert names == ["stop:Plateau", "rank"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("stop: rank kep=0.3", '4: stop[0].kep: is not an option of rank; did you mean "keep"?'),
        ("stop: rnk keep=0.3", '4: stop[0]: no stopper "rnk"; did you mean "rank"?'),
        ("stop: {rank: {keep: 2}}", "4: stop[0].keep: must be a number above 0 up to 0.9, not 2"),
        ("stop: rank 0.3 keep=1", '4: stop[0]: "0.3" is not an option; write OPTION=VALUE, as in asha eta=3'),
        ("stop: keep=0.3", "4: stop[0]: begins with the option keep; write the name first"),
        ("stop: rank keep=", '4: stop[0].keep: must be a number above 0 up to 0.9, not ""'),
        ("stop: rank keep=.3 keep=.4", "4: stop[0]: sets keep twice"),
        ("stop: rank keep='.3", "4: stop[0]: cannot be split into words: a quote is not closed"),
        ("stop: ''", "4: stop[0]: is empty; write a name, as in median"),
        ("stop: {'stop.py:Plateau': {name: x}}", "4: stop[0]: stop.py:Plateau cannot have an option called name"),
        ("stop: [rank]\nearly_stopping: rank", '4: stop[0]: "rank" is already listed: early_stopping sets it'),
        ("stop: rank keep=0.3\nearly_stopping: rank", '4: stop[0]: "rank" is already listed: early_stopping sets it'),
        ("stop: [diverged]", '4: stop[0]: "diverged" is already listed: every study has it'),
    ],
)
def test_what_is_wrong_with_a_stopper_is_told_by_field(more: str, told: str, folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(folder, more)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rank kep=0.3", '--stop: kep is not an option of rank; did you mean "keep"?'),
        ("rank keep=2", "--stop: keep must be a number above 0 up to 0.9, not 2"),
        ("rnk", '--stop: no stopper "rnk"; did you mean "rank"?'),
        ("", "--stop: is empty; write a name"),
        ("stop.py:Plato", "--stop: {}/stop.py:Plato cannot be loaded: "),
        ("rank keep=[1", "--stop: keep: not valid YAML"),
    ],
)
def test_a_text_alone_is_checked_in_the_same_way(text: str, told: str, folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        assembly.stopper_named(text, str(folder), "--stop")
    assert told.format(folder) in str(caught.value)


def test_a_text_alone_finds_a_class_below_the_folder(folder: Path) -> None:
    chosen = assembly.stopper_named("stop.py:Plateau after=3", str(folder))
    assert chosen == Named(f"{folder}/stop.py:Plateau", {"after": 3})


scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text("ab ='\"\\#,é", max_size=4)
options = st.dictionaries(
    st.from_regex("[a-z_]{1,5}", fullmatch=True).filter(lambda o: o != "name"), scalars, max_size=3
)


@given(st.from_regex(r"[a-z=/. ]{0,6}\.py:C", fullmatch=True).filter(lambda n: n == n.strip()), options)
def test_the_written_mapping_is_read_back(name: str, options: dict[str, Any]) -> None:
    written = read_document(dump({"stop": named.to_mapping(Named(name, options))}), "x").data["stop"]
    read = named.from_mapping(written) if isinstance(written, dict) else {"name": named.from_text(written).name}
    assert read == {"name": name, **options}


@given(options)
def test_a_quoted_text_is_read_as_it_is(options: dict[str, Any]) -> None:
    words = {option: value for option, value in options.items() if isinstance(value, str)}
    text = " ".join(
        ["x", *(f"{o}='{v.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'" for o, v in words.items())]
    )
    assert named.from_text(text) == Named("x", words)


@given(st.text("ab='\"\\# [{é", max_size=12))
def test_any_text_is_a_name_with_options_or_a_clear_refusal(text: str) -> None:
    try:
        assert named.from_text(text).name
    except ValueError as error:
        assert str(error).strip() and len(str(error).splitlines()) == 1
