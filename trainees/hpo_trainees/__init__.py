"""What a training script may use, and need not: nothing here knows of the engine, nothing in the engine knows of this.

`report.py` is one file of the standard library that can be copied beside any script; `lightning.py` and `digits.py`
need the extra "lightning" and are imported by name only.
"""
