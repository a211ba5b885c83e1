"""`untrained lab NAME`: a statement of the theory, computed and checked."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.option("--out", default=None, metavar="DIR", help="[default: untrained-out/lab-NAME]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option(
    "--quick/--full", "quick", default=False, help="A version of a few seconds. [default: full]"
)
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run.")
def lab(name: str, out: str | None, seed: int, quick: bool, overwrite: bool) -> int:
    """Check a statement of the theory of untrained networks by numbers.

    Prints what the statement predicts beside what was found, and writes NAME.npz and NAME.csv
    (arrays, curves), NAME.png and NAME.svg (the picture) and NAME.json (the findings).
    `untrained list labs` shows the names. Exit status 0: everything that is claimed holds; 1:
    something does not.
    """
    from untrained.files import require_new
    from untrained.lab import find_lab
    from untrained.lab.result import files_of, save, table

    found = find_lab(name)
    folder = Path(out or Path("untrained-out") / f"lab-{name}")
    for path in files_of(name, folder):  # before the work, not after it
        require_new(path, overwrite=overwrite)
    click.echo(f"{found.title} ({found.source})")
    result = found.run(seed, not quick)
    click.echo(table(result))
    paths = save(name, result, folder, overwrite=overwrite)
    click.echo(f"wrote {', '.join(path.name for path in paths)} in {folder}")
    return 0 if result.holds else 1
