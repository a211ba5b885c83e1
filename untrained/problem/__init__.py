"""A problem: measurements and their operator, in units in which a network works."""

from untrained.problem.problem import Problem

__all__ = ["Problem"]
