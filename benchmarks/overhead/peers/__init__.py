"""Other tools over the same script. Each file is run by an interpreter that has the tool: FILE SCRIPT TRIALS PARALLEL.

Prints {"version": ..., "seconds": ...}: from the search's start to its end, without the tool's own imports and, where
it has a cluster to start, without that.
"""
