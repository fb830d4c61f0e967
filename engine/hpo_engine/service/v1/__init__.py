"""The native API, `/api/v1`: JSON over HTTP, for programs, the command line as a client, and the page.

What it promises: within version 1, fields and routes are added, and none is removed or changes its meaning. Clients are
to ignore fields that they do not know.
"""

from hpo_engine.service.v1.router import router

POLLED = "/api/v1/studies"
"""What clients ask for again and again, with a name behind it or without."""

__all__ = ["POLLED", "router"]
