"""Shows a study in MLflow: a run per study, a run per trial nested in it, and in that what the script logs itself."""
