"""Attempts that begin as forks of a process that has done the imports."""
