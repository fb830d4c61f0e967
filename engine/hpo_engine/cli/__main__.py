"""`python -m hpo_engine.cli`: the console script without its launcher file."""

from hpo_engine.cli import main

main()
