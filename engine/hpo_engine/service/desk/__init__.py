"""What can be asked of the service, whatever the dialect: submit, look, stop, go on, remove."""

from hpo_engine.service.desk.desk import STUDIES, Desk
from hpo_engine.service.desk.values import Caller, Model, View

__all__ = ["STUDIES", "Caller", "Desk", "Model", "View"]
