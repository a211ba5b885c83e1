"""Estimate how much an image varies, by the spread over seeds."""
