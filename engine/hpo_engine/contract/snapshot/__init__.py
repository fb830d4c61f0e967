"""The frozen copy of the script's folder, and each trial's view of it.

`freeze` copies the folder once a study, so that edits made meanwhile change nothing; `View` puts into a RESULT_DIR what
the script would find by hand. Knows paths and files; nothing of studies or of processes.
"""

from hpo_engine.contract.snapshot.copying import freeze as freeze
from hpo_engine.contract.snapshot.found import Found as Found
from hpo_engine.contract.snapshot.handing import Views as Views
from hpo_engine.contract.snapshot.ignore import Patterns as Patterns
from hpo_engine.contract.snapshot.messages import dropped_config as dropped_config
from hpo_engine.contract.snapshot.messages import notes as notes
from hpo_engine.contract.snapshot.view import View as View
