"""Searchers in processes of their own: plugins written for WMLA, and whatever a user does not want in the engine.

The engine talks to such a process over two pipes and believes nothing that comes back.
"""
