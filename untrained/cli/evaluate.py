"""`untrained evaluate IMAGE REFERENCE`."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("image")
@click.argument("reference")
@click.option(
    "--range",
    "data_range",
    default="auto",
    show_default=True,
    help="Range of the PSNR: a number, or auto (max |reference| for complex data, 1 for integer "
    "files; other data need a number).",
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(image: str, reference: str, data_range: str, index: int | None, as_json: bool) -> None:
    """Compare IMAGE with REFERENCE: PSNR, SSIM, NRMSE.

    Complex images are compared by magnitude; neither image is rescaled to the other.
    """
    from untrained.data.evaluate import evaluate_files, unit_notes

    found = evaluate_files(image, reference, data_range, index)
    for note in unit_notes(image, reference, index):
        click.echo(f"note: {note}", err=True)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        click.echo(f"{name:<8} {value:.4f}" if isinstance(value, float) else f"{name:<8} {value}")
