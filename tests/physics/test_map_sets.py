"""Two sets of coil maps (soft-SENSE): an object that is larger than the field of view."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call
from torch import Tensor

from untrained.classical import cgsense
from untrained.classical.wavelet import _as_image, _as_values
from untrained.data.evaluate import evaluate_files, evaluate_notes
from untrained.data.tasks.mri import load_mri
from untrained.errors import UserError
from untrained.maths import (
    as_components,
    fft2c,
    from_components,
    magnitude,
    to_channels,
    to_components,
)
from untrained.physics import MRI, espirit_maps
from untrained.priors.coils import UnitCoils
from untrained.problem import Problem

ROWS, WIDTH, SEEN, COILS = 48, 48, 34, 6


def folded() -> Tensor:
    """Coil images of an ellipse 45 pixels wide in a field of view of 34, complex."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (ROWS, WIDTH)), indexing="ij")
    radius = (x / 0.95) ** 2 + (y / 0.9) ** 2
    image = (radius < 1) * (0.6 + 0.3 * torch.cos(7 * x) * torch.sin(5 * y))
    image = image + 0.4 * ((radius < 1) & (radius > 0.8))
    coils = []
    for k in range(COILS):
        a = 2 * math.pi * k / COILS
        far = (x - 1.2 * math.cos(a)).square() + (y - 1.2 * math.sin(a)).square()
        coils.append(image * torch.polar((-far / 2).exp(), a + x * math.cos(a) + 0.6 * x))
    whole = torch.stack(coils)
    left = (WIDTH - SEEN) // 2
    inside = whole[..., left : left + SEEN].clone()
    inside[..., SEEN - left :] += whole[..., :left]
    inside[..., :left] += whole[..., left + SEEN :]
    return inside


@cache
def scan() -> tuple[Tensor, Tensor, Tensor]:
    """Every second column of noisy k-space and 16 in the middle, their mask, the full picture."""
    images = folded()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, dtype=images.dtype, generator=generator)
    mask = torch.zeros(ROWS, SEEN, dtype=torch.bool)
    mask[:, ::2] = True
    mask[:, SEEN // 2 - 8 : SEEN // 2 + 8] = True
    kspace = (fft2c(images) + 0.002 * noise) * mask
    return kspace, mask, images.abs().square().sum(0).sqrt()


def problem(sets: int) -> tuple[Problem, Tensor]:
    kspace, mask, truth = scan()
    maps = espirit_maps(kspace, mask, sets=sets)
    physics = MRI(mask, maps[None] if sets > 1 else maps)
    return Problem(to_channels(kspace[None]), physics), truth


def error_at_the_fold(made: Problem, image: Tensor, truth: Tensor) -> float:
    """Root mean square error in the middle, where what lies at both borders is laid over it."""
    found = magnitude(made.to_units(image))[0, 0]
    return float((found - truth)[:, SEEN // 2 - 5 : SEEN // 2 + 5].square().mean().sqrt())


def test_the_central_fold_over_goes_with_two_sets() -> None:
    errors = []
    for sets in (1, 2):
        made, truth = problem(sets)
        errors.append(error_at_the_fold(made, cgsense(made), truth))
    assert errors[1] < 0.5 * errors[0]


def test_the_sets_are_orthonormal_and_the_second_surrounds_the_object() -> None:
    kspace, mask, _ = scan()
    maps = espirit_maps(kspace, mask, sets=2)
    assert maps.shape == (2, COILS, ROWS, SEEN)
    inner = (maps[0].conj() * maps[1]).sum(0).abs()
    assert float(inner.max()) < 1e-4
    size = maps.abs().square().sum(1)
    assert bool(((size - 1).abs().minimum(size) < 1e-4).all())
    seen = size[1] > 0.5
    assert bool(seen[ROWS // 2, 4])
    assert not bool(seen[ROWS // 2, SEEN // 2])
    assert 0.05 < float(seen.float().mean()) < 0.4


def test_the_picture_is_that_of_the_coils() -> None:
    """Its maps are orthonormal: the components' root sum of squares is that of the coil images."""
    made, _ = problem(2)
    x = made.physics.A_adjoint(made.y) * (made.physics.support.sum(1, keepdim=True) == 4)
    physics = MRI(torch.ones(ROWS, SEEN), made.physics.maps)
    coils = physics.coil_images(physics.A(x))
    seen = to_components(coils.movedim(2, 1).flatten(0, 1)).abs().square().sum((0, 1)).sqrt()
    torch.testing.assert_close(magnitude(x)[0, 0], seen, atol=1e-4, rtol=1e-4)


def test_components_there_and_back() -> None:
    x = torch.randn(3, 4, 5, 6)
    assert torch.equal(from_components(to_components(x)), x)
    one = as_components(x[:, :2], 4)
    assert one.shape == x.shape
    torch.testing.assert_close(magnitude(one), magnitude(x[:, :2]))
    with pytest.raises(ValueError, match="pairs"):
        to_components(x[:, :3])


def test_a_network_draws_both_components(tmp_path: Path) -> None:
    kspace, mask, truth = scan()
    path, out = tmp_path / "scan.npz", tmp_path / "out"
    np.savez(path, kspace=kspace.numpy(), mask=mask.numpy(), reference=truth.numpy())
    words = f"reconstruct mri {path} --map-sets 2 --method dip --steps 3 --no-compare --quiet"
    assert call(*words.split(), "--out", out) == 0
    facts = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert any("2 sets" in note for note in facts["notes"])
    saved = np.load(out / "reconstruction.npy")
    assert saved.shape == (2, ROWS, SEEN)
    assert saved.dtype == np.complex64
    score = evaluate_files(out / "reconstruction.npy", path)["psnr"]
    assert score == pytest.approx(facts["metrics"]["psnr"], abs=0.01)
    assert "root of the sum" in " ".join(evaluate_notes(out / "reconstruction.npy", path))


def test_wavelets_are_of_every_component() -> None:
    made, _ = problem(2)
    x = torch.randn(1, 4, ROWS, SEEN)
    values = _as_values(made, x)
    assert values.shape == (2, ROWS, SEEN)
    torch.testing.assert_close(_as_image(made, values), x)


def test_one_set_is_as_before() -> None:
    kspace, mask, _ = scan()
    one, (several,) = MRI(mask, espirit_maps(kspace, mask)), [espirit_maps(kspace, mask)[None]]
    again = MRI(mask, several[:, None])
    x = torch.randn(2, 2, ROWS, SEEN)
    torch.testing.assert_close(one.A(x), again.A(x))
    torch.testing.assert_close(
        one.mean_squared_singular_value(), again.mean_squared_singular_value()
    )


def test_what_takes_one_set_says_so(tmp_path: Path) -> None:
    made, _ = problem(2)
    with pytest.raises(UserError, match="one set of coil maps, and these have 2"):
        UnitCoils.of(made, "varnet")
    kspace, mask, _ = scan()
    with pytest.raises(UserError, match="1 to 6"):
        espirit_maps(kspace, mask, sets=7)
    path = tmp_path / "scan.npz"
    np.savez(path, kspace=kspace.numpy(), mask=mask.numpy())
    with pytest.raises(UserError, match="--maps lowres gives others"):
        load_mri(path, maps="lowres", map_sets=2)
    np.savez(path, kspace=kspace[:1].numpy(), mask=mask.numpy())
    with pytest.raises(UserError, match="at least 2 coils"):
        load_mri(path, map_sets=2)
