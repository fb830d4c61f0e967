"""The runs that a trial has made in MLflow's stores, read without MLflow."""
