"""The fields of the native study file as pydantic models: what each may hold, its default, and what it means.

The descriptions are the reference: the JSON Schema shows them, and so do messages about missing fields. Nothing here
looks at the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SkipValidation

from hpo_engine.contract.sources.candidates import ORDER
from hpo_engine.plugins.card import Card, Option
from hpo_engine.space.params import Choice, Constant, Float, Int, Param
from hpo_engine.stoppers import AlikeStopper, RankStopper
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import LOCAL, SOURCES_AUTO, Checkpoints, Named, StudySpec, TrialPolicy
from hpo_engine.studyfile import named
from hpo_engine.studyfile.native import values


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


# -- the space -------------------------------------------------------------------------------------------------------


# The search space checks these itself; here they only get their JSON Schema.
_Flag = SkipValidation[bool]
_Step = SkipValidation[Annotated[float, Field(gt=0)] | None]
_WholeStep = SkipValidation[Annotated[int, Field(gt=0)] | None]
_When = SkipValidation[Annotated[dict[str, Any], Field(min_length=1)] | None]
_ABOUT_LOG = "true: uniform in the logarithm, as for learning rates. Default false."
_ABOUT_STEP = "Only the values lowest + k * step, never above highest. Default: none."
_ABOUT_WHEN = "Applies only where other parameters have these values (a list: one of them), as in {optimizer: sgd}."


class _ParamForm(_Form):
    when: _When = Field(default=None, description=_ABOUT_WHEN)
    arg: values.Text | None = Field(
        default=None, description="What {params} in command writes for the name. Default: --name.", examples=["--lr"]
    )
    was: Any = Field(
        default=None,
        description="For a parameter that is added to a study that exists: the value that the trials so far had; "
        "{outside: VALUE} if it is not in the new range.",
        examples=[0.0, {"outside": 0.0}],
    )


class FloatForm(_ParamForm):
    """A real number in a range."""

    ends: values.FloatRange = Field(
        alias="float", description="[lowest, highest], both included.", examples=[[1e-4, 0.1]]
    )
    log: _Flag = Field(default=False, description=_ABOUT_LOG)
    step: _Step = Field(default=None, description=_ABOUT_STEP)
    power: _Step = Field(default=None, description="The value is power ** u, and the range and step are those of u.")

    def param(self, name: str) -> Param:
        low, high = self.ends
        return Float(name, low, high, self.log, self.step, self.power, self.when)


class IntForm(_ParamForm):
    """A whole number in a range."""

    ends: values.IntRange = Field(alias="int", description="[lowest, highest], both included.", examples=[[16, 256]])
    log: _Flag = Field(default=False, description=_ABOUT_LOG)
    step: _WholeStep = Field(default=None, description=_ABOUT_STEP)
    power: _WholeStep = Field(default=None, description="The value is power ** u: 2 and [5, 9] give 32, 64, ... 512.")

    def param(self, name: str) -> Param:
        low, high = self.ends
        return Int(name, low, high, self.log, self.step, self.power, self.when)


class ChoiceForm(_ParamForm):
    """One of some values."""

    choice: SkipValidation[Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        description="The values: text, numbers, true, false, null, lists.", examples=[["adam", "sgd"]]
    )
    ordered: _Flag = Field(
        default=False, description="true: neighbours in the list are alike, as in [32, 64, 128]. Default false."
    )

    def param(self, name: str) -> Param:
        return Choice(name, self.choice, self.ordered, self.when)


class ConstantForm(_ParamForm):
    """A fixed value, handed to every trial."""

    constant: Any = Field(description="Any JSON value.", examples=[5])

    def param(self, name: str) -> Param:
        return Constant(name, self.constant, self.when)


ENTRIES: dict[str, type[FloatForm] | type[IntForm] | type[ChoiceForm] | type[ConstantForm]] = {
    "float": FloatForm,
    "int": IntForm,
    "choice": ChoiceForm,
    "constant": ConstantForm,
}
_Entry = FloatForm | IntForm | ChoiceForm | ConstantForm | values.Scalar


def _space(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("must be a mapping of names to parameters, as in {lr: {float: [1e-4, 0.1], log: true}}")
    return value


# -- the study -------------------------------------------------------------------------------------------------------


class ObjectiveForm(_Form):
    """What is searched for."""

    metric: values.Text = Field(description="A metric that the script reports.", examples=["loss"])
    goal: values.Goal = Field(default="minimize", description="minimize (default) or maximize.")
    over: values.Over | None = Field(
        default=None,
        description="A trial counts by its best report (default) or by its last one. With several objectives, at most "
        "one may say best; all values then come from the row in which it is best, else from the last row (default).",
    )

    def objective(self, default_over: str) -> Objective:
        return Objective(self.metric, self.goal, self.over or default_over)


class TrialForm(_Form):
    """What one trial gets, and its limits."""

    cpus: values.Count | None = Field(
        default=None,
        description="CPU cores of a trial, and its threads. Default: not managed, an equal share of threads.",
        examples=[2],
    )
    gpus: values.Gpus = Field(
        default=None,
        description="GPUs per trial; 0.5: two trials share one, 0: hidden. Default: not managed.",
        examples=[1],
    )
    time_limit: values.Limit | None = Field(
        default=None, description='Limit of one run: seconds or text such as "2m". Default: none.', examples=["2m"]
    )
    on_time_limit: values.OnTimeLimit = Field(
        default="fail",
        description="A run that its time limit ends: fail (default), or keep: what it has reported counts.",
        examples=["keep"],
    )
    retries: values.Natural = Field(
        default=0, description="How often a failed run is repeated. Default 0.", examples=[1]
    )
    grace: values.Seconds = Field(
        default=10.0, description='Time between SIGTERM and SIGKILL. Default "10s".', examples=["30s"]
    )
    log_limit: values.Megabytes = Field(
        default=16.0, description='Output kept of one run. Default "16MB".', examples=["16MB"]
    )
    preload: values.Preload = Field(
        default="auto",
        description="Do a Python script's imports once, before its trials start: auto (those at the top of the "
        "script), off, or a list of modules. Default auto.",
        examples=["off", ["torch", "lightning"]],
    )

    def policy(self) -> TrialPolicy:
        preload = self.preload if isinstance(self.preload, str) else tuple(self.preload)
        return TrialPolicy(self.time_limit, self.retries, self.grace, self.log_limit, preload, self.on_time_limit)


def _option_schema(option: Option) -> dict[str, Any]:
    kinds = {int: "integer", float: "number", bool: "boolean", str: "string"}
    schema: dict[str, Any] = {"type": kinds[option.kind]}
    if option.least is not None:
        schema["exclusiveMinimum" if option.above else "minimum"] = option.least
    if option.most is not None:
        schema["maximum"] = option.most
    schema = {"anyOf": [schema, {"enum": ["off", False, None]}]} if option.off else schema
    schema = {"anyOf": [schema, {"type": "array", "items": schema}]} if option.many else schema
    return {**schema, "default": option.default, "description": f"{option.about[:1].upper()}{option.about[1:]}."}


def _with_options(card: Card) -> Callable[[dict[str, Any]], None]:
    """Adds a card's options to the JSON Schema of a form that takes them as extra keys."""

    def extend(schema: dict[str, Any]) -> None:
        schema["properties"] |= {name: _option_schema(option) for name, option in card.options.items()}
        schema["additionalProperties"] = False

    return extend


