"""Electrodes in another order than the mesh's are found, and sound measurements are not doubted."""

import numpy as np
import pytest

from untrained.data.tasks.eit_order import POOR, best_order, check_order
from untrained.errors import UserError
from untrained.physics import EIT, disc_mesh

COUNT = 12
Y, X = np.mgrid[1:-1:24j, -1:1:24j]
MESH = disc_mesh(COUNT, 1.0, 0.5, 0.15, edges=2)
BODIES = {
    "homogeneous": np.ones((24, 24)),
    "an insulator": 1 - 0.999 * ((X - 0.5) ** 2 + (Y - 0.2) ** 2 < 0.16),
    "a metal": 1 + 999.0 * ((X + 0.6) ** 2 + Y**2 < 0.09),
    "a ramp": 1 + 0.6 * X,
}


def tank(order_of_injections=None, order_of_patterns=None):
    eye, plain = np.eye(COUNT), np.arange(COUNT)
    injections, patterns = eye - np.roll(eye, 3, axis=0), (eye - np.roll(eye, 1, axis=0))[:, :-1]
    first = plain if order_of_injections is None else order_of_injections
    second = plain if order_of_patterns is None else order_of_patterns
    return EIT(MESH, injections[first], patterns[second], (1, 24, 24), impedance=0.01)


def voltages(name="an insulator"):
    right = tank()
    return right.voltages(right.grid.to_elements(BODIES[name]))


def exchanged(a, b):
    order = np.arange(COUNT)
    order[[a, b]] = b, a
    return order


@pytest.mark.parametrize("name", BODIES)
def test_sound_voltages_are_not_doubted(name):
    assert check_order(tank(), voltages(name)) == ()


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("rows", ["both", "injections", "patterns"])
def test_two_exchanged_electrodes_are_named(name, rows):
    order = exchanged(3, 9)
    wrong = tank(
        None if rows == "patterns" else order,
        None if rows == "injections" else order,
    )
    (note,) = check_order(wrong, voltages(name))
    where = "" if rows == "both" else f" in {rows}"
    assert f"with electrodes 4 and 10 exchanged{where} the correlation" in note


@pytest.mark.parametrize(
    ("order", "said"),
    [(np.arange(COUNT)[::-1], "reversed"), (np.roll(np.arange(COUNT), 2), "moved by")],
)
def test_another_direction_or_start_of_the_currents_alone_is_refused(order, said):
    with pytest.raises(UserError, match=f"in different orders: with .*{said}"):
        check_order(tank(order), voltages())


def test_in_a_round_body_the_same_turn_of_everything_cannot_be_seen():
    for order in (np.roll(np.arange(COUNT), 2), np.arange(COUNT)[::-1]):
        assert check_order(tank(order, order), voltages()) == ()


def test_voltages_of_opposite_sign_and_of_nothing_are_refused():
    with pytest.raises(UserError, match="opposite sign"):
        check_order(tank(), -voltages())
    shuffled = np.random.default_rng(3).permutation(voltages("homogeneous").ravel())
    shuffled *= -np.sign((shuffled * voltages("homogeneous").ravel()).sum())
    with pytest.raises(UserError, match="not those of a conducting body"):
        check_order(tank(), shuffled.reshape(COUNT - 1, COUNT))


def test_a_poor_fit_is_doubted():
    noise = np.random.default_rng(0).standard_normal(voltages().shape)
    doubted = voltages() + 1.5 * voltages().std() * noise
    (note,) = check_order(tank(), doubted)
    assert "correlation" in note
    assert best_order(tank(), doubted, np.ones(noise.shape, bool)).fit < POOR


def test_what_was_not_measured_does_not_count():
    order = exchanged(0, 1)
    keep = np.ones((COUNT - 1, COUNT), bool)
    keep[[0, 1]] = False
    keep[:, [0, 1, 3, 4]] = False
    spoiled = np.where(keep, voltages("homogeneous"), 1e3)
    assert check_order(tank().changed(keep=keep), spoiled) == ()
    assert len(check_order(tank(order, order), voltages("homogeneous"))) == 1
