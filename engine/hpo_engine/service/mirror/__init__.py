"""What a client needs to keep a copy of a study: the rows of its event log, and the output of its trials."""

from hpo_engine.service.mirror.routes import router

__all__ = ["router"]
