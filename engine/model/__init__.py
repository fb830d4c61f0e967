"""The frozen copy of the script's folder, and each trial's view of it.

`freeze` copies the folder once a study, so that edits made meanwhile change nothing; `View` puts into a RESULT_DIR what
the script would find by hand. Knows paths and files; nothing of studies or of processes.
"""

from engine.model.copying import freeze as freeze
from engine.model.handing import Views as Views
from engine.model.survey import Found as Found
from engine.model.telling import dropped_config as dropped_config
from engine.model.telling import notes as notes
from engine.model.view import View as View
