"""UGoDIT, Appendix D: low frequencies in the features of a learned encoder, layer by layer.

    python benchmarks/features.py TASK MEASUREMENT WEIGHTS...

prints for every file of weights the share of low frequencies (Eq. 6, central eighth of the band) in
what each scale of the encoder makes of the adjoint image, and in the image itself.
"""

from __future__ import annotations

import argparse

import torch
from evidence import read_case
from torch import Tensor, nn

from untrained import Problem, load_weights
from untrained.core.state import State
from untrained.metrics import lf_ratio


def ratios(problem: Problem, path: str) -> list[float]:
    """Of the input and of every scale, largest first."""
    weights = load_weights(path)
    channels = problem.x_shape[0]
    module = weights.net.build(channels, channels)
    state = State(problem, module, 0)
    state.take_given({n: t for n, t in weights.tensors.items() if n.startswith("encoder.")})
    found = [lf_ratio(problem.estimate())]

    def note(_: nn.Module, __: object, out: tuple[Tensor | None, Tensor]) -> None:
        found.append(lf_ratio(out[1]))

    for descent in module.encoder.descents:
        descent.register_forward_hook(note)
    with torch.no_grad():
        state.net(problem.estimate())
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("measurement")
    parser.add_argument("weights", nargs="+")
    given = parser.parse_args()
    measured = read_case(given.task, given.measurement)
    asked = Problem(measured.y, measured.physics)
    for name in given.weights:
        print(name, " ".join(f"{ratio:.3f}" for ratio in ratios(asked, name)))
