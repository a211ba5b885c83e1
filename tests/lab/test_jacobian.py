"""Products with the Jacobian against dense automatic differentiation in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, jacrev

import untrained as ut
from untrained import methods as m
from untrained import nets
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Frame
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.lab.jacobian import Jacobian
from untrained.physics.inpaint import random_mask
from untrained.solver.procedure import solve_recipe

SIDES = (12, 10)
NET = nets.Compact(widths=(4, 6), skip=2)


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def problem(count: int = 1) -> ut.Problem:
    physics = ut.physics.Inpaint(random_mask(SIDES, 0.4))
    return ut.Problem(draw(count, 1, *SIDES).abs().clamp_max(1.0).float(), physics)


def network(net: object = NET, channels: int = 2) -> tuple[torch.nn.Module, dict, Tensor]:
    module = net.build(channels, 1).double()  # type: ignore[attr-defined]
    nets.initialise(module, 3)
    weights = {name: w.detach().double() for name, w in module.named_parameters()}
    return module, weights, draw(1, channels, *SIDES)


def by_autograd(module: torch.nn.Module, weights: dict, z: Tensor) -> Tensor:
    """The Jacobian as a matrix `(n, p)`, by an independent route: one backward pass a pixel."""
    found = jacrev(lambda w: functional_call(module, w, (z,)).flatten())(weights)
    return torch.cat([found[name].flatten(1) for name in weights], 1)


SOME = {
    "compact": NET,
    "unet": nets.UNet(widths=(3, 4)),
    "skip": nets.SkipNet(down=(4,), up=(4,), skip=(2,), sigmoid=True),
}


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("together", [1, 5])
def test_every_product_is_that_of_the_matrix(name: str, together: int) -> None:
    module, weights, z = network(SOME[name])
    dense = by_autograd(module, weights, z)
    J = Jacobian.of_network(module, weights, z, together=together)
    assert (J.n_out, J.n_weights) == tuple(dense.shape)
    v, u = draw(6, J.n_weights), draw(6, *J.out_shape, seed=1)
    torch.testing.assert_close(J.forward(v).flatten(1), v @ dense.T)
    torch.testing.assert_close(J.forward(v[0]).flatten(), dense @ v[0])
    torch.testing.assert_close(J.adjoint(u), u.flatten(1) @ dense)
    torch.testing.assert_close(J.gram(u).flatten(1), u.flatten(1) @ dense @ dense.T)
    torch.testing.assert_close(J.dense(), dense)
    torch.testing.assert_close(J.ntk(), dense @ dense.T)
    torch.testing.assert_close(J.diagonal().value.flatten(), (dense @ dense.T).diagonal())


def test_weights_are_flattened_and_cut_in_one_order() -> None:
    J = Jacobian.of_network(*network())
    v = draw(3, J.n_weights)
    assert torch.equal(J.flatten(J.unflatten(v)), v)
    assert torch.equal(J.flatten(J.unflatten(v[0])), v[0])


def test_a_kernel_that_is_too_large_for_its_jacobian_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    J = Jacobian.of_network(*network())
    theta = J.ntk()
    monkeypatch.setattr("untrained.lab.tangent.MOST_DENSE", J.n_out**2 * 8)
    torch.testing.assert_close(J.ntk(), theta)
    with pytest.raises(UserError, match="this Jacobian as a matrix would take"):
        J.dense()


def test_the_singular_values_are_those_of_the_matrix_within_the_stated_error() -> None:
    module, weights, z = network(nets.UNet(widths=(3, 4)))
    u, s, vt = torch.linalg.svd(by_autograd(module, weights, z), full_matrices=False)
    J = Jacobian.of_network(module, weights, z)
    for tolerance in (0.1, 1e-6):
        found = J.svd(12, tolerance=tolerance, right=True)
        assert bool((found.residuals <= tolerance).all())
        gaps = (found.values.square() - s[:12].square()).abs()
        assert bool((gaps <= found.residuals * found.values.square() + 1e-12).all())
    assert bool(((found.values - s[:12]).abs() <= 0.01 * s[:12]).all())
    assert found.right is not None
    left, right = found.left.flatten(1), found.right
    torch.testing.assert_close((left * u.T[:12]).sum(1).abs(), torch.ones(12).double())
    torch.testing.assert_close((right * vt[:12]).sum(1).abs(), torch.ones(12).double())
    # the residuals of both equations, measured anew
    values = found.values[:, None]
    assert float(((J.forward(right).flatten(1) - values * left).norm(dim=1) / s[:12]).max()) < 1e-6
    assert float(((J.adjoint(found.left) - values * right).norm(dim=1) / s[:12]).max()) < 1e-6


def test_all_singular_values_are_found_where_all_are_asked_for_also_those_of_zero() -> None:
    """Two copies of a small matrix have every singular value twice, and a null space."""
    matrix = torch.zeros(12, 9, dtype=torch.float64)
    matrix[:4, :4] = torch.diag(torch.tensor([5.0, 3.0, 2.0, 1.0], dtype=torch.float64))
    matrix[4:8, 4:8] = matrix[:4, :4]
    J = Jacobian(lambda w: matrix @ w["w"], {"w": torch.zeros(9, dtype=torch.float64)})
    found = J.svd(12, tolerance=1e-8, block=1)
    expected = [5, 5, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0]
    torch.testing.assert_close(found.values, torch.tensor(expected).double(), atol=1e-6, rtol=0)
    basis = found.left
    torch.testing.assert_close(basis @ basis.T, torch.eye(12).double())
    assert J.condition().number == float("inf")


def test_condition_number_and_its_lower_bound() -> None:
    module, weights, z = network()
    s = torch.linalg.svdvals(by_autograd(module, weights, z))
    J = Jacobian.of_network(module, weights, z)
    exact = J.condition()
    assert exact.exact
    assert exact.number == pytest.approx(float((s[0] / s[-1]).square()), rel=1e-3)
    bound = J.condition(most=10)
    assert not bound.exact
    assert 1 < bound.number <= exact.number * 1.001


def test_estimates_lie_within_their_errors() -> None:
    J = Jacobian.of_network(*network())
    theta = J.ntk()
    trace = J.trace(probes=200)
    assert float((trace.value - theta.trace()).abs()) < 4 * float(trace.error)
    diagonal = J.diagonal(probes=200)
    z = (diagonal.value - theta.diagonal().reshape(J.out_shape)) / diagonal.error
    assert 0.7 < float(z.square().mean()) < 1.4  # errors neither too small nor too large


def test_measured_and_scaled_operators() -> None:
    module, weights, z = network()
    dense = by_autograd(module, weights, z)
    one = problem()
    plain = Jacobian.of_network(module, weights, z)
    mask = (one.A(torch.ones(1, 1, *SIDES)) != 0).double().flatten()
    d = draw(plain.n_weights).abs()
    for J, matrix in (
        (plain.measured(one), mask[:, None] * dense),
        (plain.scaled(d), dense * d),
        (plain.scaled(d).measured(one.physics), mask[:, None] * dense * d),
    ):
        v, u = draw(2, J.n_weights), draw(2, *J.out_shape, seed=2)
        torch.testing.assert_close(J.forward(v).flatten(1), v @ matrix.T, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(J.adjoint(u), u.flatten(1) @ matrix, rtol=1e-5, atol=1e-5)


def test_the_operator_of_mri_behind_a_network() -> None:
    module = NET.build(2, 2)
    nets.initialise(module, 0)
    mri = ut.physics.MRI(random_mask(SIDES, 0.5).float())
    plain = Jacobian.of_network(module, dict(module.named_parameters()), draw(1, 2, *SIDES).float())
    J = plain.measured(mri)
    assert J.out_shape != plain.out_shape
    assert dot_error(J) < 1e-5


def dot_error(J: Jacobian) -> float:
    """|<J v, u> - <v, J^T u>| over the norms' product."""
    v, u = draw(J.n_weights).to(J.image), draw(*J.out_shape, seed=1).to(J.image)
    image, back = J.forward(v), J.adjoint(u)
    gap = (image * u).double().sum() - (back * v).double().sum()
    return float(gap.abs() / (image.norm() * u.norm()))


