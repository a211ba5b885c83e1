"""Experiments: a grid of method x task x image x setting x seed becomes jobs and one table.

A job is a pure function to a result directory whose name is the hash of recipe, data and seed.
What is missing is done, by local processes or a cluster, over as many calls as it takes.
"""

from __future__ import annotations

from untrained.bench.grid import Grid, read_grid
from untrained.bench.job import Case, Job, Run
from untrained.bench.pool import Processes, cluster, list_devices
from untrained.bench.run import Outcomes, directory_of, due, jobs_of, open_grid, run_jobs, select
from untrained.bench.work import perform, status_of

__all__ = [
    "Case",
    "Grid",
    "Job",
    "Outcomes",
    "Processes",
    "Run",
    "cluster",
    "directory_of",
    "due",
    "jobs_of",
    "list_devices",
    "open_grid",
    "perform",
    "read_grid",
    "run_jobs",
    "select",
    "status_of",
]
