"""What people do to a study, from a terminal or from Python alike: submit it, start its engine, change it, stop it.

Prints nothing: one-line notices go to a callback, problems are raised.
"""
