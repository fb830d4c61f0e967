"""A client of the service, of the standard library only: for the command line and the Python interface.

`servers` knows addresses and credentials, `connection` speaks HTTP, `packing` makes a model folder one file, and
`mirror` keeps a copy of a study, so that whatever reads a study reads one at a server.
"""
