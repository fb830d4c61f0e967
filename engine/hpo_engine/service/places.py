"""Where the service's own files are: `<root>/.service/`, which only its user may read."""

from __future__ import annotations

import os
from typing import NamedTuple

from hpo_engine.contract.paths import SERVICE


class ServicePaths(NamedTuple):
    """The service's folder below the root of the studies. `root` is absolute."""

    root: str

    @property
    def folder(self) -> str:
        return f"{self.root}/{SERVICE}"

    @property
    def db(self) -> str:
        """Submissions and owners: SQLite."""
        return f"{self.folder}/service.db"

    @property
    def accounts(self) -> str:
        """Users and tokens: SQLite."""
        return f"{self.folder}/accounts.db"

    @property
    def lock(self) -> str:
        """Held by the service that runs; names it."""
        return f"{self.folder}/server.lock"

    @property
    def address(self) -> str:
        """A JSON object that says where the running service is; removed when it ends."""
        return f"{self.folder}/server.json"

    @property
    def token(self) -> str:
        """The administrator's token, one line."""
        return f"{self.folder}/token"

    @property
    def tls(self) -> str:
        """The self-made certificate and its key."""
        return f"{self.folder}/tls"

    @property
    def audit(self) -> str:
        """Who did what, one JSON object per line."""
        return f"{self.folder}/audit.jsonl"

    @property
    def spool(self) -> str:
        """Uploads on their way in."""
        return f"{self.folder}/spool"

    @property
    def models(self) -> str:
        """Large uploads of studies whose folders are not made yet."""
        return f"{self.folder}/models"

    @property
    def engines_log(self) -> str:
        """What engines print before their study has a folder, and what the process prints that forks them."""
        return f"{self.folder}/engines.log"

    @property
    def algorithms(self) -> str:
        """Installed search plugins."""
        return f"{self.folder}/algorithms"

    def make(self) -> None:
        """Makes the folder, and the root, if they are missing; others may not look into the folder."""
        os.makedirs(self.root, exist_ok=True)
        try:
            os.mkdir(self.folder, 0o700)
        except FileExistsError:
            os.chmod(self.folder, 0o700)
