"""Trained reconstructors: each layout against its paper's recursion, written out apart from it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from weight_files import d5c5, draw, hammernik, modl, trained, write_torch

import untrained as ut
from untrained.errors import UserError
from untrained.maths import fft2c, ifft2c, to_channels, to_complex
from untrained.physics import MRI, Denoise
from untrained.priors import load_prior
from untrained.run.plan import plan

SIDES = (16, 14)
MASK = torch.arange(SIDES[1]) % 3 != 1


def unit_maps(coils: int) -> Tensor:
    turns = 2 * math.pi * torch.rand(coils, *SIDES, generator=torch.Generator().manual_seed(1))
    size = 0.2 + torch.rand(coils, *SIDES, generator=torch.Generator().manual_seed(2))
    maps = torch.polar(size, turns)
    return maps / maps.abs().square().sum(0).sqrt()


def scan(coils: int, maps: Tensor | None = None) -> tuple[ut.Problem, Tensor, Tensor]:
    """A problem, its complex measurements `(coils, H, W)` in network units, and unit maps."""
    unit = unit_maps(coils)
    image = to_channels(torch.complex(draw(1, *SIDES, scale=1.0), draw(1, *SIDES, seed=3, scale=1)))
    y = MRI(MASK, unit).A(image)
    problem = ut.Problem(y, MRI(MASK, unit if maps is None else maps))
    return problem, to_complex(problem.y)[0], unit


def back(k: Tensor, maps: Tensor) -> Tensor:
    return (maps.conj() * ifft2c(k * MASK)).sum(0)


def forth(u: Tensor, maps: Tensor) -> Tensor:
    return MASK * fft2c(maps * u)


def units(problem: ut.Problem, u: Tensor) -> Tensor:
    return problem.to_units(to_channels(u[None]))


def test_a_variational_network_is_hammerniks_recursion() -> None:
    weights = hammernik()
    problem, f, maps = scan(3)
    u = back(f, maps)
    size = u.abs().max()
    u, f = u / size, f / size
    for t in range(2):
        kernel = weights[f"cell_list.{t}.conv_kernel"][:, :, :, :, :]
        padded = functional.pad(torch.view_as_real(u).permute(2, 0, 1)[None], (11,) * 4, "reflect")
        features = sum(
            functional.conv2d(padded[:, c : c + 1], kernel[..., c], padding=2) for c in (0, 1)
        )
        assert isinstance(features, Tensor)
        w = weights[f"cell_list.{t}.activation.w"]
        centres, sigma = torch.linspace(-1, 1, 7), 2 / 6
        bells = torch.exp(-(features[..., None] - centres).square() / (2 * sigma**2))
        phi = (w * bells).sum(-1)
        sides = [functional.conv_transpose2d(phi, kernel[..., c], padding=2) for c in (0, 1)]
        step = torch.complex(sides[0], sides[1])[0, 0, 11:-11, 11:-11] / 3
        gradient = back(forth(u, maps) - f, maps)
        u = u - step - weights[f"cell_list.{t}.lamb"] * gradient
    found = problem.to_units(trained("hammernik").reconstruct(problem))
    torch.testing.assert_close(found, units(problem, u * size), atol=1e-5, rtol=1e-4)


def test_without_influence_it_is_gradient_descent() -> None:
    weights = {n: t * 0 if n.endswith(".w") else t for n, t in hammernik().items()}
    problem, f, maps = scan(3)
    u = back(f, maps)
    for t in range(2):
        u = u - weights[f"cell_list.{t}.lamb"] * back(forth(u, maps) - f, maps)
    found = problem.to_units(trained("hammernik", weights).reconstruct(problem))
    torch.testing.assert_close(found, units(problem, u), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["hammernik", "modl"])
def test_maps_of_any_norm_give_the_image_of_unit_maps(name: str) -> None:
    root = 0.3 + torch.rand(SIDES, generator=torch.Generator().manual_seed(9))
    prior = trained(name)
    plain, _, maps = scan(3)
    other, _, _ = scan(3, maps * root)
    expected = plain.to_units(prior.reconstruct(plain)) / root
    torch.testing.assert_close(
        other.to_units(prior.reconstruct(other)), expected, atol=1e-5, rtol=1e-3
    )


def test_a_cascade_is_schlempers_recursion_with_turned_kernels() -> None:
    weights = d5c5()
    problem, k, maps = scan(1)
    u = back(k, maps)
    size = u.abs().max()
    u, k = u / size, k / size
    for part in range(2):
        h = to_channels(u[None])
        for j in range(3):
            i = 6 * part + 2 * j
            turned = weights[f"arr_{i}"].flip(-1, -2)
            h = functional.conv2d(h, turned, weights[f"arr_{i + 1}"], padding=1)
            h = h.relu() if j < 2 else h
        u = u + to_complex(h)[0]
        whole = fft2c(maps[0] * u)
        u = maps[0].conj() * ifft2c(torch.where(MASK, k[0], whole))
    found = problem.to_units(trained("d5c5").reconstruct(problem))
    torch.testing.assert_close(found, units(problem, u * size), atol=1e-5, rtol=1e-4)


def test_a_cascade_keeps_what_was_measured() -> None:
    problem, _, _ = scan(1)
    found = trained("d5c5").reconstruct(problem)
    torch.testing.assert_close(problem.A(found), problem.y, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("normalised", [True, False])
def test_modl_is_its_recursion_with_an_exact_inverse(normalised: bool) -> None:
    """With one coil A^H A has the eigenvalues 0 and 1, and conjugate gradients end in two steps."""
    weights = modl(normalised=normalised)
    problem, k, maps = scan(1)
    first = back(k, maps)
    size = first.abs().max()
    first, k = first / size, k / size
    lam, step = float(weights["dc.lam"]), 3 if normalised else 2
    x = first
    for _ in range(10):
        h = to_channels(x[None])
        for i in range(3):
            one = {n: weights.get(f"dw.nw.{step * i}.{n}") for n in ("weight", "bias")}
            h = functional.conv2d(h, one["weight"], one["bias"], padding=1)
            if normalised:
                names = ("running_mean", "running_var", "weight", "bias")
                norm = [weights[f"dw.nw.{step * i + 1}.{n}"] for n in names]
                h = functional.batch_norm(h, *norm)
            h = h.relu() if i < 2 else h
        z = x + to_complex(h)[0]
        right = fft2c(maps[0] * z) * lam + k[0]
        x = maps[0].conj() * ifft2c(right / (MASK.float() + lam))
    prior = trained("modl", weights)
    found = problem.to_units(prior.reconstruct(problem))
    torch.testing.assert_close(found, units(problem, x * size), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["hammernik", "d5c5", "modl"])
def test_its_method_and_no_other_applies_it(name: str, tmp_path: Path) -> None:
    layout = {"hammernik": hammernik, "d5c5": d5c5, "modl": modl}[name]
    prior = load_prior(write_torch(tmp_path / "w.pth", layout()))
    assert prior.provenance.architecture == name
    methods = {"hammernik": "varnet", "d5c5": "cascade", "modl": "modl"}
    for other in methods.values():
        if other == methods[name]:
            assert plan("mri", method=other, prior=prior).prior is prior
        else:
            with pytest.raises(UserError, match=f"that is --method {methods[name]}"):
                plan("mri", method=other, prior=prior)
    with pytest.raises(UserError, match="asks a denoiser"):
        plan("mri", method="deepred", prior=prior)


def test_a_seed_is_refused_and_a_missing_file_is_asked_for() -> None:
    chosen = plan("mri", method="varnet", prior=trained("hammernik"))
    with pytest.raises(UserError, match="draws nothing at random"):
        chosen.seeds(3)
    with pytest.raises(UserError, match=r"'modl' asks a trained reconstructor.*--prior FILE"):
        plan("mri", method="modl")


def test_several_coils_or_another_operator_are_refused() -> None:
    with pytest.raises(UserError, match="trained for one coil, and this scan has 3"):
        trained("d5c5").reconstruct(scan(3)[0])
    photograph = ut.Problem(torch.rand(1, 1, 16, 16), Denoise((1, 16, 16)))
    for name in ("hammernik", "d5c5", "modl"):
        with pytest.raises(UserError, match="Cartesian MRI in the plane"):
            trained(name).reconstruct(photograph)