METHODS: dict[str, Method] = {
    "dip": m.DIP(6),
    "aseqdip": m.ASeqDIP(3),
    "tvdip": m.TVDIP(6),
    "selfguided": m.SelfGuided(6),
    "doubledip": m.DoubleDIP(6),
    "drp": m.DRP(6),
    "sgld": m.SGLD(6),
    "dop": m.DOP(6),
    "deepdecoder": m.DeepDecoderFit(6, channels=4),
}
OTHER_NETS = {
    "deepdecoder": nets.DeepDecoder(4, depth=2),
    "drp": nets.SkipNet(down=(4,), up=(4,), skip=(2,), sigmoid=False),
}


class Look(Watch):
    """Linearises the network at every third step, for each of the problems."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float, int]] = []

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        if frame.step % 3 == 0:
            for row in range(s.size):
                J = Jacobian.of_state(s, row=row)
                own = s.net(s["z"])[row]
                self.seen.append((dot_error(J), float((J.image - own).abs().max()), J.n_weights))
        return {}


@pytest.mark.parametrize("name", METHODS)
def test_any_method_can_be_linearised_at_any_step(name: str) -> None:
    look = Look()
    recipe = Recipe(
        METHODS[name], OTHER_NETS.get(name, NET), Engine("adam", lr=0.01, precision="fp32")
    )
    solve_recipe(recipe, problem(2), watch=[look])
    assert len(look.seen) == 4
    assert all(dot < 1e-5 for dot, _, _ in look.seen)
    assert all(gap < 1e-5 for _, gap, _ in look.seen)


def test_only_what_is_trained_moves_unless_names_are_given() -> None:
    seen: list[int] = []

    class Count(Watch):
        def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
            names = list(s.weights)
            for only in (None, names, names[:1]):
                seen.append(Jacobian.of_state(s, only=only).n_weights)
            with pytest.raises(UserError, match="no weight 'nothing'"):
                Jacobian.of_state(s, only=["nothing"])
            with pytest.raises(UserError, match="row=1"):
                Jacobian.of_state(s, row=1)
            return {}

    recipe = Recipe(m.DRP(1), OTHER_NETS["drp"], Engine("adam", lr=0.01, precision="fp32"))
    solve_recipe(recipe, problem(), watch=[Count()])
    assert 0 < seen[0] < seen[1]
    assert 0 < seen[2] < seen[1]


def test_a_finished_run_is_linearised_at_its_last_weights() -> None:
    recipe = Recipe(m.DIP(4, jitter=0.0), NET, Engine("adam", lr=0.01, precision="fp32"))
    one = problem()
    fit = solve_recipe(recipe, one)
    J = Jacobian.of_fit(fit, one)
    assert J.out_shape == (1, *SIDES)
    assert dot_error(J) < 1e-5
    # a small step of the weights moves the image by J times it, to first order
    v = 2e-4 * draw(J.n_weights).float()
    moved = {name: J.weights[name] + dv for name, dv in J.unflatten(v).items()}
    change = J.fn(moved) - J.image
    assert float((change - J.forward(v)).norm() / change.norm()) < 0.05


def test_bad_input_is_refused() -> None:
    J = Jacobian.of_network(*network())
    for bad in (draw(J.n_weights + 1), draw(2, 2, J.n_weights)):
        with pytest.raises(UserError, match="v must be"):
            J.forward(bad)
    with pytest.raises(UserError, match="u must be"):
        J.adjoint(draw(3))
    with pytest.raises(UserError, match="scale must be"):
        J.scaled(draw(3))
    with pytest.raises(UserError, match="k=0"):
        J.svd(0)
    with pytest.raises(UserError, match="probes=1"):
        J.trace(probes=1)
    with pytest.raises(UserError, match="at least one tensor"):
        Jacobian(lambda w: w["a"], {})


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_curvlinops_agrees() -> None:
    """The Gauss-Newton matrix of a square loss is J^T J times a constant: another package's."""
    curvlinops = pytest.importorskip("curvlinops")
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 5))
    net = net.double()
    z, y = draw(1, 3), draw(1, 5)
    loss = torch.nn.MSELoss(reduction="sum")
    params = list(net.parameters())
    matrix = curvlinops.GGNLinearOperator(net, loss, params, [(z, y)])
    J = Jacobian.of_network(net, dict(net.named_parameters()), z)
    v = draw(J.n_weights)
    found = torch.as_tensor(matrix @ v)
    torch.testing.assert_close(found, 2 * J.adjoint(J.forward(v)))
