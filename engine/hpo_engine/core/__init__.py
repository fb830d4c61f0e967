"""One step of a study after another: the only wing that sees a searcher and an executor, and only as ports."""
