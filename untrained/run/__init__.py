"""Carry out a reconstruction: plan, fit, measure, estimate."""
