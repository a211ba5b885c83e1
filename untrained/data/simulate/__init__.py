"""Simulators: measurements made from clean images, written in the format that the loaders read."""
