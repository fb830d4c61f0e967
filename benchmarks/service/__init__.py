"""What the service bears: see `benchmarks.service.__main__`."""