class EarlyStoppingForm(BaseModel):
    """Ends running trials that are not promising, by what they report while they run."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_with_options(RankStopper.card))

    rule: values.Rule | None = Field(
        default="rank", description="rank: compared with the other trials at the same step."
    )
    diverged: values.OnOrOff = Field(
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

    name: values.Text = Field(
        description="A name of this package's, module:Class, or path/file.py:Class.", examples=["stop.py:Plateau"]
    )

    def named(self) -> Named:
        return Named(self.name, dict(self.model_extra or {}))


class AlgorithmForm(_Form):
    """The algorithm, and how it runs."""

    name: values.Text = Field(description="Its name, as the field algorithm may have it alone.", examples=["tpe"])
    options: values.JsonMapping = Field(
        default_factory=dict, description="As the field options.", examples=[{"n_startup": 5}]
    )
    isolated: bool = Field(
        default=False,
        description="true: in a process of its own, which can harm nothing but its study. Plugins of WMLA's form "
        "always are. Default false.",
        examples=[True],
    )
    call_limit: values.Limit | None = Field(
        default=None, description="How long such a process may take for an answer. Default 10 min.", examples=["2 min"]
    )


class ResourceForm(_Form):
    """What trials get more or less of, such as epochs: see hyperband, asha, bohb, pbt and auto."""

    name: values.Text = Field(description="The resource's name in config.json.", examples=["epochs"])
    max: values.Count = Field(description="The most that one trial gets.", examples=[27])
    min: values.Count = Field(default=1, description="The least that one trial gets. Default 1.", examples=[3])
    resume: values.Resume = Field(
        default="auto",
        description="Whether a promoted trial goes on from what it left: auto (default) if it left a checkpoint, "
        "always, or never: it begins anew.",
        examples=["never"],
    )


class CheckpointsForm(_Form):
    """What the checkpoints of a trial are called, and which of them stay on the disk."""

    patterns: values.CheckpointNames = Field(
        default_factory=list,
        description="Names or paths in RESULT_DIR, as in a .gitignore; a final / stands for a folder. Default: as the "
        "usual frameworks call them.",
        examples=[["state-*.bin", "snapshots/"]],
    )
    keep: values.Keep | None = Field(
        default=None,
        description="all (default), or promotable: if the study's checkpoints exceed disk, those of trials that "
        "cannot be promoted any more are deleted. With disk, the default is promotable.",
        examples=["promotable"],
    )
    disk: values.Bytes | None = Field(
        default=None, description="What all checkpoints of the study may take up. Default: no limit.", examples=["20GB"]
    )

    def checkpoints(self) -> Checkpoints:
        keep = self.keep or ("all" if self.disk is None else "promotable")
        return Checkpoints(tuple(self.patterns), keep, self.disk)


_Checkpoints = Annotated[
    CheckpointsForm,
    BeforeValidator(values.checkpoints, json_schema_input_type=values.Text | list[values.Text] | CheckpointsForm),
]
_Off = Literal["off", False]
_ShortObjective = Annotated[str, Field(pattern=r"^\s*([Mm][Ii][Nn]|[Mm][Aa][Xx])([Ii][Mm][Ii][SsZz][Ee])?\s+\S")]
_Algorithm = Annotated[AlgorithmForm, BeforeValidator(values.named, json_schema_input_type=values.Text | AlgorithmForm)]
_Named = Annotated[NamedForm, BeforeValidator(values.named, json_schema_input_type=values.Text | NamedForm)]
_NamedList = Annotated[list[_Named], BeforeValidator(values.as_list, json_schema_input_type=_Named | list[_Named])]
_StopperText = Annotated[str, Field(pattern=r"\S")]
_StopperOptions = Annotated[dict[str, dict[str, Any] | None], Field(min_length=1)]
_Stopper = Annotated[
    NamedForm, BeforeValidator(values.stopper, json_schema_input_type=_StopperText | NamedForm | _StopperOptions)
]
_StopperList = Annotated[
    list[_Stopper], BeforeValidator(named.several, json_schema_input_type=_Stopper | list[_Stopper])
]
_Objective = Annotated[
    ObjectiveForm, BeforeValidator(values.objective, json_schema_input_type=_ShortObjective | ObjectiveForm)
]
_EarlyStopping = Annotated[
    EarlyStoppingForm | None,
    BeforeValidator(values.early_stopping, json_schema_input_type=Literal["rank"] | _Off | EarlyStoppingForm | None),
]
_Failures = Annotated[
    FailuresForm, BeforeValidator(values.failures, json_schema_input_type=values.Count | _Off | FailuresForm)
]


class StudyForm(_Form):
    """A study: which script to run, what to tune, how long to search."""

    name: values.Name | None = Field(
        default=None,
        description="The study's name. Default: that of the file, or of its folder for algo.yaml.",
        examples=["digits"],
    )
    command: values.Command = Field(
        description="The command that runs one trial: text, split as a shell would (no shell runs), or a list. {lr} is "
        "the value of a parameter, {params} is --name value for each that is placed nowhere else.",
        examples=["python train.py --lr {lr}", "python train.py {params}"],
    )
    model_dir: values.Text = Field(
        default=".", description="The script's folder, relative to this file. Default: the folder of this file."
    )
    exclude: values.Texts = Field(
        default_factory=list,
        description="Files of model_dir that trials do not get: patterns as in a .gitignore; a .hpoignore does "
        "the same.",
        examples=[["checkpoints/", "*.ckpt"]],
    )
    base_config: values.Text | None = Field(
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
    algorithm: _Algorithm | None = Field(
        default=None,
        description="auto (default), tpe, bayesian, hyperband, random, grid ..., an installed plugin, module:Class, or "
        "path/file.py:Class; or {name: ..., isolated: true}, see below.",
        examples=["tpe"],
    )
    options: values.JsonMapping = Field(
        default_factory=dict, description="Options of the algorithm; seed makes it repeatable.", examples=[{"seed": 1}]
    )
    trials: values.Trials = Field(
        default=None,
        description="Trials in all, each a configuration, or unlimited. Default 20; for grid all points.",
        examples=[30],
    )
    runs: values.Trials = Field(
        default=None,
        description="Runs in all, if a configuration takes several: it is promoted (hyperband, asha, bohb, auto with a "
        "resource), or is a member of pbt. Default: unlimited.",
        examples=[60],
    )
    parallel: values.Count = Field(default=1, description="Trials at a time. Default 1.", examples=[2])
    time_limit: values.Limit | None = Field(
        default=None,
        description='Limit of the study: seconds or text such as "1h30m". Default: none.',
        examples=["10m"],
    )
    trial: TrialForm = Field(default_factory=TrialForm, description="Resources and limits of one trial.")
    early_stopping: _EarlyStopping = Field(
        default=None,
        description="End running trials that are not promising: rank, or {rule: rank, keep: 0.5}. Default: only those "
        "that have diverged; off: not even those.",
        examples=["rank"],
    )
    failures: _Failures = Field(
        default_factory=FailuresForm,
        description="Stop the study when its trials fail for the same cause: {first: 3, in_a_row: 10} (default), a "
        "number (first), or off.",
        examples=["off", {"first": 5}],
    )
    stop: _StopperList = Field(
        default_factory=list,
        description="More rules that end trials or the study early, one or a list: a name, a text with options, "
        "{NAME: {OPTION: ...}} or {name: NAME, OPTION: ...}; your own, too.",
        examples=["median", ["asha eta=3 grace=2", "stop.py:Plateau"], {"asha": {"eta": 3}}],
    )
    trackers: _NamedList = Field(
        default_factory=lambda: [NamedForm(name=tracker.name) for tracker in StudySpec.trackers],
        description="What follows the study beside the console: tensorboard, mlflow, wandb, csv, jsonl, webhook, your "
        "own. Default [tensorboard].",
        examples=[["tensorboard", "mlflow", "track.py:Sheet"]],
    )
    results: _NamedList = Field(
        default_factory=lambda: [NamedForm(name=SOURCES_AUTO)],
        description="Where the script's metrics are: auto (default: wherever the objective is found), "
        f"{', '.join(ORDER)}, or a class of your own; as in stop. The first one that has the objective counts.",
        examples=["stdout", [{"name": "csv", "file": "log.csv"}], ["reader.py:Progress"]],
        json_schema_extra={"minItems": 1},
    )
    executor: _Named = Field(
        default_factory=lambda: NamedForm(name=LOCAL),
        description="What runs the trials: local (default), or your own: a name, or {name: ..., OPTION: ...}.",
        examples=["through.py:Through", {"name": "through.py:Through", "command": "nice -n 19"}],
    )
    resource: ResourceForm | None = Field(
        default=None,
        description="What trials get more or less of, as in {name: epochs, max: 27}: hyperband, asha, bohb, pbt and "
        "auto decide how much; others give the max.",
    )
    resume_key: values.Text | None = Field(
        default=None,
        description="A key of config.json that gets the path of the checkpoint to go on from; null if there is none. "
        "Default: no such key.",
        examples=["resume_from"],
    )
    checkpoints: _Checkpoints = Field(
        default_factory=CheckpointsForm,
        description="What the script's checkpoints are called, as in [state-*.bin]; {keep: promotable, disk: 20GB} "
        "limits what they take up. Default: as the usual frameworks call them, no limit.",
        examples=[["state-*.bin"], {"keep": "promotable", "disk": "20GB"}],
    )
    space: Annotated[dict[str, SkipValidation[_Entry]] | None, BeforeValidator(_space)] = Field(
        default=None,
        description="The parameters: {float: [low, high], log: true}, {int: [low, high]}, {choice: [...]}, or a value.",
        examples=[{"lr": {"float": [1e-4, 0.1], "log": True}}],
    )
    experiments: list[values.JsonMapping] = Field(
        default_factory=list,
        description="Parameter sets to run instead of a search, each as it is.",
        examples=[[{"lr": 0.1}]],
    )
    require: values.Rules = Field(
        default_factory=list,
        description="Rules between parameters that every trial fulfils: a text or a list of them.",
        examples=["hidden2 <= hidden1"],
    )
    points: list[values.JsonMapping] = Field(
        default_factory=list,
        description="Parameter sets to try first; what one leaves out is filled in.",
        examples=[[{"lr": 0.001}]],
    )
    warm_start: values.StudyNames = Field(
        default_factory=list,
        description="Earlier studies that inform this one: names under the same root, or paths; spaces may differ.",
        examples=[["digits"]],
    )
    metrics: dict[str, values.Shown] = Field(
        default_factory=dict,
        description="Metrics to show beside the objective, by best or latest value.",
        examples=[{"accuracy": "maximize"}],
    )
    env: dict[str, values.EnvText] = Field(
        default_factory=dict,
        description="Environment variables of the trials; placeholders as in command.",
        examples=[{"TOKENIZERS": "0", "LR": "{lr}"}],
    )
    files: dict[str, dict[str, values.Text]] = Field(
        default_factory=dict,
        description="Files of the script that get values: keys of YAML, JSON, TOML and INI files or constants of a "
        "Python file, each with a parameter or a text with placeholders; or {template: FILE}, to fill the "
        "placeholders in another file.",
        examples=[{"conf/train.yaml": {"optimizer.lr": "lr"}}, {"run.cfg": {"template": "run.cfg.in"}}],
    )
    params_env: values.Text | None = Field(
        default=None,
        description="Every parameter as a variable whose name begins with this. Default: none.",
        examples=["HP_"],
    )
    data_dir: values.Text | None = Field(
        default=None, description="The trials' DATA_DIR, relative to this file. Default: none.", examples=["data"]
    )
    data_root: values.Text | None = Field(
        default=None, description="The trials' DLI_DATA_FS, relative to this file. Default: data_dir."
    )
    interpreter: values.Text | None = Field(
        default=None,
        description='What "python" in command means. Default: the Python of the shell.',
        examples=["venv/bin/python"],
    )
    submitted_code: values.Name | None = Field(
        default=None,
        description="For scripts of WMLA that look for themselves in RESULT_DIR/_submitted_code/NAME: that NAME.",
    )
    dialect: values.JsonMapping = Field(
        default_factory=dict,
        description="Other fields of a WMLA request: kept with the study, not used.",
    )


PARTS: dict[str, type[BaseModel]] = {
    "algorithm": AlgorithmForm,
    "objective": ObjectiveForm,
    "objectives": ObjectiveForm,
    "trial": TrialForm,
    "early_stopping": EarlyStoppingForm,
    "stop": NamedForm,
    "trackers": NamedForm,
    "results": NamedForm,
    "executor": NamedForm,
    "resource": ResourceForm,
    "checkpoints": CheckpointsForm,
}


def names(model: type[BaseModel]) -> Iterable[str]:
    """The fields of a model as the file spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]
