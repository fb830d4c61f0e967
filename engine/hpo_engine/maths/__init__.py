"""Numerics on arrays in [0, 1]^d: quasi-random points, densities, models, acquisition. No engine word in here.

Rooms import numpy and scipy at their top and are themselves imported only by those who need them, when they do.
"""
