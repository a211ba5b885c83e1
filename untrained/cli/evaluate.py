"""`untrained evaluate IMAGE REFERENCE`."""

from __future__ import annotations

import json
import math

import click

from untrained.errors import UserError

PLAIN = ("psnr", "ssim", "ktc", "resistive", "conductive", "htc")
"""Measures of which four decimals are shown."""


@click.command()
@click.argument("image")
@click.argument("reference")
@click.option(
    "--range",
    "data_range",
    default="auto",
    show_default=True,
    help="Range of the PSNR: a number, or auto (1 for pictures, max |reference| for all else; "
    "where neither a result directory nor the file tells which, a number is needed).",
)
@click.option(
    "--slice",
    "index",
    type=click.IntRange(min=0),
    default=None,
    metavar="N",
    help="Of fastMRI's reconstruction_rss or _esc, where a file has no reference [default: as "
    "many as IMAGE, or the middle one].",
)
@click.option(
    "--score",
    type=click.Choice(["ktc", "htc"]),
    default=None,
    help="In place of PSNR. ktc: the score of the Kuopio Tomography Challenge 2023, for eit; "
    "REFERENCE holds the classes 0 background, 1 resistive, 2 conductive. htc: that of the "
    "Helsinki Tomography Challenge 2022, for ct; REFERENCE is a segmentation of two values.",
)
@click.option(
    "--series",
    is_flag=True,
    help="The planes are frames of a time series: the warping error tells its flicker. A result of "
    "--series says so itself.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    image: str,
    reference: str,
    data_range: str,
    index: int | None,
    score: str | None,
    series: bool,
    as_json: bool,
) -> None:
    """Compare IMAGE with REFERENCE: PSNR, SSIM, NRMSE.

    Complex images are compared by magnitude; neither image is rescaled to the other. Of phase
    retrieval the reference is turned and moved to fit best, as in a run. Of a time series the
    warping error says how much it flickers.
    """
    from untrained.cli.closing import note_lines
    from untrained.data.evaluate import evaluate_files, evaluate_notes
    from untrained.data.htc import score_files as score_htc
    from untrained.data.ktc_files import score_files as score_ktc
    from untrained.report.save import plain_values

    if score is None:
        found = evaluate_files(image, reference, data_range, index, series)
        notes = evaluate_notes(image, reference, index)
    elif data_range != "auto" or index is not None or series:
        raise UserError(f"--score {score} takes no --range, --slice or --series; leave them out")
    else:
        found, notes = {"ktc": score_ktc, "htc": score_htc}[score](image, reference)
    for note in notes:
        click.echo("\n".join(note_lines(note)), err=True)
    if as_json:
        click.echo(json.dumps(plain_values(found), indent=2))
        return
    width = max(8, *map(len, found))
    for name, value in found.items():
        click.echo(f"{name:<{width}} {_text(name, value)}")


def _text(name: str, value: float) -> str:
    """Write a dash for what is no number, such as SSIM where a side is below 11 pixels."""
    if math.isnan(value):
        return "-"
    return f"{value:.4f}" if name in PLAIN else f"{value:.4g}"
