"""Bodies for simulated impedance tomography: those of the table, and others to choose constants on.

A body is an image of conductivities `(side, side)` around a background of 1, in the disc of radius
1 that fills the square, x to the right and y up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SIDE = 64
DRAWN = 4  # bodies drawn by chance of each kind
LEFT_OUT = 3  # every third body chooses no constant
ALSO = ("two discs", "smooth", "ring")  # of the table, with noise and contacts of their own


def phantoms(side: int = SIDE) -> dict[str, np.ndarray]:
    """Draw the six bodies of the table in docs/eit.md."""
    x, y = coordinates(side)
    one = np.ones((side, side))
    bump = np.exp(-((x - 0.3) ** 2 + (y - 0.2) ** 2) / 0.1)
    dent = np.exp(-((x + 0.4) ** 2 + (y + 0.2) ** 2) / 0.06)
    square = ((np.abs(x - 0.35) < 0.25) & (np.abs(y + 0.25) < 0.25)).astype(float)
    triangle = ((y > 0.1) & (y < 0.7) & (np.abs(x + 0.3) < (0.7 - y) / 1.6)).astype(float)
    lungs = disc(x, y, -0.42, 0.0, 0.28, 1.6) + disc(x, y, 0.42, 0.0, 0.28, 1.6)
    heart = disc(x, y, 0.1, -0.45, 0.22)
    ring = disc(x, y, 0.1, 0.1, 0.55) - disc(x, y, 0.1, 0.1, 0.33)
    low = np.sin(2.5 * x + 1) * np.cos(2 * y - 0.5)
    two = 2 * disc(x, y, 0.4, 0.3, 0.25) - 0.8 * disc(x, y, -0.35, -0.3, 0.3)
    return {
        "two discs": one + two,
        "smooth": one + bump - 0.7 * dent,
        "corners": one + 1.5 * square - 0.7 * triangle,
        "chest": one - 0.6 * lungs * (1 - heart) + 1.2 * heart,
        "ring": one + 1.0 * ring,
        "waves": one + 0.4 * low,
    }


def tuning_bodies(side: int = SIDE) -> dict[str, np.ndarray]:
    """Draw the bodies on which constants are chosen.

    Eight are drawn by hand, four of each kind by chance, and three are those of the table.
    Every third of them (`left_out`) is for a test of what was chosen on the others.
    """
    x, y = coordinates(side)
    one = np.ones((side, side))
    corners = ((-0.4, 0.4, 1.5), (0.4, 0.4, -0.6), (-0.4, -0.4, -0.6), (0.4, -0.4, 1.5))
    four = sum(h * disc(x, y, a, b, 0.17) for a, b, h in corners)
    hills = ((0.3, 0.4, 0.05, 0.8), (-0.4, 0.2, 0.08, -0.6), (0.1, -0.45, 0.06, 0.6))
    bar = ((np.abs(x - 0.1) < 0.12) & (np.abs(y) < 0.6)).astype(float)
    bodies = {
        "halves": np.where(x + 0.3 * y > 0.1, 1.5, 0.8),
        "piece on a ramp": one + 0.3 * x + 1.2 * disc(x, y, -0.3, 0.3, 0.28),
        "bar": one + 1.5 * bar,
        "ramp": one + 0.5 * x - 0.2 * y,
        "four": one + four,
        "hills": one + sum(h * np.exp(-((x - a) ** 2 + (y - b) ** 2) / w) for a, b, w, h in hills),
    }
    kinds: dict[str, Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]] = {
        "pieces": _pieces,
        "random smooth": _smooth,
        "both": lambda draw, x, y: _smooth(draw, x, y, 0.5) * _pieces(draw, x, y, 2),
        "random ring": _ring,
    }
    for number in range(DRAWN):
        for kind, (name, make) in enumerate(kinds.items()):
            draw = np.random.default_rng([number, kind])
            bodies[f"{name} {number + 1}"] = make(draw, x, y)
    hill = np.exp(-((x + 0.25) ** 2 + (y - 0.3) ** 2) / 0.1)
    dent = np.exp(-((x - 0.4) ** 2 + (y + 0.1) ** 2) / 0.06)
    bodies["hill and dent"] = one + hill - 0.7 * dent
    bodies["steep hill"] = one + 1.5 * np.exp(-((x - 0.2) ** 2 + (y + 0.3) ** 2) / 0.04)
    return bodies | {name: phantoms(side)[name] for name in ALSO}


def left_out(side: int = SIDE) -> list[str]:
    """List the tuning bodies that choose no constant."""
    return list(tuning_bodies(side))[LEFT_OUT - 1 :: LEFT_OUT]


def coordinates(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the pixels' centres, `(side, side)` each."""
    at = (2 * np.arange(side) + 1) / side - 1
    x, y = np.meshgrid(at, -at)
    return x, y


def disc(x: np.ndarray, y: np.ndarray, a: float, b: float, r: float, q: float = 1.0) -> np.ndarray:
    """Draw an ellipse of half axes r and q r around (a, b): 1 inside, 0 outside."""
    return ((x - a) ** 2 + ((y - b) / q) ** 2 < r**2).astype(float)


def _pieces(draw: np.random.Generator, x: np.ndarray, y: np.ndarray, most: int = 4) -> np.ndarray:
    """Draw one to `most` turned ellipses and rectangles, each of its own conductivity."""
    body = np.ones(x.shape)
    for _ in range(draw.integers(1, most + 1)):
        radius, angle, turn = 0.6 * np.sqrt(draw.random()), *(2 * np.pi * draw.random(2))
        u, v = x - radius * np.cos(angle), y - radius * np.sin(angle)
        u, v = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
        long, wide = draw.uniform(0.15, 0.35, 2)
        round_one = (u / long) ** 2 + (v / wide) ** 2 < 1
        inside = round_one if draw.random() < 0.6 else (np.abs(u) < long) & (np.abs(v) < wide)
        body[inside] = draw.choice([draw.uniform(0.2, 0.6), draw.uniform(1.6, 3.0)])
    return body


def _smooth(
    draw: np.random.Generator, x: np.ndarray, y: np.ndarray, height: float = 1.0
) -> np.ndarray:
    """Draw e to the power of three to six broad bumps."""
    log = np.zeros(x.shape)
    for _ in range(draw.integers(3, 7)):
        (a, b), width = draw.uniform(-0.8, 0.8, 2), draw.uniform(0.05, 0.4)
        log += height * draw.uniform(-0.8, 0.8) * np.exp(-((x - a) ** 2 + (y - b) ** 2) / width)
    return np.exp(log)


def _ring(draw: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Draw a ring that conducts better or worse than the rest."""
    (a, b), outer = draw.uniform(-0.2, 0.2, 2), draw.uniform(0.4, 0.65)
    inner, level = outer * draw.uniform(0.4, 0.7), draw.choice([0.4, 0.6, 1.7, 2.5])
    return 1 + (level - 1) * (disc(x, y, a, b, outer) - disc(x, y, a, b, inner))
