"""A trial's output: who writes it and who reads it."""
