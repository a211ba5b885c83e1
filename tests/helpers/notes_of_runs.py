"""Notes about what became of a run, and of simulate and evaluate, with what gives each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from note_row import Row
from odd_inputs import (
    NOISY,
    PIC,
    SMALL,
    amplitudes,
    deblur,
    denoise,
    fastmri,
    grey,
    jumping,
    learned,
    network,
    npy,
    npz,
    photo,
    simulate,
    with_noisy_prior,
    with_prior,
)
from odd_scans import raw, segmented, unscanned

OWN_METHOD = f"{Path(__file__).parents[2] / 'examples' / 'write_a_method.py'}:Relaxed"
RUNS = (
    # what became of a run
    Row("a classical image (", deblur(*network())),
    Row("moved towards the measurements at the end", deblur(*network(method="dip", steps=60))),
    Row("which in trials predicted held-out measurements best", deblur(
        *network("--set", "lam=auto", method="aseqdip", steps=8, small=SMALL[:2]))),
    Row("there is no classical answer beside it", lambda f: [*deblur(*network())(f), "--compare"],
        None, (("untrained.run.evaluate.COMPARISON", -1.0),)),
    Row("the fit of all measurements failed", deblur(*network(method="dip", steps=60)), None,
        (("untrained.solver.loop.off_track", jumping),)),
    Row("was dropped from the mean", deblur(*network("--seeds", "2", "--set", "stop.again=false",
        method="dip", steps=30)), None, (("untrained.solver.loop.off_track", jumping),)),
    Row("it has the network and the start that", learned),
    Row("that was trained elsewhere (", with_prior),
    Row("is asked of the denoiser, and it was trained on", with_prior),
    Row("and is asked at that level alone", lambda f: with_prior(
        f, "--set", f"strength={25 / 255!r}")),
    Row("the prior knows no noise below", with_noisy_prior),
    Row("shows what learning is worth", lambda f: [
        *denoise(measurement=NOISY)(f), *network(method="ugodit")], lambda: {
        **photo(NOISY)(), "method": "ugodit", "steps": 2, "settings": SMALL[1::2]}),
    Row("is run with the network, engine, stop rule and output of", lambda f: [
        *denoise(measurement=NOISY)(f), *network(method=OWN_METHOD)], lambda: {
        **photo(NOISY)(), "method": OWN_METHOD, "steps": 2, "settings": SMALL[1::2]}),
    Row("the weights were learned for another scan", learned),
    Row("times as bright as the image", denoise(measurement=NOISY, reference=255 * PIC),
        lambda: photo(NOISY, truth=torch.from_numpy(255 * PIC)[None, None])()),
    # simulate and evaluate, which have no result
    Row("no kernel given: a Gaussian", simulate("deblur", grey)),
    Row("no --bkse given: the built-in non-linear blur", simulate("nldeblur", grey)),
    Row("the image is real: its phase is taken as zero", simulate("mri", grey)),
    Row("samples furthest from the centre of k-space", unscanned("corners")),
    Row("of the image that hold least", unscanned("background")),
    Row("ISMRMRD, readouts: ", raw),
    Row("of the encoded space", raw),
    Row("and its reference were divided by ", simulate(
        "phase", lambda f: npy(f, (3j * PIC).astype(np.complex64)))),
    Row("black is a conductivity of", simulate("eit", grey, "--electrodes", 8)),
    Row("was cut into background, resistive and conductive", lambda f: [
        "evaluate", npy(f, np.eye(256), "a.npy"), npy(f, 0.5 + np.eye(256), "b.npy"),
        "--score", "ktc"]),
    Row("by Otsu's method", segmented),
    Row("its middle was compared, pixels being taken for equally large", segmented),
    Row("so that no ray loses more than 86 %", simulate("ct", grey, "--photons", 1000)),
    Row("smooth birdcage-like coil maps", simulate("mri", grey)),
    Row("turned and moved to fit the image best", lambda f: ["evaluate", npy(f, PIC), npz(
        f, measurement=amplitudes(), image_shape=np.array([24, 24]), reference=PIC)]),
    Row("the image is compared with slice", lambda f: [
        *("evaluate", npy(f, np.ones((48, 48))), fastmri(48, 48)(f))]),
)  # fmt: skip
