"""`untrained bench run | table | report`."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from untrained.cli.interrupt import INTERRUPTED
from untrained.cli.options import MOST_THREADS
from untrained.errors import UserError, from_file
from untrained.files import require_new, require_not_input
from untrained.machine import DEVICES

if TYPE_CHECKING:
    from untrained.bench import Job


@click.group()
def bench() -> None:
    """Run experiments: a grid of methods, tasks, images and seeds."""


@bench.command("run")
@click.argument("grid_file", metavar="GRID")
@click.option(
    "--out", metavar="DIR", default=None, help="[default: untrained-out/bench-NAME[-small]]"
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Processes at a time [default: one per GPU, else per core].",
)
@click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    default=1,
    show_default=True,
    help="CPU threads per job.",
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option(
    "--cluster",
    default=None,
    metavar="ADDRESS|local",
    help="Hand the jobs to the dask scheduler there, or to one started here.",
)
@click.option("--small", is_flag=True, help="Apply the overrides of the grid's [small].")
@click.option(
    "--only", default="*", metavar="PATTERN", help="Jobs TASK/IMAGE/SETTING/RUN/SEED that match."
)
@click.option("--retry", is_flag=True, help="Do jobs again that failed.")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
def run_grid(
    grid_file: str,
    out: str | None,
    jobs: int | None,
    threads: int,
    device: str,
    cluster: str | None,
    small: bool,
    only: str,
    retry: bool,
    quiet: bool,
) -> int:
    """Do what is missing of GRID, a TOML file.

    Run it again after an interruption: it goes on. Exit status 1: not every job is done.
    """
    from untrained import bench as b

    grid = b.read_grid(grid_file, small=small)
    folder = Path(out or Path("untrained-out") / f"bench-{grid.name}{'-small' if small else ''}")
    with from_file(grid_file):
        listed = b.open_grid(grid, folder)
        chosen = b.select(listed, only)
    todo = b.jobs_left(chosen, folder, grid.time_limit, retry)
    outcomes = b.Outcomes()
    if todo:
        devices = b.list_devices(jobs or 0, threads, device)
        used = devices[: len(todo)]
        engine = b.Processes(used, threads) if cluster is None else b.cluster(cluster, jobs or 0)
        with engine as executor:
            outcomes = b.run_jobs(
                todo,
                folder,
                executor,
                time_limit=grid.time_limit,
                threads=threads,
                device=device,
                quiet=quiet,
            )
    if not quiet:
        for line in closing_lines(listed, folder):
            click.echo(line)
    if outcomes.interrupted:
        click.echo("interrupted; run the same command again to go on", err=True)
        return INTERRUPTED
    ended = [b.job_status(b.job_directory(job, folder)) for job in chosen]
    return 0 if all(status in ("done", "cut") for status in ended) else 1


@bench.command("speed")
@click.argument("task")
@click.argument("input_file", metavar="FILE")
@click.option("--preset", "presets", multiple=True, default=("fast",), help="Of auto; repeatable.")
@click.option(
    "--limit",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    help="Seconds after which a run is cut.",
)
@click.option("--blocks", type=click.IntRange(min=1), default=5, show_default=True)
@click.option(
    "--target",
    type=float,
    default=None,
    metavar="DB",
    help="PSNR to time the way to.  [default: the best of the paper's run]",
)
@click.option("--threads", type=click.IntRange(1, MOST_THREADS), default=None)
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option("--out", default=None, metavar="FILE", help=".json to write too.")
@click.option("--overwrite", is_flag=True, help="Replace the file of --out.")
def speed(
    task: str,
    input_file: str,
    presets: tuple[str, ...],
    limit: float,
    blocks: int,
    target: float | None,
    threads: int | None,
    device: str,
    out: str | None,
    overwrite: bool,
) -> None:
    """Time our presets beside the papers' own and the classical answer.

    FILE is a measurement of TASK with a reference. Steps are timed in interleaved blocks of 20;
    then everything is run once. Use an idle machine.
    """
    from untrained.bench.speed import measure_speed, screen
    from untrained.bench.work import write_json
    from untrained.data import TASKS
    from untrained.threads import at_most_threads

    if task not in TASKS:
        raise UserError(f"unknown task '{task}'; known: {', '.join(TASKS)}")
    if out is not None:
        require_not_input([Path(out)], [input_file])
        require_new(Path(out), overwrite=overwrite)
    measurement = TASKS[task].load(input_file)[0]
    if measurement.reference is None:
        raise UserError(f"{input_file} has no 'reference', and without it there is no quality")
    with at_most_threads(threads):
        found = measure_speed(
            measurement,
            presets=presets,
            limit=limit,
            blocks=blocks,
            target=target,
            device=device,
            say=lambda text: click.echo(text, err=True),
        )
    for line in screen(found):
        click.echo(line)
    if out is not None:
        write_json(Path(out), {"task": task, "input": Path(input_file).name, **found})


@bench.command("table")
@click.argument("directory", metavar="DIR")
@click.option("--out", default=None, metavar="FILE", help=".csv or .parquet [default: in DIR].")
@click.option("--overwrite", is_flag=True, help="Replace the file of --out.")
@click.option("--json", "as_json", is_flag=True, help="Print rows and summary as JSON.")
def table(directory: str, out: str | None, overwrite: bool, as_json: bool) -> None:
    """Write one row per job, and show mean and spread.

    Without --out: table.csv, summary.csv, and table.parquet where pyarrow is installed, in place of
    those of an earlier call.
    """
    from untrained import bench as b
    from untrained.bench import table as t

    folder = Path(directory)
    rows = t.make_rows(b.read_jobs(folder), folder)
    summary = t.summarise(rows)
    if out is not None:
        _require_outside(Path(out), folder)
        require_new(Path(out), overwrite=overwrite)
        written = [t.write_table(rows, out)]
    else:
        written = t.write_tables(rows, summary, folder)
    if as_json:
        click.echo(json.dumps({"rows": rows, "summary": summary}, indent=1))
        return
    for line in t.screen(rows, summary):
        click.echo(textwrap.fill(line, 79, subsequent_indent="  ") if len(line) > 80 else line)
    click.echo("\nwrote " + ", ".join(str(path) for path in written))
    if len(written) == 2:
        click.echo("(CSV only: a parquet table needs pyarrow)")


@bench.command("report")
@click.argument("directory", metavar="DIR")
def report(directory: str) -> None:
    """Write DIR/report.html: curves, tables, and what failed."""
    from untrained import bench as b
    from untrained.bench.report import write_report
    from untrained.bench.table import make_rows

    folder = Path(directory)
    page = write_report(make_rows(b.read_jobs(folder), folder), folder)
    click.echo(f"wrote {page}")


def _require_outside(out: Path, folder: Path) -> None:
    """Refuse to write a table onto what it is made from.

    Raises:
        UserError: `out` is among the experiment's own files.
    """
    inside = out.resolve().is_relative_to(folder.resolve())
    if inside and out.resolve().parent != folder.resolve():
        raise UserError(f"--out {out} lies among the files of {folder}; name another place")


def closing_lines(jobs: list[Job], folder: Path) -> list[str]:
    """Say how far the experiment is, and what to type next."""
    from untrained.bench.table import count_by_status, make_rows

    found = count_by_status(make_rows(jobs, folder))
    told = ", ".join(f"{count} {status}" for status, count in found.items())
    return [
        f"{len(jobs)} jobs: {told}",
        f"table   untrained bench table {folder}",
        f"report  untrained bench report {folder}",
    ]
