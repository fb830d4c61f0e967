"""Searchers, stoppers and schedulers on real learning curves. See multi_fidelity.md in the folder above."""
