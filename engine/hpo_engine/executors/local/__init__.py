"""Attempts on this machine: launcher, shim, and the records they leave."""
