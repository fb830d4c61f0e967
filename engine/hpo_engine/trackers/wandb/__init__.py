"""Weights & Biases: one run per trial in a group of the study, offline or online.

wandb itself is imported in a process of its own (`worker`): it starts threads, a service and handlers that run when an
interpreter ends, and none of these may hold up an engine.
"""
