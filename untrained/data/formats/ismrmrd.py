"""ISMRMRD (MRD): raw data of magnetic resonance scanners in HDF5, whatever the suffix."""

from __future__ import annotations

from untrained.data.formats.base import NamedArraysFormat
from untrained.data.formats.hdf5 import open_hdf5

ISMRMRD = NamedArraysFormat(
    "ISMRMRD",
    (".mrd",),
    "raw k-space of a scanner (also as .h5): readouts sorted, noise scan, calibration lines",
    open_hdf5,
)
