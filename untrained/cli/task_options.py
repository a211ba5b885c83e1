"""Options of `untrained reconstruct` that several tasks have."""

from __future__ import annotations

import click

INPUTS = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
VOLUME = click.option(
    "--volume", is_flag=True, help="All slices as one volume, by a network in three dimensions."
)
SLICE = click.option(
    "--slice", "index", default=None, metavar="N|all", help="Slice of a file of several."
)
TILE = click.option(
    "--tile",
    type=click.IntRange(min=1),
    default=None,
    metavar="SIZE",
    help="Work in overlapping tiles of this many pixels a side [default: only where the memory is "
    "too small for the whole].",
)
SERIES = click.option(
    "--series",
    is_flag=True,
    help="A folder or stack is one time series: its frames are reconstructed together.",
)
KEY = click.option(
    "--key",
    default=None,
    metavar="NAME",
    help="Array of the .npz or .h5 that was measured; group/name in HDF5.",
)


PHOTONS = click.option(
    "--photons",
    type=float,
    default=None,
    metavar="N",
    help="The picture counts photons, and was divided by those of a white pixel, N.",
)
READ_NOISE = click.option(
    "--read-noise",
    type=float,
    default=None,
    metavar="R",
    help="Standard deviation of the read-out's noise, in photons.",
)

MASK_FROM = click.option(
    "--mask-from",
    default=None,
    metavar="FILE",
    help="Another picture with the same visible mark (logo, text): the mark is taken out.",
)
KEPT_NOISE = click.option(
    "--sigma",
    default=None,
    metavar="S|auto",
    help="Noise of the kept pixels, 0..255 scale; 0 keeps them as they are.  [default: auto]",
)
