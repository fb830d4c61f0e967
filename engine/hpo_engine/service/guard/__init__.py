"""Who may ask: credentials, users, sessions, and the outermost layer of the application, which refuses all others."""

from hpo_engine.service.guard.access import Access
from hpo_engine.service.guard.layer import Guard, Site

__all__ = ["Access", "Guard", "Site"]
