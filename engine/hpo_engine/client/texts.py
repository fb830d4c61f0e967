"""A study file as it is sent to a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo_engine.study.spec import StudySpec


def sent_text(text: str, file: str, spec: StudySpec, given: Mapping[str, int | None], seed: int | None) -> str:
    """The study file with the study's name in it, the limits that were given beside it, and without `model_dir`, which
    is the folder that is sent with it.

    Args:
        file: what messages call it. spec: what the text says, with `given` and `seed`.
    """
    from hpo_engine.studyfile import document
    from hpo_engine.studyfile.common import is_wmla
    from hpo_engine.studyfile.edits import rewritten

    read = document.read_document(text, file)
    data: dict[str, Any] = dict(read.data)
    limits = {key: value for key, value in given.items() if value is not None}
    if is_wmla(data):
        algorithm = dict(data.get("algoDef") or {})
        algorithm |= {_WMLA[key]: value for key, value in limits.items() if key in _WMLA}
        if seed is not None:
            others = [
                each for each in algorithm.get("algoParams") or [] if str(each.get("name")).lower() != "randomseed"
            ]
            algorithm["algoParams"] = [*others, {"name": "RandomSeed", "value": str(seed)}]
        data |= {"hpoName": spec.name, "algoDef": algorithm}
    else:
        if spec.counts_runs and "trials" in limits:
            limits = {"runs": limits.pop("trials"), **limits}
        data |= {"name": spec.name, **limits, **({} if seed is None else {"seed": seed})}
        data.pop("model_dir", None)
    return text if data == read.data else rewritten(read, text, data)


_WMLA = {"trials": "maxJobNum", "runs": "maxJobNum", "parallel": "maxParalleJobNum"}
