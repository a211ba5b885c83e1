"""An operator whose kernel is unknown, and what a problem remembers of it."""

import numpy as np
import pytest
import torch
from skimage.data import camera

from untrained import Problem
from untrained.classical.blur_kernel import kernel_from_edges
from untrained.errors import UserError
from untrained.physics import BlindBlur, Blur
from untrained.physics.blind import centre_of_mass, gaussian_kernel
from untrained.problem.digest import data_digest


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def kernel(*sides: int, seed: int = 1) -> torch.Tensor:
    found = draw(*sides, seed=seed)
    return found / found.sum()


@pytest.mark.parametrize("boundary", ["reflect", "circular"])
def test_at_a_kernel_it_is_the_blur_by_that_kernel(boundary: str) -> None:
    """Check the blur by one kernel for all images, and by a kernel for each."""
    x = draw(2, 1, 13, 16)
    blind = BlindBlur((5, 4), (1, 13, 16), boundary)
    each = [kernel(5, 4, seed=s) for s in (2, 3)]
    wanted = [Blur(k, (1, 13, 16), boundary) for k in each]
    both = blind.at(kernel=torch.stack(each))
    for g in range(2):
        torch.testing.assert_close(both.A(x)[g : g + 1], wanted[g].A(x[g : g + 1]))
        torch.testing.assert_close(both.A_adjoint(x)[g : g + 1], wanted[g].A_adjoint(x[g : g + 1]))
    torch.testing.assert_close(blind.at(kernel=each[0]).A(x), wanted[0].A(x))
    torch.testing.assert_close(
        blind.A(x), Blur(gaussian_kernel((5, 4)), (1, 13, 16), boundary).A(x)
    )


def test_the_gradient_with_respect_to_the_kernel_is_that_of_finite_differences() -> None:
    x, y = draw(1, 1, 9, 9).double(), draw(1, 1, 9, 9, seed=5).double()
    blind = BlindBlur(3, (1, 9, 9)).double()

    def loss(k: torch.Tensor) -> torch.Tensor:
        return (blind.at(kernel=k).A(x) - y).square().sum()

    assert torch.autograd.gradcheck(loss, kernel(1, 3, 3).double().requires_grad_())


def test_nothing_that_a_problem_remembers_is_of_another_kernel() -> None:
    """Level, adjoint image, norm and digest follow A; what the objective is divided by does not."""
    physics = BlindBlur(5, (1, 16, 16))
    problem = Problem(draw(1, 1, 16, 16), physics)
    k = kernel(1, 5, 5)
    known = Problem(problem.y, Blur(k[0], (1, 16, 16)))
    before = problem.estimate(), problem.norm_squared, problem.mean_squared_singular_value
    moved = problem.at(kernel=k)
    torch.testing.assert_close(moved.estimate(), known.estimate())
    assert moved.norm_squared == pytest.approx(known.norm_squared, rel=1e-4)
    assert data_digest(moved) != data_digest(problem)
    residual = draw(1, 1, 16, 16, seed=8)
    for by in ("mean", "norm"):
        assert torch.equal(moved.cost(residual, by), problem.cost(residual, by))
    assert torch.equal(problem.estimate(), before[0])
    assert (problem.norm_squared, problem.mean_squared_singular_value) == before[1:]
    found = problem.knowing({"kernel": k})
    assert torch.equal(found.cost(residual), known.cost(residual))
    assert not found.physics.unknowns()


def test_held_out_pixels_are_those_of_the_moved_operator() -> None:
    problem = Problem(draw(1, 1, 16, 16), BlindBlur(5, (1, 16, 16)))
    k, x = kernel(1, 5, 5), draw(1, 1, 16, 16, seed=3)
    fit, held = problem.split(0.1, seed=0)
    known = Problem(problem.y, Blur(k[0], (1, 16, 16))).split(0.1, seed=0)
    for one, other in zip((fit, held), known, strict=True):
        torch.testing.assert_close(one.at(kernel=k).A(x), other.A(x))


def test_the_centre_of_the_kernel_is_put_in_the_middle_and_the_image_back() -> None:
    """The image stays that of the same measurements, but for the border."""
    physics = BlindBlur(9, (1, 24, 24))
    k = torch.zeros(9, 9)
    k[1:4, 4:8] = kernel(3, 4)
    theta, x = {"kernel": k[None]}, draw(1, 1, 24, 24)
    settled, image = physics.settle(theta, x)
    assert max(map(abs, centre_of_mass(settled["kernel"][0]))) <= 0.5
    before, after = physics.at(**theta).A(x), physics.at(**settled).A(image)
    inside = (..., slice(7, -7), slice(7, -7))
    torch.testing.assert_close(before[inside], after[inside])


def test_a_kernel_is_not_moved_out_of_its_square() -> None:
    """Two far apart halves: the lighter one would be cut off."""
    k = torch.zeros(1, 7, 7)
    k[0, 0, 0], k[0, 0, 6] = 0.8, 0.2
    settled, _ = BlindBlur(7, (1, 16, 16)).settle({"kernel": k}, draw(1, 1, 16, 16))
    assert float(settled["kernel"][0].max()) == pytest.approx(0.8)


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(UserError, match="at least 3"):
        BlindBlur(2, (1, 16, 16))
    with pytest.raises(TypeError, match="no unknown maps"):
        BlindBlur(3, (1, 16, 16)).at(maps=draw(1))


def test_the_kernel_of_a_photograph_is_found_from_its_edges() -> None:
    """Correlation with the true one above 0.9, where that of a Gaussian guess is below 0.7."""
    true = np.zeros((9, 9))
    true[np.arange(1, 8), np.arange(1, 8)] = [1, 2, 2, 1, 3, 1, 1]
    true /= true.sum()
    clean = camera().reshape(64, 8, 64, 8).mean((1, 3)).astype(np.float32) / 255
    y = Blur(true, (1, 64, 64)).A(torch.from_numpy(clean)[None, None])[0, 0].double().numpy()
    y += 0.004 * np.random.default_rng(0).standard_normal(y.shape)
    found = kernel_from_edges(y, (9, 9))
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert likeness(found, true) > 0.9
    assert likeness(gaussian_kernel((9, 9)).numpy(), true) < 0.7


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the largest normalised correlation over all shifts."""
    spectra = [np.fft.fft2(k, (32, 32)) for k in (a, b)]
    correlation = np.fft.ifft2(spectra[0] * spectra[1].conj()).real
    return float(correlation.max() / np.linalg.norm(a) / np.linalg.norm(b))
