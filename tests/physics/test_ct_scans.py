"""The CT operator against measured scans."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from untrained.physics.ct import CT, FanBeam
from untrained.physics.ct_geometry import Geometry
from untrained.physics.fbp import fbp

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def read_tooth() -> tuple[np.ndarray, np.ndarray]:
    path = DATA / "ct_tooth" / "tooth.h5"
    if not path.exists():
        pytest.skip(f"measured scan not found: {path}")
    import h5py

    with h5py.File(path) as file:
        part = file["exchange"]
        dark = part["data_dark"][:, 0].mean(0)
        white = part["data_white"][:, 0].mean(0) - dark
        sinogram = -np.log(np.clip((part["data"][:, 0] - dark) / white, 1e-3, None))
        return sinogram.T.astype(np.float32), part["theta"][:]


def test_tooth_agrees_with_scikit_image():
    sinogram, angles = read_tooth()
    from skimage.transform import iradon

    centred = np.ascontiguousarray(sinogram[:593])  # the rotation centre is at detector 296
    theirs = iradon(centred, theta=angles, output_size=97, circle=False)
    y = torch.from_numpy(centred)[None, None]
    ours = fbp(y, Geometry((97, 97), angles, 593))[0, 0].numpy()
    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()


def misfit(physics: CT, sinogram: np.ndarray) -> float:
    """Relative residual after 12 steps of conjugate gradients on the normal equations."""
    y = torch.from_numpy(np.ascontiguousarray(sinogram))[None, None]
    residual, direction = y.clone(), physics.A_adjoint(y)
    power = direction.square().sum()
    for _ in range(12):
        image = physics.A(direction)
        residual = residual - power / image.square().sum() * image
        gradient = physics.A_adjoint(residual)
        power, before = gradient.square().sum(), power
        direction = gradient + power / before * direction
    return float(residual.norm() / y.norm())


def test_tooth_is_explained_only_with_its_rotation_centre():
    sinogram, angles = read_tooth()
    binned = sinogram.reshape(160, 4, -1).mean(1)[:, ::6]
    # The middle of bin k of four detectors is detector 4 k + 1.5.
    offset = (296 - 1.5) / 4 - 159 / 2

    def scan(offset: float) -> CT:
        return CT(
            (100, 100),
            angles[::6],
            160,
            pixel_size=4.0,
            detector_pitch=4.0,
            detector_offset=offset,
        )

    right = misfit(scan(offset), binned)
    assert right < 0.02
    assert all(misfit(scan(offset + shift), binned) > 1.3 * right for shift in (-1, 1))


def test_pepper_is_explained_only_by_its_fan_and_turn():
    path = DATA / "ct_bellpepper" / "bell_pepper_high_dose.npz"
    if not path.exists():
        pytest.skip(f"measured scan not found: {path}")
    data = np.load(path)
    shape = json.loads(str(data["geometry_json"]))
    fan = FanBeam(shape["source_to_origin_mm"], shape["source_to_detector_mm"])
    binned = data["sinogram"][::8].reshape(-1, 70, 8).mean(2).T
    pitch = 8 * shape["detector_pixel_mm"]
    pixel = pitch * fan.source_origin / fan.source_detector

    def scan(turn: int, fan: FanBeam | None, pitch: float) -> CT:
        return CT(
            (85, 85),  # larger than the field of view: the pepper is slightly cut off
            turn * data["angles_deg"][::8],
            70,
            pixel_size=pixel,
            detector_pitch=pitch,
            fan=fan,
        )

    right = misfit(scan(1, fan, pitch), binned)
    assert right < 0.02
    assert misfit(scan(-1, fan, pitch), binned) > 5 * right
    assert misfit(scan(1, None, pixel), binned) > 5 * right
