"""`untrained lab NAME`: a statement of the theory, computed and checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from untrained.errors import UserError

if TYPE_CHECKING:
    from untrained.lab import Lab, LabResult


@click.command()
@click.argument("name")
@click.option("--out", default=None, metavar="DIR", help="[default: untrained-out/lab-NAME]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option(
    "--quick/--full", "quick", default=False, help="A version of a few seconds. [default: full]"
)
@click.option(
    "--decoder",
    default=None,
    metavar="FILE.py:CALLABLE",
    help="Of the lab `watermark`: your own; a picture (C, H, W) in [0, 1] to its bits.",
)
@click.option(
    "--image", default=None, metavar="FILE", help="A picture that carries the mark it decodes."
)
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run.")
def lab(
    name: str,
    out: str | None,
    seed: int,
    quick: bool,
    decoder: str | None,
    image: str | None,
    overwrite: bool,
) -> int:
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
    run = _run_of(found, seed, not quick, decoder, image)
    folder = Path(out or Path("untrained-out") / f"lab-{name}")
    for path in files_of(name, folder):  # before the work, not after it
        require_new(path, overwrite=overwrite)
    click.echo(f"{found.title} ({found.source})")
    result = run()
    click.echo(table(result))
    paths = save(name, result, folder, overwrite=overwrite)
    click.echo(f"wrote {', '.join(path.name for path in paths)} in {folder}")
    return 0 if result.holds else 1


def _run_of(
    found: Lab, seed: int, full: bool, decoder: str | None, image: str | None
) -> Callable[[], LabResult]:
    """Choose what a lab runs: its own case, or the user's decoder on the user's picture.

    Raises:
        UserError: one of the two without the other, a lab that takes none, or an unreadable file.
    """
    if decoder is None and image is None:
        return lambda: found.run(seed, full)
    own = found.own
    if own is None:
        raise UserError(f"lab {found.name} takes no --decoder and no --image: leave them out")
    if decoder is None or image is None:
        raise UserError(
            "--decoder and --image belong together: a decoder, and a picture that carries the mark "
            "it decodes; leave both out for a mark of our own"
        )
    from untrained.data.images import check_photograph, read_image

    pixels, _ = read_image(image, "--image")
    check_photograph(pixels.numpy(), image)
    return lambda: own(decoder, pixels[0].double().clamp(0, 1).numpy(), seed, full)
