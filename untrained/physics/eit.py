"""Electrical impedance tomography: voltages at electrodes on the boundary of a plane domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.autograd import OwnGradientMap
from untrained.physics.base import Physics
from untrained.physics.eit_fem import ElectrodeModel, Fields
from untrained.physics.eit_mesh import Mesh
from untrained.physics.eit_pixels import PixelGrid
from untrained.physics.kinds import NonlinearPhysics
from untrained.physics.positions import draw_positions, number_positions

FLOOR = 1e-4  # of the background: conductivities below count as this
CURRENT = 1e-6  # relative; what a pattern's currents may sum to


class EIT(NonlinearPhysics):
    r"""y = P^T U(sigma; I) + offset: the complete electrode model, see `eit_fem`.

    U are the voltages of L electrodes, their mean 0, for injected currents I; P picks what is
    measured, most often differences of neighbours. The conductivity of a triangle is the mean of
    the pixels below it. One sparse factorisation gives A, its Jacobian and A_vjp together: the
    model is its own adjoint. The latest factorisations are kept.

    Units are the user's: with currents in amperes (per metre of height), conductivity in siemens
    per metre and lengths in metres, voltages are in volts and impedances in ohm metre squared.
    Computed in double precision; x and y are float32 or float64.

    Args:
        mesh: the domain, with L electrodes.
        injections: `(L, I)`, currents of I injections; each column sums to 0.
        patterns: `(L, M)`, weights of M voltages; columns of sum 0 are differences.
        x_shape: `(1, H, W)`; pixels cover the smallest square around the mesh, row 0 at the top.
        impedance: contact impedances, one number or L of them, > 0.
        background: the conductivity around which images vary, > 0.
        keep: bool `(M, I)`, which voltages were measured; None: all.
        offset: `(M, I)`, what measurements have beside the model's voltages, see `calibrated`.
        sigma: `(M, I)`, standard deviation of each voltage; a `Problem` weighs residuals by it.
            None: all alike.
        order: 1 or 2, of the elements.
        like: an operator on the same mesh; its map between pixels and triangles, and its elements,
            are taken over where they fit, not built again.

    Raises:
        UserError: arrays whose numbers of electrodes, injections or voltages contradict each
            other, currents that do not sum to 0, values not finite or not positive.
    """

    task = "eit"
    remembered = 2  # factorisations

    def __init__(
        self,
        mesh: Mesh,
        injections: np.ndarray,
        patterns: np.ndarray,
        x_shape: tuple[int, int, int] = (1, 256, 256),
        *,
        impedance: np.ndarray | float = 1e-6,
        background: float = 1.0,
        keep: np.ndarray | None = None,
        offset: np.ndarray | None = None,
        sigma: np.ndarray | None = None,
        order: int = 1,
        like: EIT | None = None,
    ) -> None:
        if len(x_shape) != 3 or x_shape[0] != 1 or min(x_shape) < 1:
            raise UserError(f"an image of EIT has the shape (1, H, W), got {tuple(x_shape)}")
        count = len(mesh.electrodes)
        injected = _columns("injections", injections, count)
        picked = _columns("patterns", patterns, count)
        off = np.abs(injected.sum(axis=0))
        largest = np.abs(injected).max(axis=0)
        if (off > CURRENT * largest).any():
            which = int((off / np.maximum(largest, 1e-300)).argmax())
            raise UserError(
                f"injections: the currents of injection {which + 1} sum to "
                f"{injected[:, which].sum():.3g}; what enters must leave, the sum must be 0"
            )
        if not (np.isfinite(background) and background > 0):
            raise UserError(f"background must be a conductivity above 0, got {background}")
        shape = (picked.shape[1], injected.shape[1])
        super().__init__(x_shape, (1, *shape))
        self.mesh = mesh
        self.injections, self.patterns = injected, picked
        # voltages are relative to their mean
        self.tested = (picked - picked.mean(axis=0))[:-1]
        self.currents = injected[:-1]
        self.background = float(background)
        self.impedance, self.order = impedance, order
        self.model = _model(mesh, np.asarray(impedance), order, like)
        self.grid = _grid(mesh, (int(x_shape[1]), int(x_shape[2])), like)
        self.offset = None if offset is None else _table("offset", offset, shape)
        self.sigma = None if sigma is None else _table("sigma", sigma, shape)
        if self.sigma is not None and not (self.sigma > 0).all():
            raise UserError("sigma must be above 0 for every voltage")
        if keep is not None:
            self.mask = torch.from_numpy(_table("keep", keep, shape) != 0).float()[None, None]
        seen = np.asarray(self.grid.averages.sum(axis=0)).reshape(self.grid.shape) > 0
        self.support = torch.from_numpy(seen).float()[None, None]
        self.repeats = shape[1] >= 2 * np.linalg.matrix_rank(injected)
        self._recent = _Recent()

    def A(self, x: Tensor) -> Tensor:
        """Map conductivities `(B, 1, H, W)`, > 0, to voltages `(B, 1, M, I)`.

        Values below 1e-4 of the background count as that.
        """
        self._check_x(x)
        return OwnGradientMap.apply(x, self._measure, self.A_vjp)

    def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """Apply J(x)^T to v `(B, 1, M, I)`: an image `(B, 1, H, W)`, by the adjoint method."""
        self._check_x(x)
        self._check_y(v)
        images = []
        for image, row in zip(x, v, strict=True):
            pixels = _numpy(image[0])
            weights = self.tested @ _numpy(row[0]) @ self.currents.T
            slope = self.model.pull_back(self.fields(self._sigma(pixels)), weights)
            back = (self.grid.averages.T @ slope).reshape(pixels.shape)
            images.append(back * (pixels > FLOOR * self.background))
        return torch.from_numpy(np.stack(images)[:, None]).to(x)

    def jacobian(self, x: Tensor) -> np.ndarray:
        """Compute the derivative of every voltage by every triangle's conductivity.

        Args:
            x: one image `(1, 1, H, W)` or `(1, H, W)`.

        Returns:
            float64 `(M * I, m)`, voltages in the order of y.
        """
        pixels = _numpy(x.reshape(self.x_shape or ())[0])
        return self.jacobian_at(self._sigma(pixels))

    def jacobian_at(self, sigma: np.ndarray) -> np.ndarray:
        """Compute the same for conductivities of the triangles `(m,)`."""
        fields = self.fields(sigma)
        found = self.model.sensitivity(fields, self.currents, self.tested)
        return found.reshape(-1, found.shape[-1])

    def voltages(self, sigma: np.ndarray) -> np.ndarray:
        """Compute what is measured of conductivities of the triangles `(m,)`: `(M, I)`."""
        found = self.tested.T @ self.fields(sigma).voltages @ self.currents
        return found if self.offset is None else found + self.offset

    def fields(self, sigma: np.ndarray) -> Fields:
        """Solve the model for conductivities of the triangles, or recall that it was."""
        return self._recent.get(self.model, sigma)

    def to_elements(self, x: Tensor) -> np.ndarray:
        """Average one image `(1, H, W)` over the triangles: float64 `(m,)`."""
        return self.grid.to_elements(_numpy(x.reshape(self.grid.shape)))

    def to_pixels(self, values: np.ndarray) -> Tensor:
        """Draw values of the triangles `(m,)` as an image, float32 `(1, H, W)`."""
        return torch.from_numpy(self.grid.to_pixels(values)).float()[None]

    def on_mesh(self, image: Tensor) -> dict[str, np.ndarray]:
        """Return the conductivities of the triangles, and the mesh; see `Physics.on_mesh`."""
        return {"values": self.to_elements(image), **self.mesh.arrays()}

    def changed(self, **settings: Any) -> EIT:
        """Return the operator with other settings: any argument but the mesh.

        What the settings do not touch is shared with this operator, not built again.
        """
        known: dict[str, Any] = {
            "x_shape": self.x_shape,
            "impedance": self.impedance,
            "background": self.background,
            "keep": None if self.mask is None else self.mask[0, 0].numpy(),
            "offset": self.offset,
            "sigma": self.sigma,
            "order": self.order,
            "injections": self.injections,
            "patterns": self.patterns,
        }
        return EIT(self.mesh, **(known | settings), like=self)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw whole injections to hold out, at least one and never all: bool `(1, 1, M, I)`."""
        count = y.shape[-1]
        number = min(max(1, round(fraction * count)), count - 1)
        held = torch.zeros(count, dtype=torch.bool)
        held[torch.randperm(count, generator=generator)[:number]] = True
        return held.expand(1, *y.shape[1:]).to(y.device)

    def scattered(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw single voltages to hold out, of all injections: bool `(1, 1, M, I)`."""
        return draw_positions(y, 2, fraction, generator)

    def units(self, y: Tensor) -> Tensor:
        """Number the injections; see the base class."""
        return number_positions(y, 1)

    def for_networks(self, y: Tensor) -> tuple[Physics, Tensor]:
        """Return the model of the log-conductivity, and voltages in units of their noise.

        On half of the pixels along a side, a third and so on where there are more than 128:
        voltages tell no more.
        """
        from untrained.physics.eit_log import LogConductivity

        physics = LogConductivity(self)
        return physics, y / torch.from_numpy(physics.unit).to(y)

    def described(self) -> str:
        """Say in a few words what is measured."""
        voltages, injections = self.tested.shape[1], self.currents.shape[1]
        return (
            f"{injections} injections x {voltages} voltages at {len(self.mesh.electrodes)} "
            f"electrodes, a mesh of {len(self.mesh.elements)} triangles"
        )

    def _measure(self, x: Tensor) -> Tensor:
        found = [self.voltages(self._sigma(_numpy(image[0]))) for image in x]
        return torch.from_numpy(np.stack(found)[:, None]).to(x)

    def _sigma(self, pixels: np.ndarray) -> np.ndarray:
        return self.grid.averages @ np.maximum(pixels, FLOOR * self.background).ravel()


class _Recent:
    """The latest solutions of a model; a copy starts empty, and it counts for no digest."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: list[tuple[ElectrodeModel, np.ndarray, Fields]] = []

    def get(self, model: ElectrodeModel, sigma: np.ndarray) -> Fields:
        for owner, known, fields in self.kept:
            if owner is model and np.array_equal(known, sigma):
                return fields
        fields = model.solve(sigma)
        self.kept = [(model, sigma.copy(), fields), *self.kept][: EIT.remembered]
        return fields

    def __deepcopy__(self, memo: dict[int, Any]) -> _Recent:
        return _Recent()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Recent, ())


def _model(mesh: Mesh, z: np.ndarray, order: int, like: EIT | None) -> ElectrodeModel:
    alike = like is not None and like.mesh is mesh and like.order == order
    if like is not None and alike and np.array_equal(np.asarray(like.impedance), z):
        return like.model
    return ElectrodeModel(mesh, z, order)


def _grid(mesh: Mesh, shape: tuple[int, int], like: EIT | None) -> PixelGrid:
    if like is not None and like.mesh is mesh and like.grid.shape == shape:
        return like.grid
    return PixelGrid(mesh, shape)


def _numpy(image: Tensor) -> np.ndarray:
    return image.detach().cpu().double().numpy()


def _columns(name: str, value: np.ndarray, electrodes: int) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] != electrodes or array.shape[1] < 1:
        raise UserError(
            f"{name} must have a row for each of the mesh's {electrodes} electrodes, got the shape "
            f"{array.shape}"
        )
    if not np.isfinite(array).all():
        raise UserError(f"{name}: values that are not finite")
    return array


def _table(name: str, value: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise UserError(
            f"{name} must be finite, {shape[0]} voltages x {shape[1]} injections, got the shape "
            f"{array.shape}"
        )
    return array
