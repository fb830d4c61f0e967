"""All routes of the pages, in one router. Each room of the page has a router of its own."""

from __future__ import annotations

from fastapi import APIRouter

from hpo_engine.service.page import account, actions, assets, overview, pulse, reference, study, submitting
from hpo_engine.service.page.trials import enqueueing, files, one, output, rows, side_by_side, table

router = APIRouter(include_in_schema=False)
for _room in (assets, overview, pulse, study, actions, submitting, account, reference):
    router.include_router(_room.router)
for _room in (table, one, output, files, rows, side_by_side, enqueueing):
    router.include_router(_room.router)
