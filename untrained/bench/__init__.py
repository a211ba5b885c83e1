"""Experiments: a grid of method x task x image x setting x seed becomes jobs and one table.

A job is a pure function to a result directory whose name is the hash of recipe, data and seed.
What is missing is done, by local processes or a cluster, over as many calls as it takes.
"""

from __future__ import annotations

from untrained.bench.grid import Grid, read_grid
from untrained.bench.job import Case, Job, Run
from untrained.bench.pool import Processes, cluster, list_devices
from untrained.bench.run import (
    Outcomes,
    job_directory,
    jobs_left,
    open_grid,
    read_jobs,
    run_jobs,
    select,
)
from untrained.bench.work import do_job, job_status

__all__ = [
    "Case",
    "Grid",
    "Job",
    "Outcomes",
    "Processes",
    "Run",
    "cluster",
    "do_job",
    "job_directory",
    "job_status",
    "jobs_left",
    "list_devices",
    "open_grid",
    "read_grid",
    "read_jobs",
    "run_jobs",
    "select",
]
