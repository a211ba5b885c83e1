"""`reconstruct` of many files: each a job in a directory of its own; one that fails stops none."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import click

from untrained._version import versions
from untrained.cli.closing import duration
from untrained.cli.directory import JOBS, finished_facts
from untrained.cli.failures import BAD_INPUT, explain
from untrained.cli.inputs import Inputs, directory_names, find_inputs, for_file
from untrained.cli.interrupt import INTERRUPTED
from untrained.cli.job import carry_out, command_line, plan_job, reconstruct_file
from untrained.cli.measured import Load, input_files, measured
from untrained.cli.needs import needs_of_slices, say_needs
from untrained.cli.options import Options
from untrained.errors import UserError
from untrained.folder import RESULT, Folder, hold, read_facts
from untrained.machine import pick_device, start_peak
from untrained.report import overview
from untrained.report.overview import Row
from untrained.run.plan import Plan
from untrained.threads import at_most_threads

TABLE, PAGE = "summary.csv", "index.html"
CALM = 20.0  # seconds between two versions of table and page
NOT_ASKED = ("out", "resume", "overwrite", "dry_run", "as_json", "quiet", "command", "time_limit")
"""Options that change no result."""
EXIT = {overview.REFUSED: BAD_INPUT, overview.DIVERGED: BAD_INPUT, overview.FAILED: 1}


def reconstruct_inputs(task: str, paths: Sequence[str], options: Options, load: Load) -> int:
    """Carry out `reconstruct` on one file, several, folders or patterns; return the exit status.

    Many files: 0 if all are done, 2 if some input was bad, 1 if anything else failed, 130 if
    interrupted.
    """
    if load.keywords.get("series"):
        if len(paths) > 1:
            raise UserError(
                f"--series takes one folder or stack, whose frames are reconstructed together; got "
                f"{len(paths)} inputs: give one at a time"
            )
        return reconstruct_file(task, paths[0], options, load)
    inputs = find_inputs(task, paths, input_files([], options, load))
    if not inputs.many:
        return reconstruct_file(task, inputs.files[0], options, load)
    chosen = plan_job(task, options)
    if not options.quiet:
        _say_passed_over(inputs)
    if options.dry_run:
        return _estimate(chosen, inputs, options, load)
    with _opened(task, inputs, options) as lot:
        return lot.run(chosen, options, load)


@contextmanager
def _opened(task: str, inputs: Inputs, options: Options) -> Iterator[Lot]:
    """Hold the directory of all results.

    Raises:
        UserError: it holds results already and neither --resume nor --overwrite was given, or
            something else.
    """
    root = Path(options.out or Path("untrained-out") / f"{task}-{inputs.stem}")
    if options.resume and options.overwrite:
        raise UserError("--resume and --overwrite exclude each other; give one of them")
    if root.is_dir():
        _require_allowed(root, options)
    with hold(root) as folder:
        known = _known_jobs(folder)
        names = directory_names(inputs.files)
        rows = {n: Row(f, n) for f, n in zip(inputs.files, names, strict=True)}
        command = options.command or command_line()
        yield Lot(folder, f"{task}: {len(rows)} files", command, rows, known)


def _require_allowed(root: Path, options: Options) -> None:
    folder = Folder(root)
    known = _known_jobs(folder)
    if not known and (folder.finished or folder.unfinished):
        raise UserError(
            f"{root} holds the result of a single file; many files need a directory of their own: "
            "choose another --out"
        )
    if known and not (options.resume or options.overwrite):
        raise UserError(
            f"{root} holds the results of many files; add --resume to go on (finished files are "
            "skipped), --overwrite to replace them, or choose another --out"
        )
    folder.require_own([TABLE, PAGE])


def _known_jobs(folder: Folder) -> dict[str, str]:
    """Read what an earlier command noted: directory -> fingerprint of its finished job, or ''."""
    noted = folder.noted(JOBS)
    found = (read_facts(folder.path / RESULT) or {}).get(JOBS) if noted is None else None
    values: Any = found if noted is None else json.loads(noted)
    return dict(values) if isinstance(values, dict) else {}


@dataclass
class Lot:
    """The jobs of one command.

    Attributes:
        folder: the directory of all results, held.
        title: heading of the page.
        command: that repeats it.
        rows: directory -> row, in the order of the files.
        known: directory -> fingerprint of the job that was finished there.
    """

    folder: Folder
    title: str
    command: str
    rows: dict[str, Row]
    known: dict[str, str]
    thumbnails: dict[str, str] = field(default_factory=dict)
    _written: float = 0.0

    def run(self, chosen: Plan, options: Options, load: Load) -> int:
        """Do all jobs in turn, and tell what became of them; return the exit status."""
        began, times, printed = time.monotonic(), list[float](), set[str]()
        with at_most_threads(options.threads):
            self.write(finished=False)
            for number, (name, row) in enumerate(self.rows.items(), 1):
                left = len(self.rows) - number + 1
                say = partial(_say, options, f"[{number}/{len(self.rows)}] {row.file}", times, left)
                done, taken = self._job(chosen, row, options, load, say, printed)
                times += [] if taken is None else [taken]
                self.rows[name] = done
                if not options.quiet:
                    click.echo(f"    {_line(done, taken is None)}", err=True)
                if done.status == overview.INTERRUPTED:
                    break
                if time.monotonic() > self._written + CALM:
                    self.write(finished=False)
            self.write(finished=not self._left)
        return self._end(options, time.monotonic() - began)

    def _job(
        self,
        chosen: Plan,
        row: Row,
        options: Options,
        load: Load,
        say: partial[None],
        printed: set[str],
    ) -> tuple[Row, float | None]:
        """Do one job; return its row, and the seconds it took, None where it was done already."""
        began, path = time.monotonic(), self.folder.path / row.directory
        try:
            own, own_load = for_file(row.file, options, load)
            mark = _fingerprint(chosen.task, row.file, own, own_load)
            before = finished_facts(path) if options.resume else None
            if before is not None and mark and self.known.get(row.directory) == mark:
                return overview.row_of(row.file, row.directory, before, overview.DONE), None
            say(path)
            start_peak(pick_device(options.device))
            ended = carry_out(chosen, row.file, replace(own, out=str(path)), own_load, printed)
        except KeyboardInterrupt:
            return replace(row, status=overview.INTERRUPTED), time.monotonic() - began
        except Exception as error:  # of one file; the others go on
            code, reason = explain(error)
            status = overview.REFUSED if code == BAD_INPUT else overview.FAILED
            return replace(row, status=status, reason=reason), time.monotonic() - began
        printed.update(ended.printed)
        status = self._status(ended.code, path)
        self.known[row.directory] = mark if status == overview.DONE else ""
        made = overview.row_of(row.file, row.directory, ended.facts, status, ended.trouble)
        if status == overview.TIME_LIMIT:
            made = replace(made, reason=(ended.facts.get("stop") or {}).get("reason") or "")
        return made, None if ended.took is None and ended.facts else time.monotonic() - began

    @staticmethod
    def _status(code: int, path: Path) -> str:
        if code == INTERRUPTED:
            return overview.INTERRUPTED
        if code:
            return overview.DIVERGED
        return overview.TIME_LIMIT if Folder(path).unfinished else overview.DONE

    @property
    def _left(self) -> bool:
        """Whether --resume would have something to do."""
        open_ends = (overview.WAITING, overview.INTERRUPTED, overview.TIME_LIMIT)
        return any(row.status in open_ends for row in self.rows.values())

    def write(self, *, finished: bool) -> None:
        """Write table and page; `result.json` only where all has been done."""
        rows = list(self.rows.values())
        for row in rows:
            if row.shown and row.directory not in self.thumbnails:
                picture = self.folder.path / row.directory / "reconstruction.png"
                self.thumbnails[row.directory] = overview.thumbnail(picture)
        jobs = {name: self.known.get(name, "") for name in (*self.known, *self.rows)}
        page = overview.page(self.title, self.command, rows, self.thumbnails)
        facts = {"command": self.command, "rows": [asdict(row) for row in rows], JOBS: jobs}
        files = {TABLE: partial(_put, overview.table(rows)), PAGE: partial(_put, page)}
        self.folder.note(JOBS, json.dumps(jobs))
        self.folder.publish(files, facts if finished else None)
        self._written = time.monotonic()

    def _end(self, options: Options, took: float) -> int:
        rows = list(self.rows.values())
        if options.as_json:
            shown = {"directory": str(self.folder.path), "rows": [asdict(row) for row in rows]}
            click.echo(json.dumps(shown, indent=2))
        for row in rows:
            if row.reason:
                click.echo(f"untrained: {row.file}: {row.status}: {row.reason}", err=True)
        interrupted = any(row.status == overview.INTERRUPTED for row in rows)
        if not options.quiet and not options.as_json:
            click.echo(f"{len(rows)} files: {overview.counts(rows)}, in {duration(took)}")
            click.echo(f"table    {self.folder.path / TABLE}")
            click.echo(f"page     {self.folder.path / PAGE}")
        if interrupted:
            flag = "--resume in place of --overwrite" if options.overwrite else "--resume"
            click.echo(f"interrupted; run the same command with {flag} to go on", err=True)
            return INTERRUPTED
        codes = [EXIT.get(row.status, 0) for row in rows]
        return 1 if 1 in codes else max(codes)


def _put(content: bytes, stream: IO[bytes]) -> None:
    stream.write(content)


def _say(options: Options, head: str, times: Sequence[float], left: int, path: Path) -> None:
    """Say which file is begun, and how long all that are left will take by those done so far."""
    if not options.quiet:
        rest = f"; about {duration(left * sum(times) / len(times))} left" if times else ""
        click.echo(f"{head} -> {path}{rest}", err=True)


def _line(row: Row, skipped: bool) -> str:
    if row.status == overview.DONE:
        return f"{row.file}: finished before" if skipped else f"done: {row.quality}"
    return f"{row.status}: {row.reason}" if row.reason else row.status


def _say_passed_over(inputs: Inputs) -> None:
    """Name what lies in the folders and is no input."""
    names = [Path(one).name for one in inputs.passed_over]
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        click.echo(f"note: passed over {', '.join(names[:5])}{more}", err=True)


def _fingerprint(task: str, file: str, options: Options, load: Load) -> str:
    """Name what a result depends on by a hash; '' where an input is a folder of many files.

    Files count by path, size and time of change, so that nothing is read to tell that it is done.
    """
    asked = {name: value for name, value in asdict(options).items() if name not in NOT_ASKED}
    stamps = []
    for name in input_files([file], options, load):
        path = Path(name) if name else None
        if path is not None and path.is_dir():
            return ""
        if path is not None and path.is_file():
            found = path.stat()
            stamps.append((str(path.resolve()), found.st_size, found.st_mtime_ns))
    text = repr((versions()["untrained"], task, asked, sorted(load.keywords.items()), stamps))
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def _estimate(chosen: Plan, inputs: Inputs, options: Options, load: Load) -> int:
    """Print what all files together need: files of one size are measured once."""
    kinds: dict[Any, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    for file in inputs.files:
        try:
            own, own_load = for_file(file, options, load)
            with at_most_threads(options.threads):
                slices = measured(file, own, own_load)
                first = slices[0]
                key = (first.y.shape, first.physics.x_shape, len(slices))
                if key not in kinds:
                    kinds[key] = {"files": 0} | needs_of_slices(chosen, slices, own)
            kinds[key]["files"] += 1
        except Exception as error:
            refused[file] = explain(error)[1]
    facts = _total(chosen, list(kinds.values()), refused, len(inputs.files))
    say_needs(facts, options)
    if not options.as_json:
        for kind in kinds.values():
            click.echo(f"{kind['files']} file(s) with images of {kind.get('image')}: {_one(kind)}")
        for file, reason in refused.items():
            click.echo(f"untrained: {file}: refused: {reason}", err=True)
    return BAD_INPUT if refused else 0


def _total(
    chosen: Plan, kinds: list[dict[str, Any]], refused: dict[str, str], files: int
) -> dict[str, Any]:
    seconds = [kind["files"] * s for kind in kinds if (s := kind.get("seconds")) is not None]
    peaks = [peak for kind in kinds if (peak := kind.get("peak_memory_mb")) is not None]
    return {
        "method": chosen.card.name,
        "preset": chosen.preset,
        "task": chosen.task,
        "files": files,
        "seconds": round(sum(seconds), 1) if seconds else None,
        "peak_memory_mb": max(peaks, default=None),
        "kinds": kinds,
        "refused": refused,
    }


def _one(kind: dict[str, Any]) -> str:
    parts = [] if kind.get("seconds") is None else [f"{kind['seconds']:g} s each"]
    peak = kind.get("peak_memory_mb")
    return ", ".join([*parts, *([] if peak is None else [f"{peak:g} MiB"]), kind["note"]])
