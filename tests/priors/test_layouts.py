"""Each layout of weights that this library reads itself: recognised, exact in a limit, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from weight_files import (
    d5c5,
    draw,
    hammernik,
    kair,
    mnist,
    modl,
    scico,
    write_mpk,
    write_torch,
)

from untrained.errors import UserError
from untrained.priors import ARCHITECTURES, GaussianDenoiser, Provenance, load_prior
from untrained.priors.diffusion import (
    CENTRED,
    PLAIN,
    SYMMETRIC,
    Units,
    VEDenoiser,
    VPDenoiser,
    linear_schedule,
)

LAYOUTS = {
    "dncnn": kair,
    "scico": scico,
    "mnist": mnist,
    "hammernik": hammernik,
    "d5c5": d5c5,
    "modl": modl,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_and_no_other_claims_it(name: str, tmp_path: Path) -> None:
    file = write_torch(tmp_path / "w.pth", LAYOUTS[name]())
    tensors = LAYOUTS[name]()
    assert [n for n, one in ARCHITECTURES.items() if one.recognises(tensors)] == [name]
    prior = load_prior(file)
    assert prior.provenance.architecture == name
    assert load_prior(f"{file}:{name}").provenance == prior.provenance


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_lacking_strange_or_misshapen_tensor_is_named(name: str, tmp_path: Path) -> None:
    whole = LAYOUTS[name]()
    last = [n for n in whole if "tracked" not in n][-1]
    for tensors in (
        {n: t for n, t in whole.items() if n != last},
        {**whole, "gt.odd/params/odd": torch.ones(3)},
        {**whole, last: torch.ones(3, 2, 7)},
    ):
        file = write_torch(tmp_path / "w.pth", tensors)
        with pytest.raises(UserError, match=r"--prior: .*w\.pth: "):
            load_prior(f"{file}:{name}")


@pytest.mark.parametrize("where", ["plain", "ema", "net", "state_dict", "model", "deep"])
def test_checkpoints_are_unwrapped_and_prefixes_fall(where: str, tmp_path: Path) -> None:
    weights = kair()
    wrapped = {f"module.{n}": t for n, t in weights.items()}
    other = {n: t + 1 for n, t in weights.items()}
    tree = {
        "plain": wrapped,
        "ema": {"model": other, "ema": wrapped, "step": 7},
        "deep": {"state_dict": {"net": wrapped}, "optimizer": {"state": {}}},
    }.get(where, {where: wrapped, "epoch": 3})
    x = torch.rand(1, 1, 9, 8)
    plain = load_prior(write_torch(tmp_path / "a.pth", weights)).denoise(x, 0.1)
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        found = load_prior(write_torch(tmp_path / "b.pth", tree, **options))
        assert torch.equal(found.denoise(x, 0.1), plain)


def test_safetensors_say_their_licence(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_file(kair(), file, {"license": "MIT"})
    prior = load_prior(file)
    assert prior.provenance.licence == "MIT"
    as_torch = load_prior(write_torch(tmp_path / "w.pth", kair()))
    x = torch.rand(1, 1, 9, 8)
    assert torch.equal(prior.denoise(x, 0.1), as_torch.denoise(x, 0.1))
    assert as_torch.provenance.licence == ""


def test_the_name_of_a_file_of_kair_tells_its_level(tmp_path: Path) -> None:
    for name, level in (("dncnn_15.pth", 15), ("dncnn_50.pth", 50), ("other.pth", 25)):
        prior = load_prior(write_torch(tmp_path / name, kair()))
        assert prior.levels == (level / 255, level / 255)


# SCICO -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [1, 2])
def test_scico_is_what_its_tensors_say(inputs: int, tmp_path: Path) -> None:
    """Compare with the same equations written out, its kernels (H, W, in, out) and circular."""
    weights = scico(inputs)
    prior = load_prior(write_mpk(tmp_path / "w.mpk", weights))
    x = torch.rand(2, 1, 7, 9)
    level = torch.tensor([0.05, 0.15])

    def convolve(image: Tensor, kernel: Tensor) -> Tensor:
        padded = functional.pad(image, (1, 1, 1, 1), mode="circular")
        return functional.conv2d(padded, kernel.permute(3, 2, 0, 1))

    known = level[:, None, None, None].expand_as(x)
    h = torch.cat([x, known], 1) if inputs == 2 else x
    h = convolve(h, weights["params/conv_start/kernel"]).relu()
    for i in range(2):
        h = convolve(h, weights[f"params/ConvBNBlock_{i}/Conv_0/kernel"])
        one = {k: weights[f"params/ConvBNBlock_{i}/BatchNorm_0/{k}"] for k in ("scale", "bias")}
        one |= {k: weights[f"batch_stats/ConvBNBlock_{i}/BatchNorm_0/{k}"] for k in ("mean", "var")}
        one = {k: v[:, None, None] for k, v in one.items()}
        h = ((h - one["mean"]) / (one["var"] + 1e-5).sqrt() * one["scale"] + one["bias"]).relu()
    expected = x - convolve(h, weights["params/conv_end/kernel"])[:, :1]
    torch.testing.assert_close(prior.denoise(x, level), expected)


def test_a_network_that_knows_one_level_is_asked_at_it(tmp_path: Path) -> None:
    prior = load_prior(write_mpk(tmp_path / "w.mpk", scico(1)))
    x = torch.rand(1, 2, 8, 8)
    assert torch.equal(prior.denoise(x, 0.01), prior.denoise(x, 0.1))


# diffusion -------------------------------------------------------------------------------------
SCHEDULE = linear_schedule(1e-4, 0.02, 1000)


class ExactNoise(nn.Module):
    """Return what a perfect network says of images N(mean, var I), in its own range."""

    def __init__(self, mean: float, var: float, schedule: Tensor, spare: bool = False) -> None:
        super().__init__()
        self.mean, self.var, self.schedule, self.spare = mean, var, schedule, spare

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        low = t.floor().long().clamp(0, len(self.schedule) - 2)
        logs = ((1 - self.schedule) / self.schedule).log() / 2
        sigma = torch.lerp(logs[low], logs[low + 1], t.double() - low).exp()
        abar = (1 / (1 + sigma.square()))[:, None, None, None]
        mean = abar.sqrt() * self.mean
        noise = (1 - abar).sqrt() * (x - mean) / (abar * self.var + 1 - abar)
        both = torch.cat([noise, 100 * torch.ones_like(noise)], 1) if self.spare else noise
        return both.float()


@pytest.mark.parametrize("units", [PLAIN, SYMMETRIC, CENTRED], ids=["01", "-11", "-half"])
@pytest.mark.parametrize("spare", [False, True], ids=["noise", "noise and variance"])
def test_a_vp_network_is_the_exact_denoiser_where_it_is_exact(units: Units, spare: bool) -> None:
    """The posterior mean of a normal distribution, whatever the range and the schedule are."""
    mean, var = 0.4, 0.03
    network = ExactNoise(units.gain * mean + units.offset, units.gain**2 * var, SCHEDULE, spare)
    prior = VPDenoiser(network, Provenance("x"), schedule=SCHEDULE, channels=1, units=units)
    exact = GaussianDenoiser(torch.full((1, 4, 4), mean), var * torch.eye(16))
    x = draw(3, 1, 4, 4, scale=1.0)
    level = torch.tensor([0.02, 0.3, 7.0])
    torch.testing.assert_close(prior.denoise(x, level), exact.denoise(x, level))
    torch.testing.assert_close(prior.score(x, level), exact.score(x, level), atol=2e-4, rtol=1e-3)


def test_times_of_the_schedule_are_found_again() -> None:
    prior = VPDenoiser(nn.Identity(), Provenance("x"), schedule=SCHEDULE, channels=1)
    t = torch.tensor([0, 3, 500, 999])
    sigma = ((1 - SCHEDULE[t]) / SCHEDULE[t]).sqrt().float()
    torch.testing.assert_close(prior.time(sigma), t.float(), atol=2e-3, rtol=0)
    assert prior.time(torch.tensor([0.0, 1e9])).tolist() == [0.0, 999.0]


def test_a_ve_network_is_asked_in_its_range() -> None:
    seen = {}

    class Network(nn.Module):
        def forward(self, v: Tensor, sigma: Tensor) -> Tensor:
            seen.update(v=v, sigma=sigma)
            return v / 2

    prior = VEDenoiser(Network(), Provenance("x"), levels=(0.01, 50.0), channels=3, units=SYMMETRIC)
    x = torch.rand(2, 3, 4, 4)
    found = prior.denoise(x, 0.3)
    torch.testing.assert_close(seen["v"], 2 * x - 1)
    torch.testing.assert_close(seen["sigma"], torch.full((2,), 0.6))
    torch.testing.assert_close(found, ((2 * x - 1) / 2 + 1) / 2)
    assert prior.levels == (0.005, 25.0)


def test_digits_are_of_one_size_and_others_are_padded_or_refused(tmp_path: Path) -> None:
    prior = load_prior(write_torch(tmp_path / "w.pth", mnist()))
    assert prior.denoise(torch.rand(1, 1, 8, 8), 0.2).shape == (1, 1, 8, 8)
    assert prior.denoise(torch.rand(1, 2, 7, 5), 0.2).shape == (1, 2, 7, 5)
    with pytest.raises(UserError, match="8x8 at most, and this one is 9x8"):
        prior.denoise(torch.rand(1, 1, 9, 8), 0.2)


def test_the_digits_network_is_told_time_and_range(tmp_path: Path) -> None:
    """Its estimate of an image at the schedule's entry t, written out."""
    weights = mnist()
    prior = load_prior(write_torch(tmp_path / "w.pth", weights))
    t, abar = 20, weights["alpha_t"][20]
    x = torch.rand(1, 1, 8, 8)
    given = abar.sqrt() * (x - 0.5)
    phase = torch.tensor([t / 50]) * weights["gt.frequencies"]
    code = torch.cat([phase.sin(), phase.cos() - 1])[None]
    for i in (0, 2, 4, 6):
        code = code @ weights[f"gt.time_embed.{i}.weight"].T + weights[f"gt.time_embed.{i}.bias"]
        code = functional.gelu(code) if i < 6 else code
    h = given
    for i in range(2):
        one = [weights[f"gt.blocks.{i}.net.{k}"] for k in ("0.weight", "0.bias")]
        h = functional.conv2d(h, *one, padding=3)
        norm = [weights[f"gt.blocks.{i}.net.1.{k}"] for k in ("weight", "bias")]
        h = functional.gelu(functional.layer_norm(h, h.shape[1:], *norm))
        h = h + code[:, :, None, None] if i == 0 else h
    noise = functional.conv2d(
        h, weights["gt.blocks.2.weight"], weights["gt.blocks.2.bias"], padding=1
    )
    sigma = ((1 - abar) / abar).sqrt()
    expected = x - sigma * noise
    torch.testing.assert_close(prior.denoise(x, sigma), expected, atol=1e-4, rtol=1e-3)
