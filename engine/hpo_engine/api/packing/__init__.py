"""A function of a notebook or a program, made into a script that an engine can run as any other."""
