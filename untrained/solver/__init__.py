"""Fit a network to measurements: the loop, and what is done before, around and after it."""
