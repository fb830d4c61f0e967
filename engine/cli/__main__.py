"""`python -m engine.cli`: the console script without its launcher file."""

from engine.cli import main

main()
