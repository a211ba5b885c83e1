"""`untrained explore FILE`: what it holds, what looks wrong, and what to run next."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import click

from untrained.data import TASKS
from untrained.errors import UserError
from untrained.explore import Entry, Findings
from untrained.files import make_directory, require_new, require_not_input

WIDTH = 79


@click.command("explore")
@click.argument("input_file", metavar="FILE")
@click.option("--task", type=click.Choice(list(TASKS)), default=None, help="What to read it as.")
@click.option(
    "--out",
    metavar="PNG",
    default=None,
    help="Where to draw what was read [default: untrained-out/explore-STEM.png].",
)
@click.option("--overwrite", is_flag=True, help="Replace a picture that is there.")
@click.option("--no-picture", is_flag=True, help="Draw nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explore(
    input_file: str,
    task: str | None,
    out: str | None,
    overwrite: bool,
    no_picture: bool,
    as_json: bool,
) -> int:
    """Look into a file before reconstructing it.

    Exit status 0: it can be reconstructed by the command that is shown; 2: not as it is.
    """
    from untrained import explore as looks

    path = Path(out or Path("untrained-out") / f"explore-{Path(input_file).stem}.png")
    if path.suffix.lower() != ".png":
        raise UserError(f"--out {path}: the picture is written as .png; name it so")
    if not no_picture:
        require_not_input([path], [input_file])
        if out is None:
            make_directory(path.parent)
        require_new(path, overwrite=overwrite)
    found = looks.explore(input_file, task or "")
    drawn = False if no_picture else looks.write_pictures(found, path)
    if as_json:
        click.echo(json.dumps(_facts(found, path if drawn else None), indent=2))
    else:
        for line in _lines(found, path if drawn else None):
            click.echo(line)
    if found.command:
        return 0
    why = found.suspicious[0] if found.suspicious else "nothing in it tells which task it is of"
    click.echo(f"untrained: {input_file} cannot be read as it is: {why}", err=True)
    return 2


def _facts(found: Findings, picture: Path | None) -> dict[str, object]:
    """Return what was found as plain JSON values."""
    return {
        "file": found.path,
        "arrays": [
            {"name": e.name, "shape": list(e.shape), "dtype": e.dtype, "values": e.values}
            for e in found.entries
        ],
        "task": found.task,
        "why": found.guess.why if found.guess else "",
        "facts": list(found.facts),
        "suspicious": list(found.suspicious),
        "command": found.command,
        "picture": None if picture is None else str(picture),
    }


def _lines(found: Findings, picture: Path | None) -> list[str]:
    """Write what was found for a terminal of 80 columns."""
    lines = [f"{found.path} holds"]
    width = max(len(entry.name) for entry in found.entries) if found.entries else 0
    lines += [_row(entry, width) for entry in found.entries]
    if found.guess is None:
        lines += ["", "Nothing in it tells which task it is of: name one with --task."]
        return lines
    why = f": {found.guess.why}" if found.guess.why else ""
    sure = "; another may fit as well (--task)" if found.guess.unsure else ""
    lines += ["", *_wrapped(f"Read as {found.task}{why}{sure}.")]
    for fact in found.facts:
        lines += _wrapped(fact, "  - ")
    lines += ["", "Suspicious:" if found.suspicious else "Nothing looks suspicious."]
    for number, doubt in enumerate(found.suspicious, start=1):
        lines += _wrapped(doubt, f"  {number}. ")
    if picture is not None:
        lines += ["", f"Pictures: {picture}"]
    return [*lines, "", f"Next: {found.command}"] if found.command else lines


def _row(entry: Entry, width: int) -> str:
    """Write one array on a line."""
    shape = " x ".join(map(str, entry.shape)) or "one value"
    text = f"  {entry.name:<{width}}  {shape} {entry.dtype}: {entry.values}"
    return textwrap.shorten(text, 240, placeholder=" ...") if len(text) > 240 else text


def _wrapped(text: str, mark: str = "") -> list[str]:
    rest = " " * len(mark)
    return textwrap.wrap(text, WIDTH, initial_indent=mark, subsequent_indent=rest)
