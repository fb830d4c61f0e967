"""Numerics on arrays in [0, 1]^d: quasi-random points, densities, models, acquisition. No engine word in here.

Modules import numpy and scipy at their top, and are themselves imported only when they are needed.
"""
