"""The Python interface: `import hpo_engine as hpo`. See docs/python.md.

Does what the command line does, by the same functions: an engine is a process of its own, and what runs already is
reached through the study's folder.
"""
