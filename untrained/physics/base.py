"""The operator protocol: everything that the library asks an operator, with the defaults.

Operators of ours inherit from `LinearPhysics` or `NonlinearPhysics` of `kinds` and override what
they know better. A user's own operator needs no base class: `foreign.as_physics` wraps it. So code
outside this folder asks every operator by the names below, and by no others.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.physics.positions import draw_positions, number_positions
from untrained.physics.residuals import Picture, mean_picture

WEIGHTINGS = ("uniform", "ramp", "half-ramp")
"""Names of the data weightings."""


class Physics(nn.Module):
    """y = A(x), linear or not.

    Attributes:
        x_shape: shape of an image without the batch axis, e.g. `(C, H, W)`; None if any will do.
        y_shape: shape of a measurement without the batch axis; None if it follows x.
        mask: buffer, 1 = measured, 0 = missing; None where everything is measured.
        support: buffer, 1 where some measurement sees the image; None where that is everywhere.
        task: name of the task (`denoise`, `mri`, ...), which selects recipes and displays.
        unit_range: True where images live in [0, 1] (photographs), so that nothing is rescaled.
        linear: False for a nonlinear operator.
        complex_image: True where the two channels of an image are its real and imaginary part.
        degree: d with A(c x) = c^d A(x) for c > 0; None, where there is none, bars rescaling.
        norm_squared: the largest squared singular value; None: power iteration finds it.
        known_sigma: standard deviation of the noise in y where the operator says so (`Photons`).
        weightings: names of the data weightings that `weight` knows, beside `uniform`.
        classical_name: the algorithm behind `initial` where that is an answer; else empty.
        filtered_name: name of the classical method that `fbp` is: `fbp`, or `fdk` of a cone beam.
        repeats: True where measurements are at least twice as many as are independent.
        has_jacobian: True where `jacobian_along` is defined.
        has_gram: True where `gram` and `apply_gram` compute A^H A for less than A and A^H.
        matrix_free: True where a matrix too large to be stored is computed anew at every product.
        matrix_bytes: memory that a stored matrix takes, or will take; 0 where there is none.
        is_series: True where the first of three spatial axes is time (`Series`).
        frames: buffer, the processed video (`Processed`) or the frames' operators (`Series`); None.
        refined: what of `unknowns` every method can fit, at which rate relative to the engine's.
    """

    task: str = "custom"
    unit_range: bool = False
    linear: bool = True
    complex_image: bool = False
    degree: float | None = 1.0
    norm_squared: float | None = None
    known_sigma: float | None = None
    weightings: tuple[str, ...] = ()
    classical_name: str = ""
    filtered_name: str = "fbp"
    has_jacobian: bool = False
    repeats: bool = False
    has_gram: bool = False
    matrix_free: bool = False
    share: float = 1.0  # of the views, those that `few_views` left
    matrix_bytes: int = 0
    is_series: bool = False
    refined: ClassVar[dict[str, float]] = {}
    mask: Tensor | None
    support: Tensor | None
    frames: Tensor | nn.Module | None

    def __init__(self, x_shape: tuple[int, ...] | None, y_shape: tuple[int, ...] | None) -> None:
        super().__init__()
        self.x_shape = None if x_shape is None else tuple(int(n) for n in x_shape)
        self.y_shape = None if y_shape is None else tuple(int(n) for n in y_shape)
        for name in ("mask", "support", "frames"):
            # buffers, so that they move with the operator; a class may also define a property
            if not hasattr(type(self), name):
                self.register_buffer(name, None)

    # the map ----------------------------------------------------------------------------------

    def A(self, x: Tensor) -> Tensor:
        """Map images `(B, *x_shape)` to measurements `(B, *y_shape)`."""
        raise TypeError(f"{self.class_name()} does not define A")

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Map measurements `(B, *y_shape)` to images `(B, *x_shape)`; exact where A is linear."""
        raise TypeError(f"{self.class_name()} does not define A_adjoint")

    def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """Apply J(x)^T to v, J the Jacobian of A at the images x `(B, *x_shape)`, v like y."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.A(x), x, v)
        return gradient

    def forward(self, x: Tensor) -> Tensor:
        """Return A(x): no noise is added here."""
        return self.A(x)

    # for scale and solvers --------------------------------------------------------------

    def mean_squared_singular_value(self, weighting: str = "uniform") -> Tensor | float | None:
        r"""Give trace(A^H W A) / n exactly, where it is known; see `Problem`.

        It is the mean of the n squared singular values of W^(1/2) A, n the number of real image
        entries that the operator can see, in squared units of y over x. The default knows
        nothing: `Problem` then estimates it.

        Args:
            weighting: the name of W, one of those that `weight` takes, or `uniform`.

        Returns:
            One number; or a float64 tensor `(B,)` for an operator that differs from image to
            image of a batch; or None.
        """
        return None

    def weight(self, r: Tensor, name: str) -> Tensor:
        """Apply the data weighting W^(1/2) of that name, one of `weightings`, to a residual."""
        raise UserError(f"{self.class_name()} has no data weighting '{name}'")

    # first images -----------------------------------------------------------------------------

    def initial(self, y: Tensor) -> Tensor | None:
        """Make a first image `(B, *x_shape)` of y; None where c A^H y is the best one known."""
        return None

    def fbp(self, y: Tensor) -> Tensor | None:
        """Make an image by filtered backprojection; None where that means nothing."""
        return None

    def fill(self, x: Tensor, keep: Tensor) -> Tensor:
        """Put something sensible into a first image where measurements are held out (keep = 0)."""
        return x

    # what may be held out ---------------------------------------------------------------------

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw the measurements to hold out: bool `(1, *y.shape[1:])`, True = held out.

        The default draws positions of the last two axes (pixels), the same for every channel.
        `generator` lives on the CPU.
        """
        return draw_positions(y, 2, fraction, generator)

    def scattered(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw single measurements to hold out, where `holdout` takes patches; see there."""
        return self.holdout(y, fraction, generator)

    def units(self, y: Tensor) -> Tensor:
        """Number the units of the measurements, those that only tell something together.

        What calibrates an error bar is drawn from them at random, each unit whole. The default
        takes the positions of the last two axes (pixels), the same for every channel.

        Returns:
            The unit of each measurement, from 0, int64 that broadcasts over one of y, `(1, ...)`;
            -1 where it belongs to none and is always fitted.
        """
        return number_positions(y, 2)

    def lines_outside(self) -> tuple[Tensor, int] | None:
        """List the lines of k-space measured outside its centre, and their axis; else None.

        Returns:
            Numbers of the lines, int64, and the axis of y that counts them, from the end (-1 for
            columns).
        """
        return None

    def importance(self, y: Tensor, held: Tensor) -> Tensor | None:
        """Weigh the held-out measurements by how much of what is missing each stands for.

        Returns:
            Weights that broadcast over y, 0 where nothing is held out (else what is added to the
            weight 1 of what is fitted); None: all count alike.
        """
        return None

    # operators that do the same for less ------------------------------------------------------

    def measuring_only(self, keep: Tensor) -> Physics | None:
        """Return an operator with zeros but where `keep` is not 0, if it costs less; else None."""
        return None

    def hybrid(self, keep: Tensor | None = None) -> Physics | None:
        """Return a cheaper operator in other measurements of equal distances; else None.

        The operator returned translates by its `from_kspace` and `measured`.

        Args:
            keep: 0 where measurements are held out, like y; None where none are.
        """
        return None

    def gram(self, keep: Tensor | None = None) -> Tensor | None:
        """Compute the constants by which `apply_gram` applies A^H M A, M zero where `keep` is.

        Only operators with `has_gram` are asked.

        Args:
            keep: `(1 or G, ...)`, 0 where measurements are held out, like y; None where none are.

        Returns:
            Constants with a row for each row of `keep`; None where these have none.
        """
        return None

    def apply_gram(self, x: Tensor, constants: Tensor) -> Tensor:
        """Compute A^H M A x with the constants that `gram` found."""
        raise TypeError(f"{self.class_name()} does not define apply_gram")

    def from_kspace(self, y: Tensor) -> Tensor:
        """Translate measurements of the operator that was asked for this `hybrid`."""
        return y

    def measured(self, values: Tensor) -> Tensor:
        """Pick, of one value for each of those measurements, the values of this one's own."""
        return values

    def few_views(self) -> Physics | None:
        """Return an operator with zeros but for a few views, which tell a gain; else None."""
        return None

    def without_matrix(self) -> Physics:
        """Return the same operator without its stored matrix, for when few products are asked."""
        return self

    def on_mesh(self, image: Tensor) -> dict[str, np.ndarray]:
        """Return an image as values on the operator's own mesh; empty where it has none.

        Args:
            image: `(C, H, W)`, in the units of the measurements.

        Returns:
            `values` (m,), `nodes` (n, 2), `elements` (m, 3) and `electrodes` (L, k, 2), the nodes
            of boundary edges filled up with -1.
        """
        return {}

    def residual_picture(self, residual: Tensor) -> Picture | None:
        """Draw A(x) - y of one image, divided by max |y|, for the report; None: no picture."""
        return mean_picture(residual)

    # parts of the image -----------------------------------------------------------------------

    def cropped(self, y: Tensor, rows: slice, columns: slice) -> tuple[Physics, Tensor] | None:
        """Return the operator of a part of the image, and its measurements; None if none can.

        Near the part's edges, `tile_margin` pixels wide, they may differ from those of the whole.

        Args:
            y: measurements of the whole.
            rows, columns: of the image, `start:stop`, multiples of `tile_step`.
        """
        return None

    @property
    def tile_step(self) -> int:
        """Return the number of which the sides and corners of a part must be multiples."""
        return 1

    @property
    def tile_margin(self) -> int:
        """Return how far from its edges a part's measurements depend on pixels outside it."""
        return 0

    # other variables --------------------------------------------------------------------------

    def for_networks(self, y: Tensor) -> tuple[Physics, Tensor]:
        """Return the operator in the variables that a network draws, and y in its units.

        Images whose values span decades, or must not be negative, are drawn as their logarithm;
        `image_of` and `code_of` of the operator returned translate. Most operators are their own.
        """
        return self, y

    def image_of(self, code: Tensor) -> Tensor:
        """Translate what a network draws into an image, `(B, *x_shape)` each."""
        return code

    def code_of(self, image: Tensor) -> Tensor:
        """Translate an image into what a network would draw; the inverse of `image_of`."""
        return image

    def jacobian_along(self, x: Tensor, basis: Any) -> np.ndarray:
        """Compute J(x) B: how every measurement changes along each column of B.

        Args:
            x: one image `(1, *x_shape)`.
            basis: sparse scipy matrix `(n, k)`, n the number of image entries.

        Returns:
            float64 `(m, k)`. Only operators with `has_jacobian` have one.
        """
        raise TypeError(f"{self.class_name()} does not define jacobian_along")

    # operators made of it ---------------------------------------------------------------------

    def rescaled(self, gain: float) -> Physics | None:
        """Return A / gain in constants of its own; None, where it cannot, has it wrapped."""
        return None

    def among(self, images: slice) -> Physics:
        """Return the operator of some images of a batch."""
        return self

    def alone(self, index: int) -> Physics:
        """Return the operator of image `index` of a batch."""
        return self.among(slice(index, index + 1))

    def joined(self, others: Sequence[Physics]) -> Physics | None:
        """Return one operator for a batch of which each image had its own; None if none can."""
        return self if all(one is self for one in others) else None

    def on(self, device: torch.device | str) -> Physics:
        """Return a copy of the operator on another device."""
        return copy.deepcopy(self).to(device)

    # an operator that is not fully known ------------------------------------------------------

    def unknowns(self) -> dict[str, Tensor]:
        """Return the first guess of what is unknown of the operator, theta, each `(1 or B, ...)`.

        Most operators are known, and return nothing.
        """
        return {}

    def at(self, **theta: Tensor) -> Physics:
        """Return the operator A(., theta), which gradients pass through; theta as in `unknowns`."""
        if not theta:
            return self
        raise TypeError(f"{self.class_name()} has no unknown {', '.join(theta)}")

    def settle(self, theta: dict[str, Tensor], image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Fix what A(image, theta) leaves open, as the place of a kernel; detached.

        Args:
            theta: as in `unknowns`, `(B, ...)`.
            image: `(B, *x_shape)`.
        """
        return theta, image

    def known(self, theta: dict[str, Tensor]) -> Physics:
        """Return an operator in which the settled theta of one image is no longer unknown."""
        return self

    def named(self, theta: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Return the settled theta as arrays for files; that of one image without batch axis."""
        arrays = {name: value.detach().cpu().numpy() for name, value in theta.items()}
        return {name: a[0] if len(a) == 1 else a for name, a in arrays.items()}

    # words and shapes -------------------------------------------------------------------------

    def class_name(self) -> str:
        """Return the name of the operator's class, for messages; of a wrapped one, its own."""
        return type(self).__name__

    def described(self) -> str:
        """Say in a few words what is measured; empty where nothing is known."""
        if not self.x_shape:
            return ""
        channels = f"{self.x_shape[0]} channel{'s' if self.x_shape[0] > 1 else ''}"
        return f"an image of {' x '.join(map(str, self.x_shape[1:]))}, {channels}"

    def first_note(self) -> tuple[str, ...]:
        """Note what was read, as the first note of a run; none where nothing is known."""
        known = self.described()
        return (f"read: {known}",) if known else ()

    def image_shape(self, y: Tensor) -> tuple[int, ...]:
        """Return `x_shape`, or else the shape of the adjoint's image of y, without batch axis."""
        if self.x_shape is not None:
            return self.x_shape
        with torch.no_grad():
            return tuple(self.A_adjoint(y[:1]).shape[1:])

    def sampling_mask(self, y: Tensor) -> Tensor | None:
        """Return `mask` if it has the axes of y, in the type of y; else None."""
        return None if self.mask is None or self.mask.ndim != y.ndim else self.mask.to(y)

    def _check_x(self, x: Tensor) -> None:
        _check(self, "x", x, self.x_shape)

    def _check_y(self, y: Tensor) -> None:
        _check(self, "y", y, self.y_shape)


def _check(owner: Physics, name: str, value: Tensor, shape: tuple[int, ...] | None) -> None:
    if shape is not None and tuple(value.shape[1:]) != shape:
        raise UserError(
            f"{owner.class_name()}: {name} must be (B, {', '.join(map(str, shape))}), "
            f"got {tuple(value.shape)}"
        )
