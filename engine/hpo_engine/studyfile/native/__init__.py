"""The native study file <-> StudySpec, and its JSON Schema for editors.

Reports every problem at once, each with the field's path and line and the value found there. Knows no other form of a
study file and no algorithm's options, and starts nothing. Importing this costs pydantic: import it when parsing.
"""

from hpo_engine.studyfile.document import Document, read_document
from hpo_engine.studyfile.native.native import entry, json_schema, to_native
from hpo_engine.studyfile.native.parse import DEFAULT_TRIALS, load, parse, parse_document
from hpo_engine.studyfile.native.space import space_from

__all__ = [
    "DEFAULT_TRIALS",
    "Document",
    "entry",
    "json_schema",
    "load",
    "parse",
    "parse_document",
    "read_document",
    "space_from",
    "to_native",
]
