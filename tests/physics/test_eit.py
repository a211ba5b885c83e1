"""The complete electrode model against exact solutions, its own derivatives, and bad input."""

import numpy as np
import pytest
import torch

from untrained.errors import UserError
from untrained.physics import EIT, Mesh, disc_mesh
from untrained.physics.eit_fem import ElectrodeModel

ELECTRODES = 8
RADIUS = 0.1


def opposite(count=ELECTRODES):
    """Currents into each electrode and out of the next but one; voltages of neighbours."""
    one = np.eye(count)
    return one - np.roll(one, 2, axis=0), (one - np.roll(one, 1, axis=0))[:, :-1]


def small(size=24, **settings):
    mesh = disc_mesh(ELECTRODES, RADIUS, 0.5, RADIUS / 8, edges=3)
    return EIT(mesh, *opposite(), x_shape=(1, size, size), **settings)


def smooth(size=24, dtype=torch.float64):
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size, dtype=dtype)] * 2, indexing="ij")
    return (1 + 0.5 * torch.sin(3 * x) * torch.cos(2 * y))[None, None]


def exact(electrodes, covered, centre, size, inside, terms=1500):
    """Transfer matrix of uniform currents through electrodes of the unit disc of conductivity 1.

    A circular inclusion at (`centre`, 0) is made concentric by the Moebius map of the disc onto
    itself; there the voltage of the n-th harmonic is a known multiple of its current. Harmonics do
    not depend on the map, since neither the equation nor a current through an arc does.
    """
    a, b = centre - size, centre + size  # ends of the inclusion's diameter
    shift = 0.0
    if centre:
        shift = (1 + a * b - np.sqrt((1 - a * a) * (1 - b * b))) / (a + b)
    rho = abs((b - shift) / (1 - shift * b))
    points, weights = np.polynomial.legendre.leggauss(4000 // electrodes)
    width = 2 * np.pi / electrodes * covered
    middle = np.pi / 2 + 2 * np.pi * np.arange(electrodes) / electrodes
    theta = np.exp(1j * (middle[:, None] + width / 2 * points))
    mapped = np.angle((theta - shift) / (1 - shift * theta))
    n = np.arange(1, terms + 1)
    harmonics = np.stack([np.exp(-1j * k * mapped) @ weights / 2 for k in n], axis=1)
    mu = (inside - 1) / (inside + 1)
    gain = (1 - mu * rho ** (2.0 * n)) / (1 + mu * rho ** (2.0 * n)) / n
    return (harmonics * gain @ harmonics.conj().T).real / np.pi


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    ("centre", "size", "inside"), [(0.0, 0.5, 1.0), (0.0, 0.5, 4.0), (0.4, 0.3, 0.1)]
)
def test_a_disc_with_a_circular_inclusion_has_its_exact_voltages(centre, size, inside, order):
    """Large contact impedances make the current through each electrode uniform."""
    mesh = disc_mesh(ELECTRODES, 1.0, 0.5, 0.03, edges=16)
    ends = mesh.nodes[mesh.electrodes[0]]
    length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).sum()
    z = 1e4
    corners = mesh.nodes[mesh.elements]
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 500)
    far = np.linalg.norm(np.einsum("kc,ecd->ekd", shares, corners) - [centre, 0], axis=2)
    share = (far < size).mean(axis=1)
    sigma = 1 + share * (inside - 1)
    found = ElectrodeModel(mesh, z, order).solve(sigma).voltages
    wanted = exact(ELECTRODES, 0.5, centre, size, inside)
    last = wanted[-1:, :-1]
    wanted = wanted[:-1, :-1] - last - last.T + wanted[-1, -1]
    contact = z / length * (np.eye(ELECTRODES - 1) + 1)
    assert np.linalg.norm(found - contact - wanted) < 0.01 * np.linalg.norm(wanted)


def test_jacobian_is_that_of_finite_differences():
    physics, x = small(impedance=1e-3), smooth()
    toward = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    step = 1e-4
    changed = (physics.A(x + step * toward) - physics.A(x - step * toward)) / (2 * step)
    predicted = physics.jacobian(x) @ physics.to_elements(toward)
    assert np.abs(predicted - changed.numpy().ravel()).max() < 1e-4 * np.abs(predicted).max()


