"""What a function that is tuned calls while it trains: the trainees' reporter, in the same environment."""

from hpo_trainees.report import Stop as Stop
from hpo_trainees.report import report as report
from hpo_trainees.report import should_stop as should_stop
