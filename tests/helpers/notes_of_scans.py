"""Notes about CT, MRI, own operators and electrodes, with what gives each."""

from __future__ import annotations

import numpy as np
from note_row import Row
from odd_inputs import (
    COLUMNS,
    CUT,
    DEAD,
    LINES,
    LOST_VIEW,
    SIGN,
    VIEWS,
    coils,
    counted_from_one,
    ct,
    ct_python,
    custom,
    custom_python,
    exchanged,
    fastmri,
    hdf,
    loud,
    mri,
    mri_python,
    npy,
    of,
    oversampled,
    scan,
    tank,
    unlike,
    unmeasured,
)
from odd_scans import CONE, cone, counted, described, half_empty, radial, shots

from untrained.data.phantoms import birdcage_maps, brain

SCANS = (
    # CT
    Row("are the angles in radians?", ct(angles=np.radians(VIEWS)),
        ct_python(scan(), np.radians(VIEWS))),
    Row("is the sign of the logarithm wrong?", ct(sinogram=-scan() - 1), ct_python(-scan() - 1)),
    Row("the outermost detectors see as much", ct(sinogram=scan() + 100), ct_python(scan() + 100)),
    Row("the rotation centre seems to be off", ct(sinogram=scan(detector_offset=3.0)),
        ct_python(scan(detector_offset=3.0))),
    Row("the views do not fit the geometry", ct("--compare", sinogram=scan(detector_offset=3.0)),
        lambda: {**ct_python(scan(detector_offset=3.0))(), "compare": True}),
    Row("what the detector sees at the rotation centre", ct(pixel_size=1.0, detector_pitch=0.05),
        ct_python(scan(), pixel_size=1.0, detector_pitch=0.05)),
    Row("is dead (", ct(sinogram=DEAD), ct_python(DEAD)),
    Row("is lost (", ct(sinogram=LOST_VIEW), ct_python(LOST_VIEW)),
    Row("are left out, as the file's mask says", ct(mask=np.arange(34) != 15)),
    Row("the object is wider than the detector: where the views end",
        ct(sinogram=CUT, image_shape=None)),
    Row("the image has no room for what lies outside", ct(sinogram=CUT, image_shape=[24, 24]),
        ct_python(CUT)),
    Row("image size not given", ct(image_shape=None)),
    Row("detector pitch not given", ct(pixel_size=1.0)),
    Row("pixel size not given", ct(detector_pitch=1.0)),
    Row(
        "the projection matrix would take",
        ct(),
        None,
        (("untrained.data.tasks.ct_scan.largest_array", lambda: 1),),
    ),
    Row("volume size not given", cone()),
    Row("slices lie beyond the panel and are hardly measured", cone(volume_shape=[40, 12, 12])),
    Row("every ray weighs by its photons", counted()),
    Row("of the rays had none, and count as one photon", counted()),
    Row("the geometry is that of the file's", ct(**described(**CONE))),
    Row("describes no fan or cone beam, and is not used", ct(**described(target="Mo"))),
    Row("takes the place of", ct("--refine", "center", sinogram=scan(detector_offset=2.0))),
    Row("detector bins were found and subtracted", ct("--rings")),
    Row("the angles of the views were corrected by", ct("--refine", "angles")),
    # MRI
    Row("no mask was given: the non-zero pattern", mri()),
    Row("was read as (slices, H, W) of a single coil", of(
        "mri", lambda f: hdf(f, kspace=coils(1) * COLUMNS))),
    Row("the mask leaves out the centre of k-space", mri(
        kspace=coils(), mask=~COLUMNS, maps=np.ones((4, 48, 48), np.complex64) / 2)),
    Row("measured positions of k-space unused", mri(kspace=coils(), mask=COLUMNS)),
    Row("that the mask calls measured hold zeros", mri(mask=COLUMNS | (np.arange(48) == 1))),
    Row("was read as whole", mri(mask=COLUMNS[None])),
    Row("was read as one mask (H, W)", mri(mask=np.tile(COLUMNS, (4, 48, 1)))),
    Row("from the fully sampled", mri()),
    Row("sets, ESPIRiT from the fully sampled", mri("--map-sets", 2)),
    Row("coil maps: from the file", mri(maps=birdcage_maps(4, (48, 48)).astype(np.complex64))),
    Row("coil maps: from ", lambda f: [
        *mri()(f), "--maps", npy(f, birdcage_maps(4, (48, 48)).astype(np.complex64), "maps.npy")]),
    Row("a single coil: its map is taken as 1", mri(kspace=coils(1)[0] * COLUMNS)),
    Row("the reference is real: it is compared by magnitude", mri(reference=np.abs(brain(48)))),
    Row("the reference is the file's ", of("mri", fastmri(48, 48))),
    Row("the middle 40x40 of", of("mri", fastmri(40, 40))),
    Row("what lies beyond comes of the oversampled readout", of("mri", fastmri(24, 48))),
    Row("is larger than the image: no reference", of("mri", fastmri(64, 64))),
    Row("more coils than rows or columns", mri(
        kspace=np.tile(coils(1) * 0.1 + 0.001 * coils(1), (60, 1, 1))[:, 2:46, 2:46],
        maps=np.ones((60, 44, 44), np.complex64) / 8)),
    Row("the strongest sample of k-space is at", mri(kspace=np.roll(coils(), 9, axis=-1)),
        mri_python(np.roll(coils(), 9, axis=-1))),
    Row("half a field of view off", mri(kspace=coils() * SIGN), mri_python(coils() * SIGN)),
    Row("the readout is oversampled", mri(kspace=oversampled())),
    Row("near the centre of k-space hold less than", mri(kspace=LINES), mri_python(LINES)),
    Row("the noise of coils is unequal", mri(kspace=loud()), mri_python(loud())),
    Row("is complex: kx + i ky", radial(traj=lambda t: t[..., 0] + 1j * t[..., 1])),
    Row("taken as cycles per field of view of", radial(traj=lambda t: 32 * t)),
    Row("taken as halves of the sampled band", radial(traj=lambda t: 2 * t)),
    Row("of the 0.5 cycles per pixel that an image can show", radial(traj=lambda t: t / 8)),
    Row("taken as radians per pixel", radial(traj=lambda t: 2 * np.pi * t)),
    Row("density compensation: the file's", radial(
        dcf=lambda _: np.hypot(*np.moveaxis(shots(), -1, 0)) + 0.01)),
    Row("density compensation: computed (Pipe and Menon)", radial()),
    Row("the field of view that the distance of samples allows", radial(samples=32)),
    Row("; another one as 'image_shape' in the file", radial()),
    Row("pixels the outer ones show nothing", radial()),
    Row(", as the file's ", radial(reference=lambda _: brain(32))),
    Row("shots hold zeros in every coil: not measured", radial(kspace=half_empty)),
    # operators of one's own
    Row("A_adjoint is only roughly the adjoint", custom, custom_python),
    # a tank with electrodes
    Row("without reference voltages the background", tank(reference_voltages=lambda _: None)),
    Row("a disc was made, of radius", tank(
        nodes=lambda _: None, elements=lambda _: None, electrodes=lambda _: None)),
    Row("are counted from 1, as in MATLAB", tank(
        elements=counted_from_one, electrodes=counted_from_one)),
    Row("holds classes, not conductivities", tank(truth=lambda _: np.zeros((256, 256)))),
    Row("of the challenge:", tank("--ktc-level", "2")),
    Row("fitted: a background conductivity of", tank()),
    Row("are NaN and count as not measured", tank(voltages=unmeasured)),
    Row("mesh must have the electrodes in one order", tank(
        injections=exchanged, patterns=exchanged)),
    Row("and whether each has contact", tank(
        reference_voltages=lambda v: v + v.std() * unlike(v))),
    Row("count from the mean of all electrodes", tank(
        patterns=lambda _: np.eye(8)[:, :6], voltages=lambda v: v[:6],
        reference_voltages=lambda v: v[:6])),
    Row("was read as (injections, voltages)", tank(
        patterns=lambda p: p[:, :6], voltages=lambda v: v[:6].T,
        reference_voltages=lambda v: v[:6])),
)  # fmt: skip
