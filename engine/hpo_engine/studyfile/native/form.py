"""The fields of the native study file as pydantic models: what each may hold, its default, and what it means.

The descriptions are the reference: the JSON Schema shows them, and so do messages about missing fields. Nothing here
looks at the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from hpo_engine.plugins.card import Card, Option
from hpo_engine.space.params import Choice, Constant, Float, Int, Param
from hpo_engine.stoppers import AlikeStopper, RankStopper
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import RANK, Named, StudySpec, TrialPolicy
from hpo_engine.studyfile.native import values

_Json = dict[str, Any]


class _Is:
    """A field's check (it raises ValueError in plain words) and the field's JSON Schema."""

    def __init__(self, check: Callable[[Any], Any], schema: _Json) -> None:
        self._check, self._schema = check, schema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> _Json:
        return dict(self._schema)


class _OrText:
    """Beside a model's own JSON Schema: the short form as text."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> _Json:
        return {"anyOf": [{"type": "string", "pattern": self._pattern}, handler(schema)]}


class _Or:
    """Beside a model's own JSON Schema: short forms."""

    def __init__(self, *schemas: _Json) -> None:
        self._schemas = schemas

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> _Json:
        return {"anyOf": [*self._schemas, handler(schema)]}


def _or_null(schema: _Json) -> _Json:
    return {"anyOf": [schema, {"type": "null"}]}


_TEXT: _Json = {"type": "string", "minLength": 1}
_NAME: _Json = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"}
_COUNT: _Json = {"type": "integer", "minimum": 1}
_SWITCH: _Json = {"enum": ["on", "off", True, False]}
_GOAL: _Json = {"enum": ["minimize", "maximize", "min", "max", "minimise", "maximise"]}
_SHOWN_AS: _Json = {"enum": [*_GOAL["enum"], "latest", "last"]}
_SCALAR: _Json = {"type": ["string", "number", "boolean"]}
_MAPPING: _Json = {"type": "object"}
_WORDS: _Json = {"anyOf": [_TEXT, {"type": "array", "items": _SCALAR, "minItems": 1}]}
_WORDS_LIST: _Json = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_TIME_TEXT: _Json = {"type": "string", "pattern": r"^\s*([0-9]+(\.[0-9]+)?|([0-9]+(\.[0-9]+)?\s*[A-Za-z]+\s*)+)\s*$"}
_TIME: _Json = {"anyOf": [{"type": "number", "minimum": 0}, _TIME_TEXT]}
_LIMIT: _Json = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, _TIME_TEXT, {"type": "null"}]}
_SIZE: _Json = {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgG]?[bB])\s*$"}
_GPUS: _Json = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {**_COUNT}, {"type": "null"}]}
_TRIALS: _Json = {"anyOf": [_COUNT, {"const": "unlimited"}, {"type": "null"}]}

_Text = Annotated[str, _Is(values.text, _TEXT)]
_OptionalText = Annotated[str | None, _Is(values.text_or_none, _or_null(_TEXT))]
_Count = Annotated[int, _Is(values.whole(1), _COUNT)]
_OptionalCount = Annotated[int | None, _Is(values.whole_or_none, _or_null(_COUNT))]
_Natural = Annotated[int, _Is(values.whole(0), {"type": "integer", "minimum": 0})]
_Limit = Annotated[float | None, _Is(values.limit, _LIMIT)]
_Time = Annotated[float, _Is(values.seconds, _TIME)]
_Mapping = Annotated[dict[str, Any], _Is(values.json_mapping, _MAPPING)]
_Goal = Annotated[str, _Is(values.goal, _GOAL)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


# -- the space -------------------------------------------------------------------------------------------------------


def _any(schema: _Json) -> Any:
    """A field whose value is the search space's business; this gives only its JSON Schema."""
    return _Is(lambda value: value, schema)


_POSITIVE = {"type": "number", "exclusiveMinimum": 0}
_WHEN = {"type": "object", "minProperties": 1}
_Log = Annotated[Any, _any({"type": "boolean"})]
_Step = Annotated[Any, _any(_or_null(_POSITIVE))]
_When = Annotated[Any, _any(_or_null(_WHEN))]
_ABOUT_LOG = "true: uniform in the logarithm, as for learning rates. Default false."
_ABOUT_STEP = "Only the values lowest + k * step, never above highest. Default: none."
_ABOUT_WHEN = "Applies only where other parameters have these values (a list: one of them), as in {optimizer: sgd}."
_ENDS: _Json = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}


