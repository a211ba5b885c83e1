"""Loaders: one module a task, from a file to measurements."""
