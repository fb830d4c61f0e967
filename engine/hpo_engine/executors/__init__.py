"""Executors: they run attempts as processes. `local` here; each knows the file contract and no searcher."""
