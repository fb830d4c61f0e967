"""Law suites: what every implementation of a port must keep, importable, so that a plugin's author can run them."""
