"""Parameters, their axes, constraints between them, and the search space they make together."""
