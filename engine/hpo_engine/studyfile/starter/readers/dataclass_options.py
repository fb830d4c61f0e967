"""Scripts whose options are the fields of dataclasses: Hugging Face's HfArgumentParser, simple-parsing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from hpo_engine.studyfile.starter.annotations import Annotations
from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.readers.options import form_of
from hpo_engine.studyfile.starter.syntax import imports, keywords_of, literal, name_of

_TRAINING_ARGUMENTS = ("TrainingArguments", "Seq2SeqTrainingArguments", "SFTConfig", "DPOConfig", "RewardConfig")
_WELL_KNOWN: tuple[Parameter, ...] = (
    Parameter("learning_rate", 5e-05, float),
    Parameter("per_device_train_batch_size", 8, int),
    Parameter("weight_decay", 0.0, float),
    Parameter("warmup_steps", 0, int),
    Parameter("lr_scheduler_type", "linear", str, ("linear", "cosine", "constant_with_warmup")),
    Parameter("label_smoothing_factor", 0.0, float),
    Parameter("max_grad_norm", 1.0, float),
    Parameter("num_train_epochs", 3.0, float),
    Parameter("gradient_accumulation_steps", 1, int),
    Parameter("seed", 42, int),
)


def read(script: Script) -> Reading | None:
    """The options of all dataclasses that a parser of the script is given."""
    annotations, found = Annotations(script), Collector()
    manner = ""
    for node in script.nodes:
        if not isinstance(node, ast.Call):
            continue
        kind = _manner(node, script)
        for name in _classes(node) if kind else ():
            manner = manner or kind
            definition = annotations.classes.get(name)
            bases = [name_of(base) for base in definition.bases] if definition else []
            if definition is not None:
                for parameter in _fields(definition, annotations):
                    found.add(parameter)
            if name in _TRAINING_ARGUMENTS or any(base in _TRAINING_ARGUMENTS for base in bases):
                _add_training_arguments(found)
    return Reading(manner, found.parameters(), form=form_of(found.parameters())) if found else None


def _manner(node: ast.Call, script: Script) -> str:
    name = name_of(node.func)
    if name in ("HfArgumentParser", "TrlParser"):
        return "HfArgumentParser"
    if name in ("add_arguments", "parse") and imports(script.nodes, "simple_parsing"):
        return "simple-parsing"
    return ""


def _classes(node: ast.Call) -> Iterator[str]:
    """The classes in HfArgumentParser((ModelArguments, TrainingArguments)) and add_arguments(Options, "options")."""
    given = [*node.args[:1], *(v for k, v in keywords_of(node).items() if k in ("dataclass_types", "config_class"))]
    for value in given:
        for item in value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]:
            if (name := name_of(item)) is not None:
                yield name


def _fields(definition: ast.ClassDef, annotations: Annotations) -> Iterator[Parameter]:
    for name, annotation, default, line in annotations.fields(definition):
        parameter = annotations.described(Parameter(name, option=f"--{name}", line=line), annotation, default)
        if isinstance(default, ast.Call) and name_of(default.func) in ("field", "Field", "choice"):
            keywords = keywords_of(default)
            metadata = literal(keywords.get("metadata"))
            choices = metadata.get("choices", ()) if isinstance(metadata, dict) else ()
            known = "default" in keywords or "default_factory" in keywords or bool(default.args)
            parameter = replace(
                parameter, choices=parameter.choices or tuple(choices), required=not known,
                many=parameter.many or "default_factory" in keywords,
            )  # fmt: skip
        yield parameter


def _add_training_arguments(found: Collector) -> None:
    """What people set of Hugging Face's TrainingArguments; output_dir has to be given in most versions."""
    found.add(Parameter("output_dir", None, str, required=True, option="--output_dir"))
    for parameter in _WELL_KNOWN:
        found.add(replace(parameter, option=f"--{parameter.name}"))
