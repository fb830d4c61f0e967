"""What is chosen by name: the built-in searchers, stoppers, trackers, metric sources and executors, and users' own."""

from __future__ import annotations

from collections.abc import Iterable

from hpo_engine.plugins.registry import Registry
from hpo_engine.study.spec import (
    ALIKE,
    BUDGET,
    DIVERGED,
    LOCAL,
    MISNAMED,
    NO_IMPROVEMENT,
    RANK,
    REGRET,
    SOURCES_AUTO,
    STALLED,
    TARGET,
)


def _nearest_algorithm(name: str, known: Iterable[str]) -> str:
    from hpo_engine.studyfile.common import nearest_algorithm

    return nearest_algorithm(name, known)


SEARCHERS = Registry(
    "algorithm",
    "hpo_engine.searchers",
    {
        "auto": "hpo_engine.searchers.auto:Auto",
        "random": "hpo_engine.searchers.random:Random",
        "grid": "hpo_engine.searchers.grid:Grid",
        "sobol": "hpo_engine.searchers.sobol:Sobol",
        "tpe": "hpo_engine.searchers.tpe:Tpe",
        "bayesian": "hpo_engine.searchers.bayesian:Bayesian",
        "cmaes": "hpo_engine.searchers.cmaes:CmaEs",
        "evolution": "hpo_engine.searchers.evolution:Evolution",
        "optuna": "hpo_engine.searchers.optuna:Optuna",
        "hyperband": "hpo_engine.searchers.hyperband:Hyperband",
        "asha": "hpo_engine.searchers.asha:Asha",
        "bohb": "hpo_engine.searchers.bohb:Bohb",
        "pbt": "hpo_engine.searchers.pbt:Pbt",
        "schedule": "hpo_engine.searchers.schedule:Schedule",
    },
    common=("seed",),
    nearest=_nearest_algorithm,
)


STOPPERS = Registry(
    "stopper",
    "hpo_engine.stoppers",
    {
        MISNAMED: "hpo_engine.stoppers.misnamed:MisnamedStopper",
        ALIKE: "hpo_engine.stoppers.alike:AlikeStopper",
        DIVERGED: "hpo_engine.stoppers.diverged:DivergedStopper",
        RANK: "hpo_engine.stoppers.rank:RankStopper",
        "asha": "hpo_engine.stoppers.asha:AshaStopper",
        "median": "hpo_engine.stoppers.median:MedianStopper",
        "percentile": "hpo_engine.stoppers.percentile:PercentileStopper",
        "convex": "hpo_engine.stoppers.convex:ConvexStopper",
        "curve": "hpo_engine.stoppers.curve:CurveStopper",
        NO_IMPROVEMENT: "hpo_engine.stoppers.no_improvement:NoImprovementStopper",
        TARGET: "hpo_engine.stoppers.target:TargetStopper",
        BUDGET: "hpo_engine.stoppers.budget:UsageStopper",
        STALLED: "hpo_engine.stoppers.stalled:StalledStopper",
        REGRET: "hpo_engine.stoppers.regret:RegretStopper",
    },
    methods=("diverged", "end_trial", "end_study", "halt"),
)


TRACKERS = Registry(
    "tracker",
    "hpo_engine.trackers",
    {
        "tensorboard": "hpo_engine.trackers.tensorboard:TensorBoardTracker",
        "mlflow": "hpo_engine.trackers.mlflow.tracker:MLflowTracker",
        "csv": "hpo_engine.trackers.sheets:CsvTracker",
        "jsonl": "hpo_engine.trackers.sheets:JsonLinesTracker",
        "webhook": "hpo_engine.trackers.webhook:WebhookTracker",
        "wandb": "hpo_engine.trackers.wandb.tracker:WandbTracker",
    },
)


METRIC_SOURCES = Registry(
    "metric source",
    "hpo_engine.metric_sources",
    {
        SOURCES_AUTO: "hpo_engine.contract.sources.candidates:Auto",
        "val_dict_list": "hpo_engine.contract.sources.val_dict_list:ValDictList",
        "emetrics": "hpo_engine.contract.sources.emetrics:Emetrics",
        "lightning_csv": "hpo_engine.contract.sources.lightning_csv:LightningCsv",
        "csv": "hpo_engine.contract.sources.tables:Csv",
        "jsonl": "hpo_engine.contract.sources.tables:JsonLines",
        "json": "hpo_engine.contract.sources.documents:Json",
        "tensorboard": "hpo_engine.contract.sources.tensorboard.source:TensorBoard",
        "trainer_state": "hpo_engine.contract.sources.trainer_state:TrainerState",
        "stdout": "hpo_engine.contract.sources.printed:Printed",
        "mlflow": "hpo_engine.contract.sources.mlflow.source:MLflow",
        "exit_code": "hpo_engine.contract.sources.exit_code:ExitCode",
    },
)


EXECUTORS = Registry(
    "executor",
    "hpo_engine.executors",
    {LOCAL: "hpo_engine.executors.local.executor:LocalExecutor"},
    methods=("free", "launch", "adopt", "reap", "stop", "wait", "wake", "close"),
)


BY_FIELD = {"stop": STOPPERS, "trackers": TRACKERS, "results": METRIC_SOURCES, "executor": EXECUTORS}
