"""Takes uploads in: a multipart body into the spool, and a model's tar into a folder.

Whatever a request sends stays in the spool until it has been found to be sound. Knows nothing of studies.
"""

from hpo_engine.service.intake.limits import Limits, TooLarge
from hpo_engine.service.intake.receiving import Upload, received
from hpo_engine.service.intake.spool import Spool
from hpo_engine.service.intake.unpacker import Unpacker

__all__ = ["Limits", "Spool", "TooLarge", "Unpacker", "Upload", "received"]
