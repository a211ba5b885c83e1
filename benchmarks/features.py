"""UGoDIT, Table 3 (Appendix D): low frequencies in what a learned encoder and a decoder make.

    python benchmarks/features.py TASK MEASUREMENT WEIGHTS...

reconstructs with every file of weights and prints the share of low frequencies (Eq. 6, central
eighth of the band) in the adjoint image, in every layer of the encoder at the last input z (the
stem is the first, where the network has one; largest scale first), and in the decoder's output;
first that of the true image.
"""

from __future__ import annotations

import argparse

from evidence import read_case

from untrained import Problem, load_weights
from untrained.core.state import State
from untrained.methods.ugodit import features
from untrained.metrics import lf_ratio
from untrained.run.plan import plan
from untrained.solver.procedure import solve_recipe


def ratios(problem: Problem, path: str) -> list[float]:
    """Measure low frequencies: in the adjoint image, every encoder layer, the decoder's output."""
    weights = load_weights(path)
    recipe = plan(problem.task, method="ugodit", weights=weights).recipe
    assert recipe is not None
    result = solve_recipe(recipe, problem, start=weights.start(problem))
    assert result.z is not None
    state = State(problem, recipe.build(problem), 0)
    state.take_weights(result.weights)
    maps = [problem.estimate(), *features(state, result.z)]
    return [lf_ratio(one) for one in maps]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("measurement")
    parser.add_argument("weights", nargs="+")
    given = parser.parse_args()
    measured = read_case(given.task, given.measurement)
    asked = Problem(measured.y, measured.physics)
    if measured.reference is not None:
        print(f"truth {lf_ratio(measured.reference):.3f}")
    for name in given.weights:
        print(name, " ".join(f"{ratio:.3f}" for ratio in ratios(asked, name)))
