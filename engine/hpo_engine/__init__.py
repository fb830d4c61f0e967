"""hpo-engine: hyperparameter optimisation for plain training scripts."""

__version__ = "0.1.0"
