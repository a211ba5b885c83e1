"""Mutated files for every reader: what is made, how it is run, and what counts as a failure."""
