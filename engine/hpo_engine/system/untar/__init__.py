"""Tars of strangers: regular files and folders below one folder, and nothing else.

Runs in a process of its own, see `child`: a header that is made to exhaust a reader exhausts that process only.
Python's tarfile is not used: it takes whatever tars can hold, and its filters have been bypassed again and again.
"""
