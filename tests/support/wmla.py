"""Requests in the WMLA dialect to parse."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.errors import SpecError
from hpo_engine.study.spec import StudySpec
from hpo_engine.studyfile import wmla
from hpo_engine.studyfile.document import read_document

ARGS = "--exec-start PyTorch --model-main train.py --model-dir model"


LR = {"name": "lr", "type": "Range", "dataType": "double", "minDbVal": 0, "maxDbVal": 1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "train.py").write_text("")
    return tmp_path


def request(*, args: str = ARGS, algo: Any = (), params: Any = (LR,), **top: Any) -> dict[str, Any]:
    """A small request; `algo` changes its algoDef."""
    algo_def = {"algorithm": "Random", "objectiveMetric": "loss", "objective": "minimize", **dict(algo)}
    return {"hpoName": "h", "modelSpec": {"args": args}, "algoDef": algo_def, "hyperParams": list(params), **top}


def parse(data: Any, folder: Path, **options: Any) -> StudySpec:
    options = {"env": {}, "user": "ann", **options}
    document = read_document(json.dumps(data, indent=1), "algo.json")
    assert wmla.is_request(document)
    return wmla.parse_request(document, base_dir=str(folder), **options)


def problems(data: Any, folder: Path, **options: Any) -> list[str]:
    with pytest.raises(SpecError) as error:
        parse(data, folder, **options)
    return [re.sub(r"^algo\.json:\d+: ", "", line) for line in str(error.value).split("\n")]


TPE = {"n_startup": 20, "ei_candidates": 24, "good_ratio": 0.25, "good_max": 25}


BAYES = {"n_startup": 10, "cube_size": 10_000, "noiseless": True}


def algo_params(**values: Any) -> dict[str, Any]:
    return {"algoParams": [{"name": name, "value": value} for name, value in values.items()]}


def experiment(number: int, **values: Any) -> dict[str, Any]:
    types = {int: "int", float: "double", str: "str"}
    entries = [{"name": n, "dataType": types[type(v)], "fixedVal": str(v)} for n, v in values.items()]
    return {"id": number, "hyperParams": entries}


HB = {"algorithm": "Hyperband"}
