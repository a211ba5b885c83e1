r"""Fit background and contact impedances of impedance tomography to measured voltages."""

from __future__ import annotations

import numpy as np

from untrained.physics.eit import EIT
from untrained.physics.eit_fem import ElectrodeModel, Fields

USUAL = 1e-2  # usual contact impedance, times the conductivity, over the length of an electrode
SPREAD = 1.0  # standard deviation of log z around its usual value
LEAST = 1e-10  # relative rest of a fit that counts as none
STEPS = 12
FLOOR = 0.5  # of the usual deviation: the least that a voltage is said to have
RANK = 1e-8  # singular values of the injections below count as 0


def calibrated(
    physics: EIT, reference: np.ndarray, y: np.ndarray | None = None, *, contacts: bool = True
) -> EIT:
    r"""Return the operator fitted to voltages of the body without what is sought.

    Background and contact impedances are those of `homogeneous`; what they leave unexplained of
    the reference (a third dimension, electrodes out of place) is added to every voltage that the
    operator computes (`offset`): images explain differences to the reference.

    .. math:: A(\sigma) = U(\sigma) + (y_{ref} - U(\sigma_0))

    Args:
        physics: the operator.
        reference: `(M, I)` voltages of the homogeneous body, in the order of y.
        y: `(M, I)` measured voltages: the deviation of each is estimated by `linear_deviation`.
        contacts: whether contact impedances are fitted, or stay as they are.
    """
    fitted = homogeneous(physics, reference, contacts=contacts)
    model = fitted.voltages(np.full(len(fitted.mesh.elements), fitted.background))
    offset = np.asarray(reference, dtype=np.float64) - model
    sigma = physics.sigma
    if y is not None and sigma is None:
        sigma = linear_deviation(physics, np.asarray(y, dtype=np.float64) - reference)
    return fitted.changed(offset=offset, sigma=sigma)


def homogeneous(physics: EIT, y: np.ndarray, *, contacts: bool = True) -> EIT:
    """Return the operator with the background and the contact impedances that fit y `(M, I)` best.

    Gauss-Newton on the logarithms of both, log z being normal around a usual value: contacts that
    hardly matter, or that the rest of the fit outweighs, stay near it.
    """
    y = np.asarray(y, dtype=np.float64)
    keep = np.ones(y.shape) if physics.mask is None else physics.mask[0, 0].double().numpy()
    y = y * keep
    if not contacts:
        return physics.changed(background=_background(physics, physics.impedance, y, keep))
    width = np.mean([_length(physics.mesh.nodes, edges) for edges in physics.mesh.electrodes])
    usual, logs = USUAL * float(width), np.zeros(len(physics.mesh.electrodes))
    for _ in range(STEPS):
        # of conductivity 1 and contacts z; voltages go as 1 / sigma_0 where z sigma_0 stays
        model = ElectrodeModel(physics.mesh, usual * np.exp(logs), physics.order)
        step = _contact_step(physics, model, y, keep, logs)
        logs = logs + step.clip(-1, 1)
        if np.abs(step).max() < 1e-3:
            break
    z = usual * np.exp(logs)
    level = _level(physics, ElectrodeModel(physics.mesh, z, physics.order), y, keep)[0]
    return physics.changed(background=level, impedance=z / level)


def _background(physics: EIT, z: np.ndarray | float, y: np.ndarray, keep: np.ndarray) -> float:
    """Find the best background of given contacts, which do not scale with it."""
    level = 1.0
    for _ in range(STEPS):
        model = ElectrodeModel(physics.mesh, np.asarray(z) * level, physics.order)
        level, before = _level(physics, model, y, keep)[0], level
        if abs(level - before) < 1e-6 * level:
            break
    return level


def _level(
    physics: EIT, model: ElectrodeModel, y: np.ndarray, keep: np.ndarray
) -> tuple[float, np.ndarray, Fields]:
    """Find the background whose voltages are nearest to y, those of a background of 1, and fields.

    The model's contacts are z sigma_0.
    """
    fields = model.solve(np.ones(len(physics.mesh.elements)))
    found = physics.tested.T @ fields.voltages @ physics.currents * keep
    return float((found * found).sum() / (found * y).sum()), found, fields


def _contact_step(
    physics: EIT, model: ElectrodeModel, y: np.ndarray, keep: np.ndarray, logs: np.ndarray
) -> np.ndarray:
    """Compute one Gauss-Newton step of the logarithms of contacts, the background going along."""
    level, found, fields = _level(physics, model, y, keep)
    slopes = [
        (physics.tested.T @ one @ physics.currents * keep).ravel()
        for one in model.contact_sensitivity(fields)
    ]
    jacobian = np.column_stack([-found.ravel(), *slopes]) / level
    residual = (y - found / level).ravel()
    rest = max(float(np.mean(residual**2)), LEAST**2 * float(np.mean(y**2))) / SPREAD**2
    hold = np.r_[0.0, np.full(len(logs), rest)]
    wanted = jacobian.T @ residual - hold * np.r_[0.0, logs]
    return np.linalg.solve(jacobian.T @ jacobian + np.diag(hold), wanted)[1:]


def linear_deviation(physics: EIT, difference: np.ndarray) -> np.ndarray | None:
    """Estimate the standard deviation of each voltage from what cannot be: `(M, I)`.

    Voltages are linear in the currents. Where there are more injections than independent ones,
    the rest of a linear fit is noise, whatever the body is; a voltage with a large rest is
    trusted less.

    Returns:
        None where all injections are independent.
    """
    injected = physics.currents
    values = np.linalg.svd(injected, compute_uv=False)
    rank = int((values > RANK * values[0]).sum())
    spare = injected.shape[1] - rank
    if spare < rank // 2:
        return None
    fit = np.linalg.lstsq(injected.T, difference.T, rcond=RANK)[0]
    rest = (difference.T - injected.T @ fit).T
    usual = float(np.sqrt((rest**2).sum() / (len(rest) * spare)))
    return np.sqrt((FLOOR * usual) ** 2 + rest**2) if usual > 0 else None


def _length(nodes: np.ndarray, edges: np.ndarray) -> float:
    return float(np.linalg.norm(nodes[edges[:, 0]] - nodes[edges[:, 1]], axis=1).sum())
