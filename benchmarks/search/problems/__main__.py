"""Writes reference.json: `python -m benchmarks.search.problems`."""

import json

from benchmarks.search.problems import ALL, REFERENCE, reference

if __name__ == "__main__":
    known = {name: reference(name) for name in ALL}
    REFERENCE.write_text("{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in known.items()) + "\n}\n")