class FloatForm(_Form):
    """A real number in a range."""

    ends: Annotated[list[float], _Is(values.ends, _ENDS)] = Field(
        alias="float", description="[lowest, highest], both included.", examples=[[1e-4, 0.1]]
    )
    log: _Log = Field(default=False, description=_ABOUT_LOG)
    step: _Step = Field(default=None, description=_ABOUT_STEP)
    power: _Step = Field(default=None, description="The value is power ** u, and the range and step are those of u.")
    when: _When = Field(default=None, description=_ABOUT_WHEN)

    def param(self, name: str) -> Param:
        low, high = self.ends
        return Float(name, low, high, self.log, self.step, self.power, self.when)


class IntForm(_Form):
    """A whole number in a range."""

    ends: Annotated[list[int], _Is(values.ends, {**_ENDS, "items": {"type": "integer"}})] = Field(
        alias="int", description="[lowest, highest], both included.", examples=[[16, 256]]
    )
    log: _Log = Field(default=False, description=_ABOUT_LOG)
    step: _Step = Field(default=None, description=_ABOUT_STEP)
    power: _Step = Field(default=None, description="The value is power ** u: 2 and [5, 9] give 32, 64, ... 512.")
    when: _When = Field(default=None, description=_ABOUT_WHEN)

    def param(self, name: str) -> Param:
        low, high = self.ends
        return Int(name, low, high, self.log, self.step, self.power, self.when)


class ChoiceForm(_Form):
    """One of some values."""

    choice: Annotated[Any, _any({"type": "array", "minItems": 1})] = Field(
        description="The values: text, numbers, true, false, null, lists.", examples=[["adam", "sgd"]]
    )
    ordered: Annotated[Any, _any({"type": "boolean"})] = Field(
        default=False, description="true: neighbours in the list are alike, as in [32, 64, 128]. Default false."
    )
    when: _When = Field(default=None, description=_ABOUT_WHEN)

    def param(self, name: str) -> Param:
        return Choice(name, self.choice, self.ordered, self.when)


class ConstantForm(_Form):
    """A fixed value, handed to every trial."""

    constant: Annotated[Any, _any({})] = Field(description="Any JSON value.", examples=[5])
    when: _When = Field(default=None, description=_ABOUT_WHEN)

    def param(self, name: str) -> Param:
        return Constant(name, self.constant, self.when)


ENTRIES: dict[str, type[FloatForm] | type[IntForm] | type[ChoiceForm] | type[ConstantForm]] = {
    "float": FloatForm,
    "int": IntForm,
    "choice": ChoiceForm,
    "constant": ConstantForm,
}


def _space_schema() -> _Json:
    entries = [form.model_json_schema(by_alias=True) for form in ENTRIES.values()]
    return {"type": "object", "additionalProperties": {"anyOf": [*entries, _SCALAR]}}


