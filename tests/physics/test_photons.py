"""Pictures that count photons: their noise, made white or weighed, and Richardson-Lucy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call
from torch import Tensor

from untrained.classical import mlem, nlbayes
from untrained.data.phantoms import gaussian_kernel
from untrained.data.simulate.noise import add_photon_noise
from untrained.data.tasks.deblur import load_deblur
from untrained.data.tasks.denoise import load_denoise
from untrained.errors import UserError
from untrained.metrics import psnr
from untrained.physics import Blur, Denoise, Inpaint, Photons
from untrained.physics.photons import Stabilised
from untrained.problem import Problem
from untrained.run.reconstruct import reconstruct

SIZE = 32


def picture() -> Tensor:
    """Flat pieces from nearly black to white, and a ramp."""
    x = torch.linspace(0.02, 1, SIZE).expand(SIZE, SIZE).clone()
    x[8:24, 8:24], x[12:18, 4:14] = 0.9, 0.1
    return x[None, None]


def blur() -> Blur:
    return Blur(gaussian_kernel(1.5), (1, SIZE, SIZE))


@pytest.mark.parametrize(("photons", "read"), [(30.0, 0.0), (200.0, 3.0)])
def test_transformed_noise_has_the_deviation_that_is_known(photons: float, read: float) -> None:
    physics = Photons(Denoise((1, SIZE, SIZE)), photons, read)
    flat = torch.full((64, 1, SIZE, SIZE), 0.7)
    stable, code = physics.for_networks(add_photon_noise(flat, photons, read, 0))
    assert float(code.std()) == pytest.approx(stable.known_sigma, rel=0.03)
    assert Problem(code[:1], physics).sigma == pytest.approx(stable.known_sigma)


@pytest.mark.parametrize("level", [0.1, 0.6])
def test_the_inverse_is_unbiased(level: float) -> None:
    """The image of the mean transformed count is the mean count: the plain inverse is 1/4 short."""
    flat = torch.full((200, 1, SIZE, SIZE), level)
    stable = Stabilised((1, SIZE, SIZE), 20.0, 0.0)
    mean = stable.transform(add_photon_noise(flat, 20.0, 0.0, 1).double()).mean()
    assert float(stable.image_of(mean)) == pytest.approx(level, abs=0.003)
    image = picture()
    torch.testing.assert_close(stable.image_of(stable.code_of(image)), image, atol=1e-4, rtol=0)


def test_weighed_noise_of_a_blur_is_the_same_everywhere() -> None:
    physics = Photons(blur(), 100.0, 2.0)
    mean = physics.A(picture())
    y = add_photon_noise(mean.expand(300, -1, -1, -1), 100.0, 2.0, 0)
    weighed, first = physics.for_networks(y[:1])
    noise = (y - mean) * weighed.root  # type: ignore[operator]
    spread = noise.std(0)[0, 4:-4, 4:-4]
    assert float(spread.mean()) == pytest.approx(weighed.known_sigma, rel=0.1)
    plain = (y - mean).std(0)[0, 4:-4, 4:-4]
    assert float(spread.std() / spread.mean()) < 0.6 * float(plain.std() / plain.mean())
    torch.testing.assert_close(first, y[:1] * weighed.root)


def test_known_photons_denoise_better_than_a_guess_of_gaussian_noise() -> None:
    x = picture()
    y = add_photon_noise(x, 20.0, 0.0, 0)
    found = []
    for physics in (Photons(Denoise((1, SIZE, SIZE)), 20.0), Denoise((1, SIZE, SIZE))):
        problem = Problem(y, physics)
        found.append(psnr(problem.to_units(nlbayes(problem)), x, data_range=1.0))
    assert found[0] > found[1] + 0.5


def test_mlem_climbs_the_likelihood_and_keeps_the_counts() -> None:
    physics = Photons(blur(), 100.0)
    y = add_photon_noise(physics.A(picture()), 100.0, 0.0, 0)
    problem = Problem(y, physics)

    def unlikely(x: Tensor) -> float:
        mean = physics.A(problem.to_units(x)).clamp_min(1e-8)
        return float((mean - y * mean.log()).double().sum())

    costs = [unlikely(mlem(problem, iterations=k)) for k in (1, 3, 10, 30)]
    assert costs == sorted(costs, reverse=True)
    few = mlem(problem, iterations=3)
    assert float(few.min()) >= 0
    assert float(physics.A(few).sum()) == pytest.approx(float(y.sum()), rel=1e-3)
    chosen = psnr(mlem(problem), picture(), data_range=1.0)
    assert chosen > psnr(y, picture(), data_range=1.0) + 0.5
    assert chosen > psnr(mlem(problem, iterations=200), picture(), data_range=1.0) + 1


def test_mlem_refuses_what_makes_counts_negative() -> None:
    class Difference(torch.nn.Module):
        x_shape = (1, 8, 8)

        def A(self, x: Tensor) -> Tensor:
            return x - 2 * x.roll(1, -1)

        def A_adjoint(self, y: Tensor) -> Tensor:
            return y - 2 * y.roll(-1, -1)

    with pytest.raises(UserError, match="never negative"):
        mlem(Problem(torch.rand(1, 1, 8, 8), Difference()), iterations=2)


@pytest.mark.parametrize("task", ["denoise", "deblur"])
def test_counts_are_simulated_and_read(task: str, tmp_path: Path) -> None:
    np.save(tmp_path / "clean.npy", picture()[0, 0].numpy())
    scan = tmp_path / "scan.npz"
    words = f"simulate {task} {tmp_path / 'clean.npy'} --photons 40 --read-noise 1.5"
    assert call(*words.split(), "--out", scan) == 0
    one = (load_denoise if task == "denoise" else load_deblur)(scan)
    assert isinstance(one.physics, Photons)
    assert (one.physics.photons, one.physics.read_noise) == (40.0, 1.5)
    assert any("40 photons a white pixel" in note for note in one.notes)
    other = (load_denoise if task == "denoise" else load_deblur)(scan, photons=50)
    assert other.physics.photons == 50.0
    assert any("--photons took the place" in note for note in other.notes)


def test_an_error_bar_of_transformed_counts_is_refused() -> None:
    physics = Photons(Denoise((1, SIZE, SIZE)), 20.0)
    with pytest.raises(UserError, match="not of the image"):
        reconstruct(picture(), physics, uncertainty="ensemble", progress=False)


def test_bad_photons_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", picture()[0, 0].numpy())
    for given, words in (
        ({"photons": 0.0}, "above 0"),
        ({"photons": 10.0, "read_noise": -1.0}, "at least 0 photons"),
        ({"read_noise": 1.0}, "give --photons, too"),
        ({"photons": 10.0, "sigma": 20}, "--sigma does not go with photons"),
    ):
        with pytest.raises(UserError, match=words):
            load_denoise(tmp_path / "y.npy", **given)
    with pytest.raises(UserError, match="not for Inpaint"):
        Photons(Inpaint(torch.ones(4, 4)), 10.0)
    np.save(tmp_path / "counts.npy", 3000 * picture()[0, 0].numpy())
    with pytest.raises(UserError, match="far brighter than white|plainly|divide"):
        load_denoise(tmp_path / "counts.npy", photons=3000.0)


def test_a_weighed_blur_is_no_picture() -> None:
    """What is made for blurred pictures takes y for one, and fails by decibels where it is none."""
    physics = Photons(blur(), 40.0)
    assert Problem(physics.A(picture()), physics).task == "custom"
    assert Problem(physics.A(picture()), Photons(Denoise((1, SIZE, SIZE)), 40.0)).task == "denoise"
