"""Who may ask: credentials, users, sessions, and the outermost layer of the application, which refuses all others."""

from hpo_engine.service.guard.layer import Guard

__all__ = ["Guard"]
