"""Where the metrics of a trial come from."""