def _space(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must be a mapping of names to parameters, as in {lr: {float: [1e-4, 0.1], log: true}}")
    return value


# -- the study -------------------------------------------------------------------------------------------------------


class ObjectiveForm(_Form):
    """What is searched for."""

    metric: _Text = Field(description="A metric that the script reports.", examples=["loss"])
    goal: _Goal = Field(default="minimize", description="minimize (default) or maximize.")
    over: Annotated[str | None, _Is(values.over, {"enum": ["best", "last"]})] = Field(
        default=None,
        description="A trial counts by its best report (default) or by its last one. With several objectives, at most "
        "one may say best; all values then come from the row in which it is best, else from the last row (default).",
    )

    def objective(self, default_over: str) -> Objective:
        return Objective(self.metric, self.goal, self.over or default_over)


class TrialForm(_Form):
    """What one trial gets, and its limits."""

    cpus: _OptionalCount = Field(
        default=None,
        description="CPU cores of a trial, and its threads. Default: not managed, an equal share of threads.",
        examples=[2],
    )
    gpus: Annotated[float | None, _Is(values.gpus, _GPUS)] = Field(
        default=None,
        description="GPUs per trial; 0.5: two trials share one, 0: hidden. Default: not managed.",
        examples=[1],
    )
    time_limit: _Limit = Field(
        default=None, description='Limit of one run: seconds or text such as "2m". Default: none.', examples=["2m"]
    )
    on_time_limit: Annotated[str, _Is(values.on_time_limit, {"enum": ["fail", "keep"]})] = Field(
        default="fail",
        description="A run that its time limit ends: fail (default), or keep: what it has reported counts.",
        examples=["keep"],
    )
    retries: _Natural = Field(default=0, description="How often a failed run is repeated. Default 0.", examples=[1])
    grace: _Time = Field(default=10.0, description='Time between SIGTERM and SIGKILL. Default "10s".', examples=["30s"])
    log_limit: Annotated[float, _Is(values.megabytes, _SIZE)] = Field(
        default=16.0, description='Output kept of one run. Default "16MB".', examples=["16MB"]
    )
    preload: Annotated[str | list[str], _Is(values.preload, _WORDS_LIST)] = Field(
        default="auto",
        description="Do a Python script's imports once, before its trials start: auto (those at the top of the "
        "script), off, or a list of modules. Default auto.",
        examples=["off", ["torch", "lightning"]],
    )

    def policy(self) -> TrialPolicy:
        preload = self.preload if isinstance(self.preload, str) else tuple(self.preload)
        return TrialPolicy(self.time_limit, self.retries, self.grace, self.log_limit, preload, self.on_time_limit)


def _option_schema(option: Option) -> _Json:
    kinds = {int: "integer", float: "number", bool: "boolean", str: "string"}
    schema: _Json = {"type": kinds[option.kind]}
    if option.least is not None:
        schema["exclusiveMinimum" if option.above else "minimum"] = option.least
    if option.most is not None:
        schema["maximum"] = option.most
    schema = {"anyOf": [schema, {"enum": ["off", False, None]}]} if option.off else schema
    return {**schema, "default": option.default, "description": f"{option.about[:1].upper()}{option.about[1:]}."}


def _with_options(card: Card) -> Callable[[_Json], None]:
    """Adds a card's options to the JSON Schema of a form that takes them as extra keys."""

    def extend(schema: _Json) -> None:
        schema["properties"] |= {name: _option_schema(option) for name, option in card.options.items()}
        schema["additionalProperties"] = False

    return extend


class EarlyStoppingForm(BaseModel):
    """Ends running trials that are not promising, by what they report while they run."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_with_options(RankStopper.card))

    rule: Annotated[str | None, _Is(values.rule, _or_null({"enum": [RANK]}))] = Field(
        default=RANK, description="rank: compared with the other trials at the same step."
    )
    diverged: Annotated[bool, _Is(values.on_or_off, _SWITCH)] = Field(
        default=True,
        description="End trials whose objective has become nan or infinite and stays so. Default on, in every study.",
        examples=["off"],
    )


class FailuresForm(BaseModel):
    """Stops the study, to be resumed, when its trials fail for the same cause."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_with_options(AlikeStopper.card))


class NamedForm(BaseModel):
    """One that is chosen by name; all other keys are its options."""

    model_config = ConfigDict(extra="allow")

    name: _Text = Field(
        description="A name of this package's, module:Class, or path/file.py:Class.", examples=["stop.py:Plateau"]
    )

    def named(self) -> Named:
        return Named(self.name, dict(self.model_extra or {}))


class ResourceForm(_Form):
    """The resource that hyperband, asha and bohb distribute."""

    name: _Text = Field(description="The resource's name in config.json.", examples=["epochs"])
    max: _Count = Field(description="The most that one trial gets.", examples=[27])
    min: _Count = Field(default=1, description="The least that one trial gets. Default 1.", examples=[3])


_Named = Annotated[NamedForm, BeforeValidator(values.named), _Or(_TEXT)]
_Objective = Annotated[
    ObjectiveForm,
    BeforeValidator(values.objective),
    _OrText(r"^\s*([Mm][Ii][Nn]|[Mm][Aa][Xx])([Ii][Mm][Ii][SsZz][Ee])?\s+\S"),
]


class StudyForm(_Form):
    """A study: which script to run, what to tune, how long to search."""

    name: Annotated[str | None, _Is(values.name, _NAME)] = Field(
        default=None,
        description="The study's name. Default: that of the file, or of its folder for algo.yaml.",
        examples=["digits"],
    )
    command: Annotated[list[str], _Is(values.argv, _WORDS)] = Field(
        description="The command that runs one trial: text, split as a shell would (no shell runs), or a list.",
        examples=["python train.py --epochs 5"],
    )
    model_dir: _Text = Field(
        default=".", description="The script's folder, relative to this file. Default: the folder of this file."
    )
    exclude: Annotated[list[str], _Is(values.patterns, _WORDS_LIST)] = Field(
        default_factory=list,
        description="Files of model_dir that trials do not get: patterns as in a .gitignore; a .hpoignore does "
        "the same.",
        examples=[["checkpoints/", "*.ckpt"]],
    )
    base_config: _OptionalText = Field(
        default=None,
        description="A JSON file of model_dir that each config.json begins with; parameters override its keys.",
        examples=["config.json"],
    )
    objective: _Objective | None = Field(
        default=None,
        description='The metric to optimise: {metric: loss, goal: minimize}, or short "minimize loss".',
        examples=["minimize loss"],
    )
    objectives: Annotated[list[_Objective] | None, BeforeValidator(values.objectives)] = Field(
        default=None,
        description="Two or more metrics to optimise together, in place of objective; the result is a Pareto front.",
        examples=[["minimize loss", "minimize size"]],
        min_length=2,
        max_length=values.MOST_OBJECTIVES,
    )
    algorithm: _OptionalText = Field(
        default=None,
        description="auto (default), tpe, bayesian, hyperband, random, grid ..., module:Class, or path/file.py:Class.",
        examples=["tpe"],
    )
    options: _Mapping = Field(
        default_factory=dict, description="Options of the algorithm; seed makes it repeatable.", examples=[{"seed": 1}]
    )
    trials: Annotated[int | None, _Is(values.trials, _TRIALS)] = Field(
        default=None, description="Trials in all, or unlimited. Default 20; for grid all points.", examples=[30]
    )
    parallel: _Count = Field(default=1, description="Trials at a time. Default 1.", examples=[2])
    time_limit: _Limit = Field(
        default=None,
        description='Limit of the study: seconds or text such as "1h30m". Default: none.',
        examples=["10m"],
    )
    trial: TrialForm = Field(default_factory=TrialForm, description="Resources and limits of one trial.")
    early_stopping: (
        Annotated[EarlyStoppingForm, BeforeValidator(values.early_stopping), _Or({"enum": ["rank", "off", False]})]
        | None
    ) = Field(
        default=None,
        description="End running trials that are not promising: rank, or {rule: rank, keep: 0.5}. Default: only those "
        "that have diverged; off: not even those.",
        examples=["rank"],
    )
    failures: Annotated[FailuresForm, BeforeValidator(values.failures), _Or({**_COUNT}, {"enum": ["off", False]})] = (
        Field(
            default_factory=FailuresForm,
            description="Stop the study when its trials fail for the same cause: {first: 3, in_a_row: 10} (default), a "
            "number (first), or off.",
            examples=["off", {"first": 5}],
        )
    )
    stop: list[_Named] = Field(
        default_factory=list,
        description="More rules that end trials or the study early, your own too: names, or {name: ..., OPTION: ...}.",
        examples=[["stop.py:Plateau"], [{"name": "stop.py:Plateau", "patience": 3}]],
    )
    trackers: list[_Named] = Field(
        default_factory=lambda: [NamedForm(name=tracker.name) for tracker in StudySpec.trackers],
        description="What follows the study beside the console, as in stop. Default [tensorboard].",
        examples=[["tensorboard", "track.py:Sheet"]],
    )
    resource: ResourceForm | None = Field(
        default=None,
        description="The resource that hyperband, asha and bohb distribute, as in {name: epochs, max: 27}; others give "
        "the max.",
    )
    space: Annotated[dict[str, Any] | None, _Is(_space, _space_schema())] = Field(
        default=None,
        description="The parameters: {float: [low, high], log: true}, {int: [low, high]}, {choice: [...]}, or a value.",
        examples=[{"lr": {"float": [1e-4, 0.1], "log": True}}],
    )
    experiments: list[_Mapping] = Field(
        default_factory=list,
        description="Parameter sets to run instead of a search, each as it is.",
        examples=[[{"lr": 0.1}]],
    )
    require: Annotated[list[str] | str, _Is(values.rules, _WORDS_LIST)] = Field(
        default_factory=list,
        description="Rules between parameters that every trial fulfils: a text or a list of them.",
        examples=["hidden2 <= hidden1"],
    )
    points: list[_Mapping] = Field(
        default_factory=list,
        description="Parameter sets to try first; what one leaves out is filled in.",
        examples=[[{"lr": 0.001}]],
    )
    warm_start: Annotated[list[str], _Is(values.study_names, _WORDS_LIST)] = Field(
        default_factory=list,
        description="Earlier studies that inform this one: names under the same root, or paths; spaces may differ.",
        examples=[["digits"]],
    )
    metrics: dict[str, Annotated[str, _Is(values.shown_as, _SHOWN_AS)]] = Field(
        default_factory=dict,
        description="Metrics to show beside the objective, by best or latest value.",
        examples=[{"accuracy": "maximize"}],
    )
    env: dict[str, Annotated[str, _Is(values.env_text, _SCALAR)]] = Field(
        default_factory=dict, description="Environment variables of the trials.", examples=[{"TOKENIZERS": "0"}]
    )
    data_dir: _OptionalText = Field(
        default=None, description="The trials' DATA_DIR, relative to this file. Default: none.", examples=["data"]
    )
    data_root: _OptionalText = Field(
        default=None, description="The trials' DLI_DATA_FS, relative to this file. Default: data_dir."
    )
    interpreter: _OptionalText = Field(
        default=None,
        description='What "python" in command means. Default: the Python of the shell.',
        examples=["venv/bin/python"],
    )
    submitted_code: Annotated[str | None, _Is(values.name, _or_null(_NAME))] = Field(
        default=None,
        description="For scripts of WMLA that look for themselves in RESULT_DIR/_submitted_code/NAME: that NAME.",
    )
    dialect: _Mapping = Field(
        default_factory=dict,
        description="Other fields of a WMLA request: kept with the study, not used.",
    )


PARTS: dict[str, type[BaseModel]] = {
    "objective": ObjectiveForm,
    "objectives": ObjectiveForm,
    "trial": TrialForm,
    "early_stopping": EarlyStoppingForm,
    "stop": NamedForm,
    "trackers": NamedForm,
    "resource": ResourceForm,
}


def names(model: type[BaseModel]) -> Iterable[str]:
    """The fields of a model as the file spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]