@pytest.mark.parametrize("order", [1, 2])
def test_vjp_is_the_adjoint_of_the_jacobian(order):
    physics, x = small(impedance=1e-3, order=order), smooth()
    draw = torch.Generator().manual_seed(0)
    toward = torch.randn(x.shape, generator=draw, dtype=x.dtype)
    v = torch.randn(1, *physics.y_shape, generator=draw, dtype=x.dtype)
    forth = physics.jacobian(x) @ physics.to_elements(toward)
    along = float((physics.A_vjp(x, v) * toward).sum())
    size = np.linalg.norm(forth) * float(v.norm())
    assert abs(forth @ v.numpy().ravel() - along) < 1e-6 * size
    leaf = x.clone().requires_grad_()
    physics.A(leaf).backward(v)
    assert torch.equal(leaf.grad, physics.A_vjp(x, v))


def test_derivatives_by_contact_impedance_are_those_of_finite_differences():
    physics, step = small(), 1e-4
    sigma = np.ones(len(physics.mesh.elements))
    z = np.full(ELECTRODES, 0.01)
    model = ElectrodeModel(physics.mesh, z)
    found = model.contact_sensitivity(model.solve(sigma))
    for electrode in (0, ELECTRODES - 1):
        up, down = z.copy(), z.copy()
        up[electrode] *= np.exp(step)
        down[electrode] *= np.exp(-step)
        more, less = (ElectrodeModel(physics.mesh, k).solve(sigma).voltages for k in (up, down))
        wanted = (more - less) / (2 * step)
        assert np.abs(found[electrode] - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_voltages_scale_with_conductivity_and_contact():
    """A(c sigma; z / c) = A(sigma; z) / c, and voltages are those of reciprocal injections."""
    x = smooth()
    one, other = small(impedance=0.02), small(impedance=0.005)
    assert torch.allclose(other.A(4 * x), one.A(x) / 4, rtol=1e-9)
    injections, patterns = opposite()
    turned = EIT(one.mesh, patterns, injections, x_shape=(1, 24, 24), impedance=0.02)
    assert torch.allclose(turned.A(x), one.A(x).transpose(-1, -2), rtol=1e-9)


def test_quadratic_elements_agree_with_a_refined_mesh():
    physics = small(impedance=0.01)
    sigma = 1 + 5 * (np.linalg.norm(physics.mesh.centroids - [0.02, 0.03], axis=1) < 0.03)

    def voltages(mesh, order):
        times = len(mesh.elements) // len(sigma)
        return ElectrodeModel(mesh, 0.01, order).solve(np.tile(sigma, times)).voltages

    finest = physics.mesh.refined().refined()
    best = voltages(finest, 2)
    errors = [
        np.linalg.norm(voltages(mesh, order) - best) / np.linalg.norm(best)
        for mesh, order in ((physics.mesh, 1), (physics.mesh.refined(), 1), (physics.mesh, 2))
    ]
    assert errors[0] < 0.05
    assert max(errors[1:]) < errors[0] / 2


def test_same_numbers_as_another_program():
    """scikit-fem assembles the same equations on the same mesh; an optional outside reference."""
    skfem = pytest.importorskip("skfem")
    from skfem.helpers import dot, grad

    physics = small(impedance=0.01)
    mesh, z = physics.mesh, 0.01
    sigma = np.random.default_rng(0).uniform(0.2, 3, len(mesh.elements))
    for order, element in ((1, skfem.ElementTriP1()), (2, skfem.ElementTriP2())):
        theirs = skfem.MeshTri(mesh.nodes.T, mesh.elements.T)
        basis = skfem.Basis(theirs, element)
        values = basis.with_element(skfem.ElementTriP0()).interpolate(sigma)
        stiffness = skfem.BilinearForm(lambda u, v, w: w.s * dot(grad(u), grad(v)))
        inner = stiffness.assemble(basis, s=values).toarray()
        count, size = ELECTRODES, len(inner)
        whole = np.zeros((size + count, size + count))
        whole[:size, :size] = inner
        facets = {tuple(sorted(f)): i for i, f in enumerate(theirs.facets.T.tolist())}
        for electrode, edges in enumerate(mesh.electrodes):
            where = np.array([facets[tuple(sorted(e))] for e in edges.tolist()])
            side = skfem.FacetBasis(theirs, element, facets=where)
            whole[:size, :size] += (
                skfem.BilinearForm(lambda u, v, w: u * v / z).assemble(side).toarray()
            )
            mean = skfem.LinearForm(lambda v, w: v / z).assemble(side)
            whole[:size, size + electrode] -= mean
            whole[size + electrode, :size] -= mean
            whole[size + electrode, size + electrode] += mean.sum()
        free = size + count - 1
        wanted = np.linalg.solve(whole[:free, :free], np.eye(free)[:, size:])[size:]
        found = ElectrodeModel(mesh, z, order).solve(sigma).voltages
        assert np.abs(found - wanted).max() < 1e-6 * np.abs(wanted).max()


def test_held_out_are_whole_injections():
    physics = small()
    y = physics.A(smooth().float())
    for fraction in (0.01, 0.3, 0.9):
        held = physics.holdout(y, fraction, torch.Generator().manual_seed(3))
        per_injection = held[0, 0].all(dim=0)
        assert torch.equal(held[0, 0].any(dim=0), per_injection)
        assert 1 <= int(per_injection.sum()) < len(per_injection)


def test_pixels_and_triangles():
    physics = small(48)
    averages = physics.grid.averages
    assert np.allclose(averages.sum(axis=1), 1)
    centres = physics.mesh.centroids
    x, y = (physics.grid.centres() / RADIUS).T
    image = torch.from_numpy((x - 2 * y).reshape(1, 48, 48))
    wanted = (centres[:, 0] - 2 * centres[:, 1]) / RADIUS
    assert np.abs(physics.to_elements(image) - wanted).max() < 0.05
    drawn = physics.to_pixels(wanted)
    inside = torch.from_numpy(physics.grid.inside)
    assert (drawn - image)[:, inside].abs().max() < 0.4
    nodal = physics.grid.nodal() @ (physics.mesh.nodes @ [1, -2]) / RADIUS
    assert np.abs(nodal.reshape(48, 48) - image[0].numpy())[inside.numpy()].max() < 1e-6


def test_a_change_keeps_what_it_does_not_touch():
    first = small(impedance=1e-3)
    other = first.changed(background=2.0, impedance=np.array(1e-3))
    assert other.background == 2
    assert (other.grid, other.model) == (first.grid, first.model)
    coarse = first.changed(x_shape=(1, 12, 12))
    assert (coarse.grid.shape, coarse.model) == ((12, 12), first.model)
    worse, quadratic = first.changed(impedance=0.1), first.changed(order=2)
    assert worse.grid is quadratic.grid is first.grid
    assert torch.equal(worse.A(smooth()), small(impedance=0.1).A(smooth()))
    assert torch.equal(quadratic.A(smooth()), small(impedance=1e-3, order=2).A(smooth()))
    assert not torch.equal(worse.A(smooth()), first.A(smooth()))


def test_offset_and_missing_voltages():
    shape = small().y_shape[1:]
    keep = np.ones(shape, bool)
    keep[1, 2] = False
    offset = np.arange(np.prod(shape), dtype=float).reshape(shape)
    x = smooth()
    changed = small().changed(offset=offset, keep=keep)
    assert torch.allclose(changed.A(x) - small().A(x), torch.from_numpy(offset)[None, None])
    assert changed.mask.shape == (1, 1, *shape)
    assert int((changed.mask == 0).sum()) == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m: Mesh(m.nodes[:, :1], m.elements, m.electrodes), "nodes"),
        (lambda m: Mesh(m.nodes, m.elements + 1, m.electrodes), "counted from 0"),
        (lambda m: Mesh(m.nodes, m.elements[:, :2], m.electrodes), "elements"),
        (lambda m: Mesh(m.nodes, m.elements, m.electrodes[:1]), "electrodes"),
        (lambda m: Mesh(m.nodes, m.elements, m.electrodes[:1] * 2), "overlap"),
        (
            lambda m: Mesh(m.nodes, m.elements, (*m.electrodes, m.elements[-1:, :2])),
            "not on the boundary",
        ),
        (lambda m: Mesh(m.nodes * [1, 0], m.elements, m.electrodes), "no area"),
        (lambda m: disc_mesh(1), "electrodes"),
        (lambda m: disc_mesh(8, covered=1.5), "covered"),
        (lambda m: EIT(m, opposite(9)[0], opposite()[1]), "8 electrodes"),
        (lambda m: EIT(m, np.abs(opposite()[0]), opposite()[1]), "sum must be 0"),
        (lambda m: EIT(m, *opposite(), impedance=0), "impedance"),
        (lambda m: EIT(m, *opposite(), impedance=np.ones(3)), "one per electrode"),
        (lambda m: EIT(m, *opposite(), background=-1), "background"),
        (lambda m: EIT(m, *opposite(), x_shape=(2, 8, 8)), "1, H, W"),
        (lambda m: EIT(m, *opposite(), offset=np.zeros(3)), "offset"),
        (lambda m: EIT(m, *opposite(), order=3), "order"),
    ],
)
def test_what_contradicts_itself_is_refused(spoil, words):
    mesh = small().mesh
    with pytest.raises(UserError, match=words):
        spoil(mesh)
