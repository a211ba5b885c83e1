"""RED: regularisation by denoising, three ways to its minimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from untrained.classical.linear import require_linear
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.card import PRETRAINED, PRIOR, Card
from untrained.methods.diffusion import denoised
from untrained.methods.presets import no_network
from untrained.methods.sampling import first_image, proximal, shown
from untrained.priors import DENOISER
from untrained.tasks import LINEAR_TASKS

SCHEMES = ("fp", "sd", "admm")


@dataclass(frozen=True)
class RED(Method):
    r"""Romano, Elad, Milanfar: The Little Engine That Could (SIIMS 2017, arXiv 1611.02862).

    .. math:: E(x) = \tfrac{1}{2\sigma^2} \|H x - y\|^2 + \tfrac\lambda2\, x^T (x - f(x)), \qquad
              \nabla E = \tfrac{1}{\sigma^2} H^T (H x - y) + \lambda (x - f(x))

    f is the denoiser at the level sigma_f; the gradient holds for an f that is homogeneous and
    whose Jacobian is symmetric, and f is never differentiated. `scheme`:

    - `fp`, fixed point (Sec. 4.3):
      :math:`(\tfrac{1}{\sigma^2} H^T H + \lambda I)\, x_{k+1}
      = \tfrac{1}{\sigma^2} H^T y + \lambda f(x_k)`;
    - `sd`, steepest descent (Sec. 4.1): :math:`x_{k+1} = x_k - \mu \nabla E(x_k)`,
      :math:`\mu = 2 / (\|H\|^2 / \sigma^2 + \lambda)`;
    - `admm` (Sec. 4.2), with the dual u and one denoising each time:
      :math:`x` minimises :math:`\tfrac{1}{2\sigma^2}\|H x - y\|^2 + \tfrac\beta2\|x - v + u\|^2`,
      :math:`v \leftarrow (\lambda f(v) + \beta (x + u)) / (\lambda + \beta)`,
      :math:`u \leftarrow u + x - v`.

    Symbols: lambda `lam` and beta `beta`, of images in 0..255 as in the paper; sigma_f `strength`
    and sigma are in the image's units. sigma is `least` where it is not known or smaller. Inner
    systems are solved by conjugate gradients, `cg` steps at most. Image of a step: x_{k+1}.
    Nothing is random.

    Differs from the paper: its f is TNRD or a median filter, ours the network that was given. The
    code's sd takes ||H|| = 1.

    Args:
        rounds: iterations.
        lam: weight of the prior.
        strength: sigma_f.
        scheme: `fp`, `sd` or `admm`.
        beta: of `admm`.
        least: smallest noise level that the data are taken to have, in the units of y.
        cg: most steps of conjugate gradients.
    """

    name: ClassVar[str] = "red"
    rounds: int = 200
    inner: int = 1
    lam: float = 0.02
    strength: float = 3.25 / 255
    scheme: str = "fp"
    beta: float = 1e-3
    least: float = 2**0.5 / 255
    cg: int = 200

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise UserError(f"scheme={self.scheme!r} is unknown; known: {', '.join(SCHEMES)}")
        for field in ("lam", "strength", "beta", "least"):
            if not getattr(self, field) > 0:
                raise UserError(f"{field}={getattr(self, field):g} must be positive")

    def start(self, s: State) -> None:
        """x_0: the measurement of pictures, filtered backprojection of CT, c A^H y elsewhere."""
        require_linear(s.problem, self.name)
        s["x"] = first_image(s.problem)
        if self.scheme == "admm":
            s["v"], s["u"] = s["x"], s["x"] * 0

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute x_{k+1}, the image."""
        sigma = max(s.problem.sigma or 0.0, self.least)
        variance = (255 * sigma) ** 2
        if self.scheme == "admm":
            image = proximal(s.problem, s["v"] - s["u"], self.beta * variance, self.cg)
        elif self.scheme == "sd":
            image = self._descend(s, self.lam * variance)
        else:
            image = proximal(s.problem, self._f(s, s["x"]), self.lam * variance, self.cg)
        s["next"] = image
        return shown(s, image)

    def advance(self, s: State) -> None:
        """Go on from x_{k+1}."""
        s["x"] = s["next"]
        if self.scheme == "admm":
            x, v, u = s["x"], s["v"], s["u"]
            v = (self.lam * self._f(s, v) + self.beta * (x + u)) / (self.lam + self.beta)
            s["v"], s["u"] = v, u + x - v

    def _f(self, s: State, x: Tensor) -> Tensor:
        return denoised(s, x, self.strength)

    def _descend(self, s: State, weight: float) -> Tensor:
        """Take x - mu grad E, everything times sigma^2; `weight` is lambda sigma^2."""
        problem, x = s.problem, s["x"]
        back = -problem.descent(x)
        gradient = back + weight * (x - self._f(s, x))
        return x - 2.0 / (problem.norm_squared + weight) * gradient


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    The paper's: super-resolution lambda = 0.008, sigma_f = 3; all else those of its uniform blur,
    lambda = 0.02, sigma_f = 3.25; 200 fixed-point iterations with 200 inner ones.
    """
    lam, strength = (0.008, 3 / 255) if task == "superres" else (0.02, 3.25 / 255)
    if preset == "fast":
        return no_network(RED(50, lam=lam, strength=strength, cg=30), "fixed point, 50 iterations")
    source = "Romano et al. 2017, Sec. 5, fixed point; deblurring and super-resolution"
    return no_network(RED(lam=lam, strength=strength), source)


CARD = Card(
    name="red",
    title="regularisation by denoising",
    source="Romano, Elad, Milanfar, SIAM J. Imaging Sci. 2017",
    family=PRETRAINED,
    tasks=LINEAR_TASKS,
    optimises="the image",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
