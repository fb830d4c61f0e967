"""The calls for algorithms: those that are built in, and search plugins."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/hypersearch/algorithm")
