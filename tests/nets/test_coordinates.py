"""Networks of coordinates against their formulas; where they are refused; what `inr` does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import untrained as ut
from untrained import methods as m
from untrained.core.engine import Engine
from untrained.errors import UserError
from untrained.nets import Siren, Wire, initialise
from untrained.physics import CT, Denoise, Inpaint, random_mask
from untrained.run.plan import plan
from untrained.solver.memory import memory_need


def grid(*sides: int) -> Tensor:
    axes = [torch.linspace(-1, 1, side) for side in sides]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


@pytest.mark.parametrize("features", [0, 3])
def test_wire_is_the_papers_formula_in_complex_numbers(features: int) -> None:
    """exp(i omega v - |sigma v|^2) of torch's own complex layers with the same weights, Eq. 4."""
    net = Wire(width=9, layers=2, omega=5.0, sigma=3.0, features=features).build(2, 2)
    initialise(net, 1)
    v = grid(5, 4).flatten(2)[0].T  # pixels, axes
    layers = [*net.encoder]
    if features:
        turns = 2 * torch.pi * v @ layers.pop(0).frequencies.T
        v = torch.cat([turns.sin(), turns.cos()], 1)
    linear = [layer for layer in layers if hasattr(layer, "weight")]
    assert linear[0].weight.shape[1] == 6, "9 / sqrt(2) complex channels"
    v = v @ linear[0].weight[0].T + linear[0].bias[0]
    h = torch.exp(5j * v - (3 * v).square())
    for layer in (*linear[1:], net.decoder.linear):
        h = nn.functional.linear(h, torch.complex(*layer.weight), torch.complex(*layer.bias))
        if layer is not net.decoder.linear:
            h = torch.exp(5j * h - (3 * h).abs().square())
    torch.testing.assert_close(net(grid(5, 4)).flatten(2)[0].T, h.real, rtol=1e-3, atol=1e-4)


def test_siren_is_the_papers_formula() -> None:
    """sin(omega (W v + b)), first weights within 1 / inputs, others sqrt(6 / inputs) / omega."""
    net = Siren(width=64, layers=3, omega=30.0).build(2, 1)
    initialise(net, 1)
    v = grid(5, 4).flatten(2)[0].T
    bounds = [1 / 2, (6 / 64) ** 0.5 / 30, (6 / 64) ** 0.5 / 30]
    for layer, bound in zip(net.encoder, bounds, strict=True):
        weight = layer.conv.weight.flatten(1)
        assert 0.9 * bound < weight.abs().max() <= bound
        v = torch.sin(30 * (v @ weight.T + layer.conv.bias))
    v = v @ net.decoder.conv.weight.flatten(1).T + net.decoder.conv.bias
    torch.testing.assert_close(net(grid(5, 4)).flatten(2)[0].T, v, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", [Siren(8, 2), Wire(8, 1)], ids=lambda n: type(n).__name__)
@pytest.mark.parametrize("sides", [(9,), (6, 7), (3, 5, 4)], ids=str)
def test_inr_draws_signals_pictures_and_volumes(net, sides: tuple[int, ...]) -> None:
    """Check that a network draws each pixel alone: of a part of the grid, that part."""
    y = torch.rand(1, 1, *sides)
    recipe = plan("denoise", method="inr").recipe
    assert recipe is not None
    problem = ut.Problem(y, Denoise((1, *sides)))
    module = replace(recipe, net=net).build(problem)
    z = grid(*sides)
    whole, part = module(z), module(z[..., :2])
    assert whole.shape == y.shape
    torch.testing.assert_close(whole[..., :2], part)
    result = ut.solve(m.INR(5), problem, net=net, engine=Engine("adam", lr=1e-3))
    assert result.image.shape == y.shape


@pytest.mark.parametrize(("net", "rate"), [("siren", 1e-3), ("wire", 5e-3)])
def test_a_smooth_picture_is_learned_and_missing_pixels_come_with_it(net: str, rate: float) -> None:
    """Half of the pixels of a slow wave: above 30 dB where nothing was measured."""
    x = 0.5 + 0.3 * torch.sin(3 * grid(24, 24)[:, :1] + 2 * grid(24, 24)[:, 1:])
    physics = Inpaint(random_mask((24, 24), 0.5), (1, 24, 24))
    result = ut.reconstruct(
        physics.A(x),
        physics,
        "inr",
        settings=[f"net={net}", f"engine.lr={rate}", "net.width=48", "net.omega=4"],
        steps=150,
        truth=x,
        progress=False,
        compare=False,
    )
    assert result.about.metrics["psnr"] > 30


def test_images_of_other_units_are_drawn_too() -> None:
    """CT has no range of its own: brightness a thousand times that of a picture is no obstacle."""
    x = 1000 * torch.exp(-4 * grid(24, 24).square().sum(1, keepdim=True))
    physics = CT((24, 24), torch.arange(0, 180, 9.0).numpy(), 24)
    result = ut.reconstruct(
        physics.A(x), physics, "inr", steps=150, truth=x, progress=False, compare=False
    )
    assert result.about.metrics["psnr"] > 25


def test_a_network_of_coordinates_is_refused_other_inputs_and_inr_other_networks() -> None:
    """By name, with what to do, before anything runs; DIP's mesh grid is one of coordinates."""
    for name in ("dip", "house", "aseqdip"):
        with pytest.raises(UserError, match="does not give it: take --method inr --set net=siren"):
            plan("denoise", method=name, settings=["net=siren"])
    plan("inpaint", method="dip", settings=["net=wire", "input=meshgrid"])
    with pytest.raises(UserError, match="UNet is none: take net=siren or net=wire"):
        plan("denoise", method="inr", settings=["net=unet"])
    with pytest.raises(UserError, match="sigma must be positive and finite"):
        Wire(sigma=0.0)


def test_memory_grows_with_pixels_and_width() -> None:
    """The estimate counts what a step of a network of coordinates keeps."""
    recipe = plan("denoise", method="inr").recipe
    assert recipe is not None

    def full(side: int, width: int) -> int:
        problem = ut.Problem(torch.rand(1, 1, side, side), Denoise((1, side, side)))
        return memory_need(replace(recipe, net=Siren(width, 4)), problem).full

    assert full(64, 32) == pytest.approx(4 * full(32, 32), rel=0.1)
    assert full(64, 64) > 1.8 * full(64, 32)
    problem = ut.Problem(torch.rand(1, 1, 32, 32), Denoise((1, 32, 32)))
    assert memory_need(replace(recipe, net=Wire(32, 2)), problem).full > full(32, 32)
