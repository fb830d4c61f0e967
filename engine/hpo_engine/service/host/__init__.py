"""Runs the studies of a service, each by an engine in a process of its own, a limited number at a time."""

from hpo_engine.service.host.host import Host

__all__ = ["Host"]
