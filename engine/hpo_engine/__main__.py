"""`python -m hpo_engine`: the console script without its launcher file."""

from hpo_engine_start import main

main()
