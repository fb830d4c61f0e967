"""What is chosen by name: registries, cards that describe options, and the loader of users' own classes.

Knows no searcher, stopper, tracker or executor; `assembly` names those.
"""
